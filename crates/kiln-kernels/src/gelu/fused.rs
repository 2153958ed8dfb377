//! GELU with the addition of a bias, in one pass forward and one backward.
//!
//! The input is stored for the backward pass, not the sum: f′ is computed again from x + b. Order of sums: the bias's gradient
//! over rows in blocks of fixed size ([`par_fill_and_sum_rows`]), so the bits are the same for any number of threads
//! (`threads_change_no_bit`).

use super::GeluForm;
use crate::cpu::backend_api::{
    Autodiff, Backend, Backward, CheckpointStrategy, Checkpointer, Dispatch, Flex, FlexTensor, FloatTensor, Gradients,
    Ops, OpsKind, TensorMetadata, backend_extension,
};
use crate::cpu::{
    tensor::{as_f32_slice, f32_tensor, par_fill_and_sum_rows, par_fill_rows},
    vector::{erf, exp, tanh, vectorized},
};
use burn::tensor::{Shape, Tensor};
use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

/// Operation of [`gelu`] on Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub trait Gelu: Backend {
    /// f(x + b), `x […, N]`, `bias [N]`.
    fn gelu_with_bias(x: FloatTensor<Self>, bias: FloatTensor<Self>, form: GeluForm) -> FloatTensor<Self>;
}

/// Gradient of GELU, on backends without autodiff.
pub trait GeluGradient: Gelu {
    /// Returns the gradients of x, in its shape, and of b `[N]`.
    fn gelu_gradient(
        x: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        form: GeluForm,
    ) -> [FloatTensor<Self>; 2];
}

/// GELU of `x […, N]` plus an optional `bias [N]`; returns `[…, N]`.
///
/// # Panics
/// If a tensor isn't f32 on flex.
pub fn gelu<const D: usize>(x: Tensor<D>, bias: Option<Tensor<1>>, form: GeluForm) -> Tensor<D> {
    let bias = bias.unwrap_or_else(|| Tensor::zeros([x.dims()[D - 1]], &x.device().without_autodiff()));
    Tensor::from_dispatch(Dispatch::gelu_with_bias(x.into_dispatch(), bias.into_dispatch(), form))
}

/// √(2/π).
const SQRT_2_OVER_PI: f32 = FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
/// Coefficient of the cubic term of the approximation by tanh.
const CUBIC: f32 = 0.044_715;

/// Φ(z).
#[inline(always)]
fn normal_cdf(z: f32) -> f32 {
    0.5 * (1.0 + erf(z * FRAC_1_SQRT_2))
}

/// tanh √(2/π) (z + 0.044715 z³).
#[inline(always)]
fn tanh_term(z: f32) -> f32 {
    tanh(SQRT_2_OVER_PI * (z + CUBIC * z * z * z))
}

vectorized! {
    /// z Φ(z) of a row, z = x + b.
    fn exact_row(x: &[f32], b: &[f32], y: &mut [f32]) {
        for ((y, x), b) in y.iter_mut().zip(x).zip(b) {
            let z = x + b;
            *y = z * normal_cdf(z);
        }
    }

    /// z (1 + tanh u) / 2 of a row, z = x + b.
    fn tanh_row(x: &[f32], b: &[f32], y: &mut [f32]) {
        for ((y, x), b) in y.iter_mut().zip(x).zip(b) {
            let z = x + b;
            *y = 0.5 * z * (1.0 + tanh_term(z));
        }
    }

    /// g (Φ(z) + z φ(z)) of a row, added to the bias's gradient too.
    fn exact_gradient_row(x: &[f32], b: &[f32], g: &[f32], dx: &mut [f32], db: &mut [f32]) {
        for ((((dx, db), x), b), g) in dx.iter_mut().zip(db).zip(x).zip(b).zip(g) {
            let z = x + b;
            // φ(0) = 1 / √(2π) = √(2/π) / 2.
            *dx = g * (normal_cdf(z) + z * exp(-0.5 * z * z) * (0.5 * SQRT_2_OVER_PI));
            *db += *dx;
        }
    }

    /// g ((1 + tanh u) / 2 + z (1 − tanh² u) u′ / 2) of a row, added to the bias's gradient too.
    fn tanh_gradient_row(x: &[f32], b: &[f32], g: &[f32], dx: &mut [f32], db: &mut [f32]) {
        for ((((dx, db), x), b), g) in dx.iter_mut().zip(db).zip(x).zip(b).zip(g) {
            let z = x + b;
            let t = tanh_term(z);
            let slope = SQRT_2_OVER_PI * (1.0 + 3.0 * CUBIC * z * z);
            *dx = g * (0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * slope);
            *db += *dx;
        }
    }
}

impl Gelu for Flex {
    fn gelu_with_bias(x: FlexTensor, bias: FlexTensor, form: GeluForm) -> FlexTensor {
        let (x, bias) = (x.to_contiguous(), bias.to_contiguous());
        let (xs, b) = (as_f32_slice(&x), as_f32_slice(&bias));
        let n = b.len();
        let mut y = vec![0.0; xs.len()];
        par_fill_rows(&mut y, n, |row, y| {
            let x = &xs[row * n..(row + 1) * n];
            match form {
                GeluForm::Exact => exact_row(x, b, y),
                GeluForm::Tanh => tanh_row(x, b, y),
            }
        });
        f32_tensor(y, x.shape())
    }
}

impl GeluGradient for Flex {
    fn gelu_gradient(x: FlexTensor, bias: FlexTensor, gradient: FlexTensor, form: GeluForm) -> [FlexTensor; 2] {
        let [x, bias, gradient] = [x, bias, gradient].map(|tensor| tensor.to_contiguous());
        let [xs, b, g] = [&x, &bias, &gradient].map(as_f32_slice);
        let n = b.len();
        let mut dx = vec![0.0; xs.len()];
        let db = par_fill_and_sum_rows(&mut dx, n, n, |row, dx, db| {
            let columns = row * n..(row + 1) * n;
            let (x, g) = (&xs[columns.clone()], &g[columns]);
            match form {
                GeluForm::Exact => exact_gradient_row(x, b, g, dx, db),
                GeluForm::Tanh => tanh_gradient_row(x, b, g, dx, db),
            }
        });
        [f32_tensor(dx, x.shape()), f32_tensor(db, Shape::from([n]))]
    }
}

/// Backward step; stores x and b.
#[derive(Debug)]
struct GeluBackward;

impl<B: GeluGradient> Backward<B, 2> for GeluBackward {
    type State = (FloatTensor<B>, FloatTensor<B>, GeluForm);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (x, bias, form) = ops.state;
        let gradient = grads.consume::<B>(&ops.node);
        for (parent, gradient) in ops.parents.into_iter().zip(B::gelu_gradient(x, bias, gradient, form)) {
            if let Some(node) = parent {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: GeluGradient, C: CheckpointStrategy> Gelu for Autodiff<B, C> {
    fn gelu_with_bias(x: FloatTensor<Self>, bias: FloatTensor<Self>, form: GeluForm) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (bias, bias_node) = bias.into_parts();
        let y = B::gelu_with_bias(x.clone(), bias.clone(), form);
        match GeluBackward.prepare::<C>([x_node, bias_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x, bias, form), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}
