//! Junctions compute what their equations say.

use burn::tensor::{Tensor, TensorData};
use kiln_kernels::testing::assert_close;
use kiln_laws::{
    configs, device,
    loss::{Rows, loss},
    parameters::filled,
};
use kiln_models::{Model, ModelConfig};
use kiln_nn::{
    Around, Cx, Init, Probe,
    junction::{Junction, JunctionConfig, NormedConfig, ReZeroConfig},
    norm::{NormConfig, RmsNormConfig},
    position::PositionConfig,
};
use kiln_spec::{Direction, Layout};
use proptest::prelude::*;
use std::sync::{Arc, Mutex};

/// Keeps what passes at the embedding and after each block.
#[derive(Clone, Default)]
struct Stream(Arc<Mutex<Vec<TensorData>>>);

impl Probe for Stream {
    fn wants(&self, path: &str) -> bool {
        path == "embedding" || path.starts_with("blocks.") && path.ends_with("residual")
    }

    fn at(&mut self, _path: &str, value: Tensor<4>) -> Tensor<4> {
        self.0.lock().unwrap().push(value.to_data());
        value
    }
}

/// The residual stream before the first block and after each.
fn stream(config: &ModelConfig, documents: &[Vec<u32>]) -> Vec<TensorData> {
    let model = Model::init(config, 3, &device());
    let rows = Rows::beside(documents, configs::direction(config), 1);
    let (probe, mut cx) = (Stream::default(), Cx::new(&rows.layout(), &device()));
    cx.probe = Some(Box::new(probe.clone()));
    loss(&model, &rows, &mut cx);
    let found = probe.0.lock().unwrap();
    found.clone()
}

fn with_rezero(config: &ModelConfig, start: f32) -> ModelConfig {
    let mut config = config.clone();
    let sublayers = config.blocks.iter_mut().flat_map(|b| &mut b.sublayers);
    sublayers.for_each(|s| s.junction = JunctionConfig::ReZero(ReZeroConfig { start }));
    config
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn rezero_at_0_is_the_identity(config in configs::model(), documents in configs::documents()) {
        let passed = stream(&with_rezero(&config, 0.0), &documents);
        prop_assert_eq!(passed.len(), config.layers() + 1);
        prop_assert!(passed.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

/// A control: scaled by 1, the same blocks move the stream.
#[test]
fn rezero_at_1_moves_the_stream() {
    let mut config = ModelConfig { vocab: configs::VOCAB, hidden: 8, ..ModelConfig::default() };
    config.resolve();
    let moved = stream(&with_rezero(&config, 1.0), &[vec![1, 2, 3, 4]]);
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

fn made(config: JunctionConfig, weights: &[(&str, Vec<f64>)]) -> Junction {
    let position = PositionConfig::default();
    let around =
        Around { hidden: 4, vocab: 1, heads: 1, dropout: 0.0, position: &position, direction: Direction::Causal };
    let value = |(path, values): &(&str, Vec<f64>)| (path.to_string(), TensorData::new(values.clone(), [values.len()]));
    filled(config.init(&around, &mut Init::new(0, &device())), &weights.iter().map(value).collect())
}

fn joined(junction: &Junction, x: Tensor<3>) -> Tensor<3> {
    let mut cx = Cx::new(&Layout::continued(&[0], &[2], 2, Direction::Causal), &device());
    junction.around(x, &mut cx, &mut |x, _| x.exp())
}

#[test]
fn a_sandwich_norms_what_goes_in_and_what_comes_out() {
    let norm = NormConfig::Rms(RmsNormConfig { eps: 1e-6 });
    let weights = [vec![1.0, 2.0, 0.5, -1.0], vec![0.3, -0.7, 1.5, 2.0]];
    let [before, after] =
        weights.clone().map(|w| Tensor::<1>::from_data(w.as_slice(), (&device(), burn::tensor::DType::F64)));
    let [first, second] = weights;
    let config = JunctionConfig::Sandwich(NormedConfig { norm });
    let junction = made(config, &[("before.weight", first), ("after.weight", second)]);
    let x = rows([0.1, -0.4, 2.0, 1.0, -1.0, 0.2, 0.3, 0.7]);
    let want = x.clone() + rms(rms(x.clone(), before.unsqueeze()).exp(), after.unsqueeze());
    assert_close(&joined(&junction, x), &want, 1e-12);
}

#[test]
fn rezero_scales_the_branch_alone() {
    let junction = made(JunctionConfig::ReZero(ReZeroConfig::default()), &[("scale", vec![0.25])]);
    let x = rows([0.1, -0.4, 2.0, 1.0, -1.0, 0.2, 0.3, 0.7]);
    assert_close(&joined(&junction, x.clone()), &(x.clone() + x.exp() * 0.25), 1e-12);
}
