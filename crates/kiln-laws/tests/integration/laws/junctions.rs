//! Junctions against their equations.

use burn::tensor::{Tensor, TensorData};
use kiln_kernels::testing::assert_close;
use kiln_laws::{
    device,
    loss::{DocumentRows, loss},
    parameters::{perturbed, with_values},
    strategies,
};
use kiln_models::{Model, ModelConfig};
use kiln_nn::{
    BuildContext, Context, Initializer, Probe,
    junction::{Junction, JunctionConfig, NormPlacementConfig, ReZeroConfig},
    norm::{NormConfig, RmsNormConfig},
    position::PositionConfig,
};
use kiln_spec::{Direction, Layout};
use proptest::prelude::*;
use std::sync::{Arc, Mutex};

/// Keeps what passes at the embedding and after each block.
#[derive(Clone, Default)]
struct StreamRecorder(Arc<Mutex<Vec<TensorData>>>);

impl Probe for StreamRecorder {
    fn wants(&self, path: &str) -> bool {
        path == "embedding" || path.starts_with("blocks.") && path.ends_with("residual")
    }

    fn intercept(&mut self, _path: &str, value: Tensor<4>) -> Tensor<4> {
        self.0.lock().unwrap().push(value.to_data());
        value
    }
}

/// The residual stream before the first block and after each.
fn residual_stream(config: &ModelConfig, documents: &[Vec<u32>]) -> Vec<TensorData> {
    let model = Model::init(config, 3, &device());
    let rows = DocumentRows::padded(documents, strategies::direction(config), 1);
    let (probe, mut cx) = (StreamRecorder::default(), Context::new(&rows.layout(), &device()));
    cx.probe = Some(Box::new(probe.clone()));
    loss(&model, &rows, &mut cx);
    let found = probe.0.lock().unwrap();
    found.clone()
}

fn with_rezero(config: &ModelConfig, start: f32) -> ModelConfig {
    let mut config = config.clone();
    let sublayers = config.blocks.iter_mut().flat_map(|b| &mut b.sublayers);
    sublayers.for_each(|s| s.junction = JunctionConfig::ReZero(ReZeroConfig { alpha_init: start }));
    // Embeddings and several streams have other shapes.
    ModelConfig { residual_streams: Default::default(), ..config }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn rezero_at_0_is_the_identity(config in strategies::model(), documents in strategies::documents()) {
        let passed = residual_stream(&with_rezero(&config, 0.0), &documents);
        prop_assert_eq!(passed.len(), config.num_layers() + 1);
        prop_assert!(passed.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

/// A control: scaled by 1, the same blocks move the stream.
#[test]
fn rezero_at_1_moves_the_stream() {
    let mut config = ModelConfig { vocab: strategies::VOCAB, hidden: 8, ..ModelConfig::default() };
    config.resolve();
    let moved = residual_stream(&with_rezero(&config, 1.0), &[vec![1, 2, 3, 4]]);
    assert!(moved.windows(2).all(|pair| pair[0] != pair[1]));
}

/// Rows of four numbers, f64.
fn rows(values: [f64; 8]) -> Tensor<3> {
    let device = device();
    Tensor::from_data(TensorData::new(values.to_vec(), [1, 2, 4]), (&device, burn::tensor::DType::F64))
}

fn rms(x: Tensor<3>, weight: Tensor<3>) -> Tensor<3> {
    let root = (x.clone().square().mean_dim(2) + 1e-6).sqrt();
    x / root * weight
}

fn build_junction(config: JunctionConfig, weights: &[(&str, Vec<f64>)]) -> Junction {
    let position = PositionConfig::default();
    let around =
        BuildContext { hidden: 4, vocab: 1, heads: 1, dropout: 0.0, position: &position, direction: Direction::Causal };
    let value = |(path, values): &(&str, Vec<f64>)| (path.to_string(), TensorData::new(values.clone(), [values.len()]));
    with_values(config.init(&around, &mut Initializer::new(0, &device())), &weights.iter().map(value).collect())
}

fn apply_junction(junction: &Junction, x: Tensor<3>) -> Tensor<3> {
    let mut cx = Context::new(&Layout::from_offsets(&[0], &[2], 2, Direction::Causal), &device());
    junction.forward(x, &mut cx, &mut |x, _| x.exp())
}

#[test]
fn a_sandwich_normalizes_input_and_output() {
    let norm = NormConfig::Rms(RmsNormConfig::default());
    let weights = [vec![1.0, 2.0, 0.5, -1.0], vec![0.3, -0.7, 1.5, 2.0]];
    let [before, after] =
        weights.clone().map(|w| Tensor::<1>::from_data(w.as_slice(), (&device(), burn::tensor::DType::F64)));
    let [first, second] = weights;
    let config = JunctionConfig::Sandwich(NormPlacementConfig::new(norm));
    let junction = build_junction(config, &[("before.weight", first), ("after.weight", second)]);
    let x = rows([0.1, -0.4, 2.0, 1.0, -1.0, 0.2, 0.3, 0.7]);
    let want = x.clone() + rms(rms(x.clone(), before.unsqueeze()).exp(), after.unsqueeze());
    assert_close(&apply_junction(&junction, x), &want, 1e-12);
}

#[test]
fn rezero_scales_only_the_branch() {
    let junction = build_junction(JunctionConfig::ReZero(ReZeroConfig::default()), &[("scale", vec![0.25])]);
    let x = rows([0.1, -0.4, 2.0, 1.0, -1.0, 0.2, 0.3, 0.7]);
    assert_close(&apply_junction(&junction, x.clone()), &(x.clone() + x.exp() * 0.25), 1e-12);
}

#[test]
fn res_post_norm_normalizes_the_output_only() {
    let weight = vec![1.0, 2.0, 0.5, -1.0];
    let factor = Tensor::<1>::from_data(weight.as_slice(), (&device(), burn::tensor::DType::F64));
    let placement = NormPlacementConfig { residual_multiplier: 0.25, ..NormPlacementConfig::default() };
    let junction = build_junction(JunctionConfig::ResPost(placement), &[("norm.weight", weight)]);
    let x = rows([0.1, -0.4, 2.0, 1.0, -1.0, 0.2, 0.3, 0.7]);
    let want = x.clone() + rms(x.clone().exp(), factor.unsqueeze()) * 0.25;
    assert_close(&apply_junction(&junction, x), &want, 1e-12);
}

/// Hidden states of a model with random weights.
fn hidden_states(config: &ModelConfig, change: impl Fn(&str, &mut Vec<f64>)) -> Tensor<3> {
    let model = perturbed(Model::init(config, 3, &device()));
    let mut all = kiln_laws::values(&model);
    for (name, data) in &mut all {
        let mut values: Vec<f64> = data.iter::<f64>().collect();
        change(name, &mut values);
        *data = TensorData::new(values, data.shape().to_vec());
    }
    let model = kiln_models::load_state_dict(model, all).expect("its own weights");
    let rows = DocumentRows::packed(&[vec![1, 2, 3, 4, 5]], Direction::Causal, 0);
    let tokens = Tensor::from_ints([[1, 2, 3, 4, 5]], &device());
    model.forward(tokens, &mut Context::new(&rows.layout(), &device()))
}

/// Parallel parts with equal norms compute what they compute with one norm; with different ones, something else.
#[test]
fn parts_with_equal_norms_equal_parts_that_share_one() {
    let read = |sublayer: &str| {
        let text = format!(
            "vocab = 11\nhidden = 8\nblocks = [{{ repeat = 2, sublayers = [{{ {sublayer}, parts = ['attention', 'mlp'] }}] }}]"
        );
        let mut config: ModelConfig = kiln_spec::config::parse(&text, None).expect("legal");
        config.resolve();
        config
    };
    let shared = read("junction = { pre = { norm = 'layer' } }");
    let own = read("junction = { pre = { norm = 'none' } }, part_norm = 'layer'");
    // Noise is drawn by name: the two norms of a block get that of the attention.
    let equal = |name: &str, values: &mut Vec<f64>| {
        if name.contains("_norm.") {
            values.iter_mut().enumerate().for_each(|(i, value)| *value = 0.3 * i as f64 + 0.1);
        }
    };
    let one = hidden_states(&shared, equal);
    assert_close(&hidden_states(&own, equal), &one, 1e-12);
    let different = hidden_states(&own, |name, values| {
        equal(name, values);
        if name == "blocks.0.feed_forward_norm.weight" {
            values[0] += 0.5;
        }
    });
    assert!(kiln_kernels::testing::max_abs_diff(&different, &one) > 1e-3);
}
