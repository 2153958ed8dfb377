//! Multi-head, grouped-query and multi-query projections are one projection with two numbers of heads.

use burn::tensor::TensorData;
use kiln_laws::{
    device,
    loss::{DocumentRows, loss_value},
    parameters::to_f64,
    strategies, values,
};
use kiln_models::{Model, ModelConfig, StateDict, load_state_dict};
use kiln_nn::part::{
    PartConfig,
    attention::{AttentionSource, MultiHeadProjectionConfig, ProjectionConfig, QueryKeyNormScope, ScoreConfig},
};
use proptest::prelude::*;

const EXACT: f64 = 1e-10;

/// Every attention of the model, by the block that it is made in, each made of plain heads and
/// without a table for so many, or for their width.
fn heads(config: &mut ModelConfig) -> impl Iterator<Item = &mut MultiHeadProjectionConfig> {
    let parts = config.blocks.iter_mut().flat_map(|b| &mut b.sublayers).flat_map(|s| &mut s.parts);
    parts.filter_map(|part| match part {
        PartConfig::Attention(attention) => {
            attention.source = AttentionSource::default();
            if matches!(attention.score, ScoreConfig::Differential(_)) {
                // It needs pairs of key-value heads.
                attention.score = ScoreConfig::default();
            }
            attention.position.take_if(|position| position.has_attention_parameters());
            if !matches!(attention.projection, ProjectionConfig::Heads(_)) {
                attention.projection = ProjectionConfig::Heads(MultiHeadProjectionConfig {
                    head_dim: Some(4),
                    ..MultiHeadProjectionConfig::default()
                });
            }
            match &mut attention.projection {
                ProjectionConfig::Heads(heads) => {
                    // The other scopes have weights for each head, of which there would be more.
                    heads.qk_norm.iter_mut().for_each(|norm| norm.scope = QueryKeyNormScope::Head);
                    Some(heads)
                }
                ProjectionConfig::Latent(_) => None,
            }
        }
        _ => None,
    })
}

/// Columns of a key or value matrix (or bias), each head's written down once for every query head that shares it.
fn repeat_heads(data: &TensorData, wanted: &[usize], head_dim: usize) -> TensorData {
    let (shape, to) = (data.shape().to_vec(), wanted[wanted.len() - 1]);
    let from = shape[shape.len() - 1];
    let share = to / from;
    let column = |c: usize| c / head_dim / share * head_dim + c % head_dim;
    let values: Vec<f64> = data.iter::<f64>().collect();
    let rows = values.chunks(from).flat_map(|row| (0..to).map(|c| row[column(c)]));
    TensorData::new(rows.collect::<Vec<f64>>(), wanted.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn shared_keys_equal_repeated_keys(
        mut config in strategies::model_with_attention(), documents in strategies::documents(), kv in 1usize..3, group in 1usize..4,
    ) {
        for heads in heads(&mut config) {
            *heads = MultiHeadProjectionConfig { heads: kv * group, kv_heads: Some(kv), head_dim: Some(4), ..heads.clone() };
        }
        let mut multi = config.clone();
        heads(&mut multi).for_each(|heads| heads.kv_heads = None);
        multi.resolve();
        let [grouped, multi] = [&config, &multi].map(|c| to_f64(Model::init(c, 6, &device())));
        let given = values(&grouped);
        let repeat = |(name, old): (String, TensorData)| {
            let key = [".k.weight", ".k.bias", ".v.weight", ".v.bias"].iter().any(|end| name.ends_with(end));
            let data = if key { repeat_heads(&given[&name], old.shape(), 4) } else { given[&name].clone() };
            (name, data)
        };
        let weights: StateDict = values(&multi).into_iter().map(repeat).collect();
        let multi = load_state_dict(multi, weights).expect("the same names");
        let rows = DocumentRows::packed(&documents, strategies::direction(&config), 1);
        let [a, b] = [&grouped, &multi].map(|model| loss_value(model, &rows));
        prop_assert!((a - b).abs() <= EXACT * (1.0 + a.abs()), "{} {}", a, b);
    }

    #[test]
    fn as_many_key_heads_as_query_heads_is_multi_head(mut config in strategies::model_with_attention(), documents in strategies::documents()) {
        heads(&mut config).for_each(|heads| heads.kv_heads = Some(heads.heads));
        let mut unsaid = config.clone();
        heads(&mut unsaid).for_each(|heads| heads.kv_heads = None);
        let rows = DocumentRows::packed(&documents, strategies::direction(&config), 0);
        let [a, b] = [&config, &unsaid].map(|c| loss_value(&Model::init(c, 6, &device()), &rows));
        prop_assert_eq!(a, b);
    }
}
