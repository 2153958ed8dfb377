//! Gated linear attention: the layer against its equations on the host, for any token marks. [`mixers`](super::mixers) has
//! the laws of its state.

use super::mixers::{input, layout, run};
use burn::tensor::{DType, TensorData};
use kiln_kernels::testing::{max_abs_diff, to_f64_vec as numbers};
use kiln_laws::{
    device,
    parameters::{ByPath, to_f64, values},
};
use kiln_models::ModelConfig;
use kiln_nn::{BuildContext, Context, Initializer, part::Part, part::PartConfig};
use kiln_spec::{Direction, Layout, TokenMark};
use proptest::prelude::*;

const HIDDEN: usize = 6;
const HEADS: usize = 2;
const KEY: usize = 3;
const VALUE: usize = 2;
const EXACT: f64 = 1e-11;

fn part() -> Part {
    let text = r#"{"gla":{"heads":2,"head_dim":3,"value_dim":2,"rank":2,"temperature":4.0,"norm":"none"}}"#;
    let config: PartConfig = serde_json::from_str(text).expect("legal");
    let model = ModelConfig { hidden: HIDDEN, ..ModelConfig::default() };
    config.check(&model.build_context(), "part").expect("legal");
    to_f64(config.init(&BuildContext { dropout: 0.0, ..model.build_context() }, &mut Initializer::new(3, &device())))
}

/// x W + b.
fn linear(weights: &ByPath<TensorData>, name: &str, x: &[f64]) -> Vec<f64> {
    let weight: Vec<f64> = weights[&format!("{name}.weight")].iter::<f64>().collect();
    let width = weight.len() / x.len();
    let bias = weights.get(&format!("{name}.bias")).map(|b| b.iter::<f64>().collect());
    let mut out: Vec<f64> = bias.unwrap_or(vec![0.0; width]);
    for (i, x) in x.iter().enumerate() {
        (0..width).for_each(|o| out[o] += x * weight[i * width + o]);
    }
    out
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The equations, for the live tokens of one document, one after the other; `[T][M]`.
fn reference(weights: &ByPath<TensorData>, tokens: &[&[f64]]) -> Vec<Vec<f64>> {
    let mut state = [[[0.0; VALUE]; KEY]; HEADS];
    let mut token = |x: &&[f64]| {
        let [q, k, v, gate] = ["q", "k", "v", "gate"].map(|name| linear(weights, name, x));
        let decay = linear(weights, "decay_out", &linear(weights, "decay_in", x));
        let mut out = [0.0; HEADS * VALUE];
        for (h, state) in state.iter_mut().enumerate() {
            for (d, row) in state.iter_mut().enumerate() {
                for (e, s) in row.iter_mut().enumerate() {
                    let (key, value) = (h * KEY + d, h * VALUE + e);
                    *s = *s * sigmoid(decay[key]).powf(0.25) + k[key] * v[value];
                    out[value] += q[key] * *s / (KEY as f64).sqrt();
                }
            }
        }
        let gated: Vec<f64> = out.iter().zip(&gate).map(|(o, r)| o * r * sigmoid(*r)).collect();
        linear(weights, "o", &gated)
    };
    tokens.iter().map(&mut token).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn the_layer_equals_its_equations(layout in layout()) {
        let part = part();
        let weights = values(&part);
        let (x, width) = (numbers(&input(&layout, HIDDEN, DType::F64)), layout.sequence_length());
        let out = numbers(&part.forward(input(&layout, HIDDEN, DType::F64), &mut Context::new(&layout, &device())));
        for row in 0..layout.batch_size() {
            let live: Vec<usize> = (0..width).filter(|t| layout.row(row)[*t].valid).collect();
            for document in live.chunk_by(|a, b| layout.row(row)[*a].document == layout.row(row)[*b].document) {
                let at = |t: &usize| (row * width + t) * HIDDEN;
                let tokens: Vec<&[f64]> = document.iter().map(|t| &x[at(t)..][..HIDDEN]).collect();
                for (t, want) in document.iter().zip(reference(&weights, &tokens)) {
                    let have = &out[at(t)..][..HIDDEN];
                    prop_assert!(have.iter().zip(&want).all(|(a, b)| (a - b).abs() < EXACT), "{have:?} {want:?}");
                }
            }
        }
    }
}

/// Without the last document's number, a second document would go on with the state of the first.
#[test]
fn two_documents_differ_from_one() {
    let marks = |second: usize| {
        let mark = |t: usize| TokenMark::new(t % 3, if t < 3 { 0 } else { second }, Direction::Causal);
        Layout::from_marks((0..6).map(mark).collect(), 6).expect("a row")
    };
    let after = |second| {
        let (part, layout) = (part(), marks(second));
        let x = input(&layout, HIDDEN, DType::F64);
        let (_, state) = run(&part, &layout, x.clone(), [0, 3], None);
        run(&part, &layout, x, [3, 6], Some(state)).0
    };
    assert!(max_abs_diff(&after(0), &after(1)) > 1e-2);
}
