//! Short causal convolution over a layer's inputs, one filter for each channel (2405.21060, section 7.1; 2412.06464, section
//! 3.4).
//!
//! A token reads itself and the W − 1 valid tokens before it in its document. Padding is skipped, wherever it is. Between
//! calls the last W − 1 inputs are stored. Computed by the kernel [`kiln_kernels::short_convolution`].
//!
//! Parameters: `weight [W, N]` (the last row multiplies the token itself), `bias [N]` (optional). Initial weights are uniform
//! within ±1/√W, as in PyTorch. State: (W − 1) · N values per sequence.

mod taps;

pub use taps::ConvolutionTaps;

use crate::{context::Context, init::Initializer, variant::invalid};
use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use kiln_kernels::short_convolution::{Filter, short_convolution};
use kiln_spec::ValidationError;

/// Longest filter, 64. A larger number in a configuration is treated as a mistake.
pub const MAX_WIDTH: usize = 64;

/// Short convolution of N channels, with or without SiLU; see the [module](self).
#[derive(Module, Debug)]
pub struct ShortConvolution {
    /// Filter, `[W, N]`.
    pub weight: Param<Tensor<2>>,
    /// Bias, `[N]`.
    pub bias: Option<Param<Tensor<1>>>,
}

impl ShortConvolution {
    /// Returns a convolution of `[width, channels]` under `name`.
    pub fn new(name: &str, [width, channels]: [usize; 2], bias: bool, init: &mut Initializer) -> Self {
        init.scope(name, |init| Self {
            weight: init.uniform("weight", [width, channels], (width as f64).powf(-0.5)),
            bias: bias.then(|| init.constant([channels], 0.0)),
        })
    }

    /// Returns silu of the convolution of `x [B, T, N]`, in its shape. `name` is the convolution's part of the state's path.
    pub fn forward(&self, name: &str, x: Tensor<3>, taps: &ConvolutionTaps, cx: &mut Context) -> Tensor<3> {
        self.convolve(name, x, taps, true, cx)
    }

    /// Returns the convolution of `x [B, T, N]` without SiLU, in its shape.
    pub fn forward_linear(&self, name: &str, x: Tensor<3>, taps: &ConvolutionTaps, cx: &mut Context) -> Tensor<3> {
        self.convolve(name, x, taps, false, cx)
    }

    fn convolve(&self, name: &str, x: Tensor<3>, taps: &ConvolutionTaps, silu: bool, cx: &mut Context) -> Tensor<3> {
        let x = cx.scope(name, |cx| Self::with_earlier_rows(x, taps, cx));
        let filter = Filter { weight: self.weight.val(), bias: self.bias.as_ref().map(Param::val), silu };
        short_convolution(x, taps.taps(), filter)
    }

    /// The inputs of earlier calls that the taps may read, followed by those of this call. Stores those of the next call.
    fn with_earlier_rows(x: Tensor<3>, taps: &ConvolutionTaps, cx: &mut Context) -> Tensor<3> {
        let Some(kept) = taps.kept_rows() else { return x };
        let ([b, _, n], [_, earlier]) = (x.dims(), kept.dims());
        let stored: Option<Tensor<3>> = cx.take_recurrent("rows").flatten();
        let zeros = || Tensor::zeros([b, earlier, n], (&x.device(), x.dtype()));
        let rows = stored.unwrap_or_else(zeros);
        let dtype = x.dtype();
        let x = Tensor::cat(vec![rows, x], 1);
        let is_kept = kept.clone().greater_equal_elem(0).float().cast(dtype).unsqueeze_dim::<3>(2);
        let next = x.clone().gather(1, kept.clamp_min(0).unsqueeze_dim::<3>(2).expand([b, earlier, n])) * is_kept;
        cx.put_recurrent("rows", next);
        x
    }

    /// Returns the floating-point operations per token.
    pub fn flops(&self) -> f64 {
        2.0 * self.weight.lazy_shape().num_elements() as f64
    }

    /// Returns the values of decode state per sequence.
    pub fn state_len(&self) -> usize {
        let [width, channels] = self.weight.lazy_shape().dims();
        (width - 1) * channels
    }
}

/// Checks the option `conv_width` at `path`.
pub(super) fn check_width(width: usize, path: &str) -> Result<(), ValidationError> {
    if width == 0 || width > MAX_WIDTH {
        return invalid(path, "conv_width", format!("expected a width from 1 to {MAX_WIDTH}, found {width}"));
    }
    Ok(())
}
