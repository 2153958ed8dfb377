//! Gated RMSNorm: the norm of o ⊙ silu(z), or the norm of o times silu(z) (2405.21060, section 7.1).
//! The first is the kernel [`kiln_kernels::gated_rms_norm`].

use crate::{init::Initializer, part::feed_forward::activation::Activation};
use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use kiln_kernels::{gated_rms_norm::gated_rms_norm, rms_norm::rms_norm};

/// Gated RMSNorm of I channels in equal parts that are normalized each on its own.
#[derive(Module, Debug)]
pub struct GatedRmsNorm {
    /// w, `[I]`.
    pub weight: Param<Tensor<1>>,
    #[module(skip)]
    eps: f64,
    #[module(skip)]
    parts: usize,
    #[module(skip)]
    norm_before_gate: bool,
}

impl GatedRmsNorm {
    /// Returns a norm of `width` channels in `parts` parts, with weight 1.
    pub fn new(width: usize, parts: usize, eps: f64, norm_before_gate: bool, init: &mut Initializer) -> Self {
        Self { weight: init.constant([width], 1.0), eps, parts, norm_before_gate }
    }

    /// Norm of `x [B, T, I]` with `gate [B, T, I]`.
    pub fn forward(&self, x: Tensor<3>, gate: Tensor<3>) -> Tensor<3> {
        match self.norm_before_gate {
            true => Activation::SILU.apply_gated(gate, self.normalize(x)),
            false => gated_rms_norm(x, gate, self.weight.val(), self.parts, self.eps),
        }
    }

    /// RMSNorm of each part, times the weight.
    fn normalize(&self, x: Tensor<3>) -> Tensor<3> {
        let [b, t, width] = x.dims();
        if self.parts == 1 {
            return rms_norm(x, self.weight.val(), self.eps);
        }
        let ones = Tensor::ones([width / self.parts], (&x.device(), x.dtype()));
        let x = rms_norm(x.reshape([b, t * self.parts, width / self.parts]), ones, self.eps);
        x.reshape([b, t, width]) * self.weight.val().unsqueeze()
    }
}
