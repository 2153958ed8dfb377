//! Position encodings other than plain RoPE: tables of other programs, and properties.

use burn::tensor::{DType, Tensor, TensorData};
use kiln_infer::{block_on, equivalence};
use kiln_kernels::{
    attention::{Buckets, DistanceFunction, Slopes},
    rotary::{self, RotaryPairing},
    testing::{assert_close, max_abs_diff, to_f64_vec},
};
use kiln_laws::{device, fixture::Fixture, loss::DocumentRows, parameters::to_f64, strategies};
use kiln_models::{Model, ModelConfig, load_state_dict};
use kiln_nn::{
    BuildContext, Context, Initializer,
    position::{
        AlibiConfig, Position, PositionConfig, RotaryScaling, SinusoidalPositionConfig, alibi, rotary_scaling, t5,
    },
};
use kiln_spec::{Direction, Layout, config::NoOptions};
use proptest::prelude::*;
use std::sync::Arc;

fn build_position(config: &PositionConfig, hidden: usize) -> Position {
    let around =
        BuildContext { hidden, vocab: 1, heads: 2, dropout: 0.0, position: config, direction: Direction::Causal };
    config.init(&around, &mut Initializer::new(0, &device()))
}

#[test]
fn sinusoids_equal_those_of_marian() {
    let file = Fixture::open("positions");
    let table = file.tensor::<2>("sinusoidal.half", &device());
    let [length, hidden] = table.dims();
    let layout = Layout::from_offsets(&[0], &[length], length, Direction::Causal);
    let zeros = || Tensor::<3>::zeros([1, length, hidden], (&device(), DType::F64));
    let of = |interleaved| {
        let config =
            PositionConfig::Sinusoidal(SinusoidalPositionConfig { interleaved, ..SinusoidalPositionConfig::default() });
        build_position(&config, hidden).embed(zeros(), &mut Context::new(&layout, &device())).squeeze_dim::<2>(0)
    };
    // Angles up to 50 radians in f32.
    assert_close(&of(false), &table, 5e-6);
    // The paper's order: sines in the even channels.
    let half = hidden / 2;
    let paper: Vec<f64> =
        to_f64_vec(&table).chunks(hidden).flat_map(|row| (0..hidden).map(move |i| row[i % 2 * half + i / 2])).collect();
    let paper = Tensor::<2>::from_data(TensorData::new(paper, [length, hidden]), (&device(), DType::F64));
    assert_close(&of(true), &paper, 5e-6);
    assert!(max_abs_diff(&of(false), &paper) > 0.1);
}

#[test]
fn slopes_equal_those_of_bloom() {
    let file = Fixture::open("positions");
    for heads in [4, 6, 8] {
        // BLOOM adds slope · key's position: the same but for a constant a query.
        let bias = file.values(&format!("alibi.{heads}")).1;
        let slopes = alibi::alibi_slopes(8.0, heads);
        for (slope, row) in slopes.iter().zip(bias.chunks(9)) {
            assert!(
                row.iter().enumerate().all(|(key, b)| (b - key as f64 * f64::from(*slope)).abs() < 1e-6),
                "{heads}"
            );
        }
    }
    assert_eq!(Slopes.index_and_factor(-5), (0, -5.0));
}

#[test]
fn buckets_equal_those_of_t5() {
    let file = Fixture::open("positions");
    for (both, side) in [(false, "behind"), (true, "both")] {
        for (buckets, most) in [(32usize, 128usize), (12, 20)] {
            let of = Buckets(Arc::new(t5::bucket_table(buckets, most, both)));
            let found: Vec<f64> = (-512..=512).map(|distance| of.index_and_factor(distance).0 as f64).collect();
            assert_eq!(found, file.values(&format!("t5.{side}.{buckets}.{most}")).1, "{side} {buckets} {most}");
        }
    }
}

#[test]
fn scaled_frequencies_equal_those_of_hugging_face() {
    let file = Fixture::open("positions");
    let yarn = |beta_fast, beta_slow| {
        RotaryScaling::Yarn(rotary_scaling::YarnScaling {
            factor: 8.0,
            original_max_position_embeddings: 512,
            beta_fast,
            beta_slow,
            truncate: true,
            attention_factor: None,
        })
    };
    let all = [
        ("default", RotaryScaling::default()),
        ("linear", RotaryScaling::Linear(rotary_scaling::LinearScaling { factor: 4.0 })),
        ("yarn", yarn(32.0, 1.0)),
        ("yarn_narrow", yarn(16.0, 2.0)),
    ];
    for (name, scaling) in all {
        let (found, factor) = scaling.scaled_frequencies(10_000.0, 16, 0);
        let expected = file.values(&format!("rope.{name}")).1;
        assert!(found.iter().zip(&expected).all(|(a, b)| (f64::from(*a) / b - 1.0).abs() < 1e-6), "{name}: {found:?}");
        let right = if name.starts_with("yarn") { file.values("rope.yarn_factor").1[0] } else { 1.0 };
        assert!((factor - right).abs() < 1e-6, "{name}: {factor}");
    }
}

#[test]
fn interleaved_pairs_rotate_as_in_the_paper() {
    let file = Fixture::open("positions");
    let x = file.tensor::<4>("neighbours.x", &device());
    let at = file.values("neighbours.positions").1;
    let frequencies = RotaryScaling::default().scaled_frequencies(10_000.0, 4, 0).0;
    let angles: Vec<f64> = at.iter().flat_map(|p| frequencies.iter().map(move |f| p * f64::from(*f))).collect();
    let angles = Tensor::<4>::from_data(TensorData::new(angles, [1, 1, 5, 4]), (&device(), DType::F64));
    let turned = |pairs| rotary::apply_rotary(x.clone(), angles.clone().cos(), angles.clone().sin(), pairs);
    let expected = file.tensor("neighbours.output", &device());
    assert_close(&turned(RotaryPairing::Interleaved), &expected, 1e-5);
    assert!(max_abs_diff(&turned(RotaryPairing::Half), &expected) > 1e-2);
}

/// The model with other positions of the stack, weights as they are.
fn with_position(config: &ModelConfig, position: PositionConfig) -> Model {
    let config = ModelConfig { position, ..config.clone() };
    to_f64(Model::init(&config, 5, &device()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// With slopes of 0 the bias says nothing: the table is all the formula has.
    #[test]
    fn slopes_of_zero_equal_no_positions(config in strategies::model_with_attention(), documents in strategies::documents()) {
        // 2^(−2000 h / H) is 0 in f32.
        let flat = with_position(&config, PositionConfig::Alibi(AlibiConfig { alibi_bias_max: 4000.0, scaled: false }));
        let none = with_position(&config, PositionConfig::None(NoOptions {}));
        let steep = with_position(&config, PositionConfig::Alibi(AlibiConfig { alibi_bias_max: 0.0, scaled: false }));
        let weights = kiln_laws::values(&none);
        let [flat, steep] = [flat, steep].map(|model| load_state_dict(model, weights.clone()).expect("the same names"));
        let rows = DocumentRows::packed(&documents, strategies::direction(&config), 0);
        let [a, b, c] = [&none, &flat, &steep].map(|model| kiln_laws::loss::loss_value(model, &rows));
        prop_assert!((a - b).abs() < 1e-12, "{} {}", a, b);
        prop_assert!(c.is_finite());
    }
}

/// Sums are told apart by more than rounding: a steep slope moves what a model says, whichever way it is computed.
#[test]
fn a_slope_changes_the_output() {
    let text = "vocab = 11\nhidden = 8\nposition = 'alibi'\nblocks = [{ sublayers = [{ parts = ['attention'] }] }]";
    let mut config: ModelConfig = kiln_spec::config::parse(text, None).expect("legal");
    config.resolve();
    let document: Vec<u32> = (0..11).collect();
    let rows = DocumentRows::packed(std::slice::from_ref(&document), Direction::Causal, 0);
    let [none, alibi] =
        [PositionConfig::None(NoOptions {}), config.position.clone()].map(|p| with_position(&config, p));
    let apart = kiln_laws::loss::loss_value(&none, &rows) - kiln_laws::loss::loss_value(&alibi, &rows);
    assert!(apart.abs() > 1e-4, "{apart}");
    let chunked = block_on(equivalence::chunked_difference(&alibi, &[document], &[3])).expect("numbers");
    assert!(chunked < 1e-12, "{chunked}");
}
