//! Short convolution on the CPU, in one pass forward.
//!
//! Order of sums: an element adds bias and rows of the filter in ascending order; the gradient of x adds the tokens that
//! read it in ascending order; gradients of filter and bias add tokens in blocks of fixed size ([`par_sum_rows`]). The bits
//! don't depend on threads (`threads_change_no_bit`). z is computed again in the backward pass.

use super::Filter;
use crate::cpu::backend_api::{
    Autodiff, Backend, Backward, CheckpointStrategy, Checkpointer, Dispatch, Flex, FlexTensor, FloatTensor, Gradients,
    IntTensor, Ops, OpsKind, TensorMetadata, backend_extension,
};
use crate::cpu::{
    tensor::{as_f32_slice, f32_tensor, par_fill_rows, par_sum_rows},
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

vectorized! {
    /// out += a ⊙ b.
    fn add_products(a: &[f32], b: &[f32], out: &mut [f32]) {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out += a * b;
        }
    }

    /// silu of a row, in place.
    fn silu_row(row: &mut [f32]) {
        for z in row.iter_mut() {
            *z *= sigmoid(*z);
        }
    }

    /// z to g silu'(z), in place.
    fn silu_gradient_row(row: &mut [f32], g: &[f32]) {
        for (z, g) in row.iter_mut().zip(g) {
            let s = sigmoid(*z);
            *z = g * s * (1.0 + *z * (1.0 - s));
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

impl Inputs {
    fn new(x: &FlexTensor, weight: &FlexTensor, bias: &FlexTensor, taps: &FlexTensor, has_bias: bool) -> Self {
        let bias = has_bias.then(|| bias.to_contiguous());
        Self { x: x.to_contiguous(), weight: weight.to_contiguous(), bias, taps: taps.to_contiguous() }
    }

    /// Sizes B, S, T, W, N.
    fn sizes(&self) -> [usize; 5] {
        let (x, taps) = (self.x.shape(), self.taps.shape());
        [x[0], x[1], taps[1], taps[2], x[2]]
    }

    /// Number of the row of x, `[B · S]`, that each tap of token `row` of `[B · T]` reads, with the tap's index.
    fn sources(&self, row: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        let [_, s, t, w, _] = self.sizes();
        let taps = &self.taps.as_slice::<i32>().expect("contiguous 32-bit integers")[row * w..(row + 1) * w];
        let taps = taps.iter().enumerate().filter(|(_, source)| **source >= 0);
        taps.map(move |(k, source)| {
            assert!((*source as usize) < s, "a tap reads row {source} of {s}");
            (k, row / t * s + *source as usize)
        })
    }

    /// Writes z of token `row` of `[B · T]`.
    fn write_sums(&self, row: usize, out: &mut [f32]) {
        let n = out.len();
        match &self.bias {
            Some(bias) => out.copy_from_slice(as_f32_slice(bias)),
            None => out.fill(0.0),
        }
        let (x, w) = (as_f32_slice(&self.x), as_f32_slice(&self.weight));
        for (k, source) in self.sources(row) {
            add_products(&x[source * n..(source + 1) * n], &w[k * n..(k + 1) * n], out);
        }
    }

    /// Readers of each row of x, as (token, tap), tokens in ascending order: offsets `[B · S + 1]` into the list.
    fn readers(&self) -> (Vec<usize>, Vec<(usize, usize)>) {
        let [b, s, t, _, _] = self.sizes();
        let mut offsets = vec![0; b * s + 1];
        (0..b * t).for_each(|row| self.sources(row).for_each(|(_, source)| offsets[source + 1] += 1));
        (0..b * s).for_each(|row| offsets[row + 1] += offsets[row]);
        let mut next = offsets.clone();
        let mut readers = vec![(0, 0); offsets[b * s]];
        for row in 0..b * t {
            for (k, source) in self.sources(row) {
                readers[next[source]] = (row, k);
                next[source] += 1;
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
        let [b, _, t, _, n] = inputs.sizes();
        let mut out = vec![0.0; b * t * n];
        par_fill_rows(&mut out, n, |row, out| {
            inputs.write_sums(row, out);
            if params.silu {
                silu_row(out);
            }
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
        let ([b, s, t, w, n], gradient) = (inputs.sizes(), gradient.to_contiguous());
        let g = as_f32_slice(&gradient);
        let mut delta = vec![0.0; b * t * n];
        par_fill_rows(&mut delta, n, |row, delta| {
            let g = &g[row * n..(row + 1) * n];
            if saved.params.silu {
                inputs.write_sums(row, delta);
                silu_gradient_row(delta, g);
            } else {
                delta.copy_from_slice(g);
            }
        });
        let (xs, ws) = (as_f32_slice(&inputs.x), as_f32_slice(&inputs.weight));
        let (offsets, readers) = inputs.readers();
        let mut dx = vec![0.0; b * s * n];
        par_fill_rows(&mut dx, n, |row, dx| {
            for (token, k) in &readers[offsets[row]..offsets[row + 1]] {
                add_products(&delta[token * n..(token + 1) * n], &ws[k * n..(k + 1) * n], dx);
            }
        });
        let sums = par_sum_rows(b * t, (w + 1) * n, |row, sums| {
            let delta = &delta[row * n..(row + 1) * n];
            for (k, source) in inputs.sources(row) {
                add_products(delta, &xs[source * n..(source + 1) * n], &mut sums[k * n..(k + 1) * n]);
            }
            sums[w * n..].iter_mut().zip(delta).for_each(|(sum, delta)| *sum += delta);
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
