//! Rotary position embedding (RoPE): values of Llama, and the properties of a rotation.

use burn::tensor::{DType, Tensor, TensorData};
use kiln_kernels::testing::{assert_close, to_f64_vec};
use kiln_laws::{device, fixture::Fixture};
use kiln_nn::{
    BuildContext, Context, Initializer,
    position::{Position, PositionConfig, RotaryEmbeddingConfig, Side},
};
use kiln_spec::{Direction, Layout, TokenMark};
use proptest::{array::uniform6, prelude::*};

fn rotary(theta: f64) -> Position {
    let config = PositionConfig::Rotary(RotaryEmbeddingConfig { theta, ..RotaryEmbeddingConfig::default() });
    let around =
        BuildContext { hidden: 8, vocab: 1, heads: 1, dropout: 0.0, position: &config, direction: Direction::Causal };
    config.init(&around, &mut Initializer::new(0, &device()))
}

fn layout_at(positions: &[i32], width: usize) -> Layout {
    let mark = |position: &i32| TokenMark { position: *position, ..TokenMark::new(0, 0, Direction::Causal) };
    Layout::from_marks(positions.iter().map(mark).collect(), width).expect("whole rows")
}

#[test]
fn values_equal_those_of_llama() {
    let file = Fixture::open("rotary");
    let positions: Vec<i32> = file.values("positions").1.into_iter().map(|p| p as i32).collect();
    let x = file.tensor::<4>("x", &device());
    for theta in [10_000.0, 500.0] {
        let turned =
            rotary(theta).transform(Side::Query, x.clone(), &mut Context::new(&layout_at(&positions, 7), &device()));
        // Llama computes in f32.
        assert_close(&turned, &file.tensor(&format!("theta_{theta}.output"), &device()), 2e-6);
    }
    let other = rotary(9_000.0).transform(Side::Query, x, &mut Context::new(&layout_at(&positions, 7), &device()));
    assert!(kiln_kernels::testing::max_abs_diff(&other, &file.tensor("theta_10000.output", &device())) > 1e-3);
}

/// One head's vector of six numbers, turned to a position.
fn rotated(theta: f64, x: [f64; 6], position: i32) -> Vec<f64> {
    let x = Tensor::<4>::from_data(TensorData::new(x.to_vec(), [1, 1, 1, 6]), (&device(), DType::F64));
    to_f64_vec(&rotary(theta).transform(Side::Query, x, &mut Context::new(&layout_at(&[position], 1), &device())))
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn vector() -> impl Strategy<Value = [f64; 6]> {
    uniform6(-1.0f64..1.0)
}

proptest! {
    /// ⟨R_m q, R_n k⟩ = ⟨R_{m−n+c} q, R_c k⟩: the angles are f32, so that 1000 radians are known to 6e-5.
    #[test]
    fn a_score_depends_on_the_distance(
        q in vector(), k in vector(), theta in 2.0f64..20_000.0, m in 0i32..500, n in 0i32..500, c in 0i32..500,
    ) {
        let look = |m, n| dot(&rotated(theta, q, m), &rotated(theta, k, n));
        let (least, shift) = (m.min(n), c - m.min(n));
        prop_assert!((look(m, n) - look(m + shift, n + shift)).abs() < 1e-3, "{} {}", least, shift);
        prop_assert!((look(m, n) - look(m - least, n - least)).abs() < 1e-3);
    }

    #[test]
    fn rotation_keeps_the_length(x in vector(), theta in 2.0f64..20_000.0, position in 0i32..10_000) {
        let y = rotated(theta, x, position);
        prop_assert!((dot(&x, &x) - dot(&y, &y)).abs() < 1e-6);
    }

    #[test]
    fn the_first_position_is_not_rotated(x in vector(), theta in 2.0f64..20_000.0) {
        prop_assert_eq!(rotated(theta, x, 0), x.to_vec());
    }

    /// The pairs are (i, i + d/2), pair i turned by position · θ^(−2i/d).
    #[test]
    fn each_pair_is_rotated_by_its_angle(x in vector(), theta in 2.0f64..20_000.0, position in 0i32..200) {
        let y = rotated(theta, x, position);
        for i in 0..3 {
            let angle = f64::from(position) * theta.powf(-2.0 * i as f64 / 6.0);
            let (sin, cos) = angle.sin_cos();
            prop_assert!((y[i] - (x[i] * cos - x[i + 3] * sin)).abs() < 1e-4);
            prop_assert!((y[i + 3] - (x[i + 3] * cos + x[i] * sin)).abs() < 1e-4);
        }
    }
}
