//! Objectives with a model: visibility and losses.

use super::{batch, packed, tokenizer};
use burn::tensor::Tensor;
use kiln_data::{Batch, PackedSequences, next_token_batch};
use kiln_infer::block_on;
use kiln_laws::device;
use kiln_models::{Model, ModelConfig};
use kiln_nn::Context;
use kiln_spec::{Direction, Random};
use kiln_train::{
    Models, Objective,
    objective::{FixedShare, Full, Masked, Prefix, PrefixSplit, Unified, to_device},
};

fn models() -> Models {
    let mut config = ModelConfig { vocab: tokenizer().vocab_size(), hidden: 16, ..ModelConfig::default() };
    config.resolve();
    Models::new(Model::init(&config, 3, &device()))
}

fn loss(objective: &dyn Objective, models: &Models, batch: &Batch) -> f32 {
    objective.loss(models, batch, &mut Context::new(&batch.layout, &device())).sum.into_scalar()
}

fn hidden(models: &Models, batch: &Batch) -> Tensor<3> {
    let tokens = to_device(&models.policy, batch, &batch.inputs);
    models.policy.forward(tokens, &mut Context::new(&batch.layout, &device()))
}

fn fixed_prefix(share: f64) -> Prefix {
    Prefix { split: PrefixSplit::Share(FixedShare { share }) }
}

fn build_batch(objective: &dyn Objective, models: &Models, packed: &PackedSequences) -> Batch {
    block_on(objective.batch(packed, models, Random::new(1, "objective", 0, 0))).unwrap()
}

#[test]
fn an_empty_prefix_is_causal_and_a_whole_one_bidirectional() {
    let (models, packed) = (models(), packed(0, 3));
    let causal = next_token_batch(&packed, Direction::Causal).unwrap();
    let whole = next_token_batch(&packed, Direction::Bidirectional).unwrap();
    let (none, all) = (batch(&fixed_prefix(0.0), &packed, 0), batch(&fixed_prefix(1.0), &packed, 0));
    assert_eq!(loss(&fixed_prefix(0.0), &models, &none), loss(&Full, &models, &causal));
    assert_eq!(loss(&fixed_prefix(1.0), &models, &all), 0.0);
    assert_eq!(hidden(&models, &all).into_data(), hidden(&models, &whole).into_data());
    // The two differ: what is compared can tell.
    let apart = (hidden(&models, &all) - hidden(&models, &none)).abs().max().into_scalar::<f32>();
    assert!(apart > 1e-2, "{apart}");
}

#[test]
fn the_loss_counts_weighted_positions_only() {
    let (models, packed) = (models(), packed(0, 3));
    for objective in [&Masked::default() as &dyn Objective, &Prefix::default(), &Unified::default()] {
        let batch = build_batch(objective, &models, &packed);
        let model = &models.policy;
        let [b, t, m] = hidden(&models, &batch).dims();
        let logits = model.logits(hidden(&models, &batch).reshape([b * t, m]));
        let logits: Vec<f32> = logits.into_data().iter::<f32>().collect();
        let vocab = model.config().vocab;
        let nats = |at: usize| {
            let logits = &logits[at * vocab..(at + 1) * vocab];
            let sum: f64 = logits.iter().map(|x| f64::from(*x).exp()).sum();
            sum.ln() - f64::from(logits[batch.targets[at] as usize])
        };
        let wanted: f64 = (0..b * t).filter(|at| batch.weights[*at] == 1.0).map(nats).sum();
        let found = f64::from(loss(objective, &models, &batch));
        assert!(batch.weights.iter().all(|weight| [0.0, 1.0].contains(weight)) && batch.total_weight() > 0.0);
        // Sums of some hundred numbers near 6 in f32.
        assert!((found / wanted - 1.0).abs() < 1e-5, "{found} {wanted}");
    }
}
