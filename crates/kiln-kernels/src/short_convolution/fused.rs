//! Short convolution on the CPU, in one pass forward and two backward.
//!
//! Order of sums: an element adds bias and rows of the filter in ascending order; the gradient of x adds the tokens that
//! read it in ascending order; gradients of filter and bias add tokens in blocks of fixed size ([`par_new_rows_and_sum`]). The bits
//! don't depend on threads (`threads_change_no_bit`). z is computed again in the backward pass.

use super::Filter;
use crate::cpu::backend_api::{
    Autodiff, Backend, Backward, CheckpointStrategy, Checkpointer, Dispatch, Flex, FlexTensor, FloatTensor, Gradients,
    IntTensor, Ops, OpsKind, TensorMetadata, backend_extension,
};
use crate::cpu::{
    tensor::{as_f32_slice, f32_tensor, par_new_rows, par_new_rows_and_sum},
    vector::{sigmoid, vectorized},
};
use burn::tensor::{Device, Int, Shape, Tensor};

/// Options of a short convolution, besides its tensors.
#[derive(Clone, Copy, Debug)]
pub struct ConvolutionParams {
    has_bias: bool,
    silu: bool,
}

/// Operation of [`short_convolution`] on Burn's backends.
#[backend_extension(Flex, Autodiff)]
pub trait ShortConvolution: Backend {
    /// `x [B, S, N]`, `weight [W, N]`, `bias [N]` (one element if there is none), `taps [B, T, W] → [B, T, N]`.
    fn short_convolution(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        taps: IntTensor<Self>,
        params: ConvolutionParams,
    ) -> FloatTensor<Self>;
}

/// Gradient of the short convolution, on backends without autodiff.
pub trait ShortConvolutionGradient: ShortConvolution {
    /// Returns the gradients of x, weight and bias; that of an absent bias is `None`.
    fn short_convolution_gradient(
        saved: SavedTensors<FloatTensor<Self>, IntTensor<Self>>,
        gradient: FloatTensor<Self>,
    ) -> [Option<FloatTensor<Self>>; 3];
}

/// Tensors stored for the backward pass.
#[derive(Clone, Debug)]
pub struct SavedTensors<F, I> {
    /// x, weight and bias.
    inputs: [F; 3],
    taps: I,
    params: ConvolutionParams,
}

/// Short convolution of `x [B, S, N]` by `taps [B, T, W]` (rows of x, −1 for none); returns `[B, T, N]`.
///
/// # Panics
/// If a float tensor isn't f32 on flex, or a tap is no row of x.
pub fn short_convolution(x: Tensor<3>, taps: Tensor<3, Int>, filter: Filter) -> Tensor<3> {
    let params = ConvolutionParams { has_bias: filter.bias.is_some(), silu: filter.silu };
    let bias = filter.bias.unwrap_or_else(|| Tensor::zeros([1], &Device::flex()));
    let [x, weight, bias] = [x.into_dispatch(), filter.weight.into_dispatch(), bias.into_dispatch()];
    Tensor::from_dispatch(Dispatch::short_convolution(x, weight, bias, taps.into_dispatch(), params))
}

/// Weights and bias of a filter: `weights [W, N]`, and `bias [N]` or empty.
#[derive(Clone, Copy)]
struct FilterRows<'a> {
    weights: &'a [f32],
    bias: &'a [f32],
}

/// z of a token in `out`: the bias, plus the rows of `x [S, N]` that its taps read times those of the filter.
#[inline(always)]
fn write_sums(x: &[f32], taps: &[i32], filter: FilterRows<'_>, out: &mut [f32]) {
    let n = out.len();
    if filter.bias.is_empty() {
        out.fill(0.0);
    } else {
        out.copy_from_slice(filter.bias);
    }
    for (tap, weights) in taps.iter().zip(filter.weights.chunks_exact(n)) {
        if *tap >= 0 {
            add_products(&x[*tap as usize * n..][..n], weights, out);
        }
    }
}

/// out += a ⊙ b.
#[inline(always)]
fn add_products(a: &[f32], b: &[f32], out: &mut [f32]) {
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        *out += a * b;
    }
}

vectorized! {
    /// z of a token, or silu(z).
    fn forward_row(x: &[f32], taps: &[i32], filter: FilterRows<'_>, silu: bool, out: &mut [f32]) {
        write_sums(x, taps, filter, out);
        if silu {
            for z in out.iter_mut() {
                *z *= sigmoid(*z);
            }
        }
    }

    /// δ = g silu'(z) of a token, or g; adds δ ⊙ x of each tap and δ to `sums [W + 1, N]`.
    fn delta_row(x: &[f32], taps: &[i32], filter: FilterRows<'_>, silu: bool, g: &[f32], delta: &mut [f32], sums: &mut [f32]) {
        let n = delta.len();
        if silu {
            write_sums(x, taps, filter, delta);
            for (z, g) in delta.iter_mut().zip(g) {
                let s = sigmoid(*z);
                *z = g * s * (1.0 + *z * (1.0 - s));
            }
        } else {
            delta.copy_from_slice(g);
        }
        let (weights, bias) = sums.split_at_mut(taps.len() * n);
        for (tap, sum) in taps.iter().zip(weights.chunks_exact_mut(n)) {
            if *tap >= 0 {
                add_products(delta, &x[*tap as usize * n..][..n], sum);
            }
        }
        for (sum, delta) in bias.iter_mut().zip(delta) {
            *sum += *delta;
        }
    }

    /// Σ w_k ⊙ δ_t over the pairs (t, k) that read a row of x.
    fn input_gradient_row(delta: &[f32], weights: &[f32], readers: &[(u32, u32)], dx: &mut [f32]) {
        let n = dx.len();
        for (token, k) in readers {
            add_products(&delta[*token as usize * n..][..n], &weights[*k as usize * n..][..n], dx);
        }
    }
}

/// Contiguous tensors of a call.
struct Inputs {
    x: FlexTensor,
    weight: FlexTensor,
    bias: Option<FlexTensor>,
    taps: FlexTensor,
}

/// Inputs of a call in memory.
struct InputRows<'a> {
    /// `[B, S, N]`.
    x: &'a [f32],
    filter: FilterRows<'a>,
    /// `[B, T, W]`.
    taps: &'a [i32],
    /// B, S, T, W and N.
    sizes: [usize; 5],
}

impl Inputs {
    fn new(x: &FlexTensor, weight: &FlexTensor, bias: &FlexTensor, taps: &FlexTensor, has_bias: bool) -> Self {
        let bias = has_bias.then(|| bias.to_contiguous());
        Self { x: x.to_contiguous(), weight: weight.to_contiguous(), bias, taps: taps.to_contiguous() }
    }

    /// The tensors as slices, which the loops over rows read.
    fn rows(&self) -> InputRows<'_> {
        let (x, taps) = (self.x.shape(), self.taps.shape());
        let bias = self.bias.as_ref().map_or(&[][..], as_f32_slice);
        InputRows {
            x: as_f32_slice(&self.x),
            filter: FilterRows { weights: as_f32_slice(&self.weight), bias },
            taps: self.taps.as_slice::<i32>().expect("contiguous 32-bit integers"),
            sizes: [x[0], x[1], taps[1], taps[2], x[2]],
        }
    }
}

impl InputRows<'_> {
    /// The sequence `[S, N]` of token `row` of `[B · T]`, and the token's taps.
    fn token(&self, row: usize) -> (&[f32], &[i32]) {
        let [_, s, t, w, n] = self.sizes;
        (&self.x[row / t * s * n..][..s * n], &self.taps[row * w..][..w])
    }

    /// Readers of each row of x, as (token, tap), tokens in ascending order: offsets `[B · S + 1]` into the list.
    ///
    /// # Panics
    /// If a tap is no row of x.
    fn readers(&self) -> (Vec<u32>, Vec<(u32, u32)>) {
        let [b, s, t, w, _] = self.sizes;
        let sequences = || self.taps.chunks_exact((t * w).max(1)).enumerate();
        let mut offsets = vec![0u32; b * s + 1];
        for (sequence, taps) in sequences() {
            let counts = &mut offsets[1 + sequence * s..][..s];
            taps.iter().filter(|tap| **tap >= 0).for_each(|tap| counts[*tap as usize] += 1);
        }
        (0..b * s).for_each(|row| offsets[row + 1] += offsets[row]);
        let mut next = offsets.clone();
        let mut readers = vec![(0, 0); offsets[b * s] as usize];
        for (sequence, taps) in sequences() {
            let next = &mut next[sequence * s..][..s];
            for (i, tap) in taps.iter().enumerate().filter(|(_, tap)| **tap >= 0) {
                let slot = &mut next[*tap as usize];
                readers[*slot as usize] = ((sequence * t + i / w) as u32, (i % w) as u32);
                *slot += 1;
            }
        }
        (offsets, readers)
    }
}

impl ShortConvolution for Flex {
    fn short_convolution(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        taps: FlexTensor,
        params: ConvolutionParams,
    ) -> FlexTensor {
        let inputs = Inputs::new(&x, &weight, &bias, &taps, params.has_bias);
        let rows = inputs.rows();
        let [b, _, t, _, n] = rows.sizes;
        let out = par_new_rows(b * t * n, n, |row, out| {
            let (x, taps) = rows.token(row);
            forward_row(x, taps, rows.filter, params.silu, out);
        });
        f32_tensor(out, Shape::from([b, t, n]))
    }
}

impl ShortConvolutionGradient for Flex {
    fn short_convolution_gradient(
        saved: SavedTensors<FlexTensor, FlexTensor>,
        gradient: FlexTensor,
    ) -> [Option<FlexTensor>; 3] {
        let [x, weight, bias] = &saved.inputs;
        let inputs = Inputs::new(x, weight, bias, &saved.taps, saved.params.has_bias);
        let (rows, gradient) = (inputs.rows(), gradient.to_contiguous());
        let ([b, s, t, w, n], g) = (rows.sizes, as_f32_slice(&gradient));
        let ([delta], sums) = par_new_rows_and_sum(b * t * n, n, (w + 1) * n, |row, [delta], sums| {
            let (x, taps) = rows.token(row);
            delta_row(x, taps, rows.filter, saved.params.silu, &g[row * n..(row + 1) * n], delta, sums);
        });
        let (offsets, readers) = rows.readers();
        let dx = par_new_rows(b * s * n, n, |row, dx| {
            let readers = &readers[offsets[row] as usize..offsets[row + 1] as usize];
            input_gradient_row(&delta, rows.filter.weights, readers, dx);
        });
        let bias = saved.params.has_bias.then(|| f32_tensor(sums[w * n..].to_vec(), Shape::from([n])));
        let weight = f32_tensor(sums[..w * n].to_vec(), Shape::from([w, n]));
        [Some(f32_tensor(dx, inputs.x.shape())), Some(weight), bias]
    }
}

/// Backward step; stores [`SavedTensors`].
#[derive(Debug)]
struct ShortConvolutionBackward;

impl<B: ShortConvolutionGradient> Backward<B, 3> for ShortConvolutionBackward {
    type State = SavedTensors<FloatTensor<B>, IntTensor<B>>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let gradients = B::short_convolution_gradient(ops.state, gradient);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let (Some(node), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: ShortConvolutionGradient, C: CheckpointStrategy> ShortConvolution for Autodiff<B, C> {
    fn short_convolution(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        taps: IntTensor<Self>,
        params: ConvolutionParams,
    ) -> FloatTensor<Self> {
        let [(x, x_node), (weight, weight_node), (bias, bias_node)] = [x, weight, bias].map(|x| x.into_parts());
        let y = B::short_convolution(x.clone(), weight.clone(), bias.clone(), taps.clone(), params);
        match ShortConvolutionBackward.prepare::<C>([x_node, weight_node, bias_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(SavedTensors { inputs: [x, weight, bias], taps, params }, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}
