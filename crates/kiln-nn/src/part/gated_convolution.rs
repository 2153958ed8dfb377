//! Gated short convolution: a causal convolution over a few tokens between two gates (LFM2, 2511.23404).
//!
//! y_t = (c_t ⊙ conv(b ⊙ x)_t) W_o, with b, c, x = u W_b, u W_c, u W_x. There is no activation function.
//!
//! The convolution reads no other document and no padding ([`short_convolution`](super::short_convolution)). Works left to
//! right only.
//!
//! Parameters: `b.weight`, `c.weight`, `x.weight [M, M]`, `conv.weight [W, M]`, `out.weight [M, M]` (W_o), and with `bias` a
//! bias of each. Other programs keep W_b, W_c and W_x as rows of one matrix `in_proj`, in this order. Cost: the matrices plus
//! 2 (W + 1) M operations per token, independent of the length. State: (W − 1) M values per sequence.
//!
//! Shapes: B sequences, T tokens, M hidden.

use crate::{
    context::Context,
    init::Initializer,
    linear::Linear,
    part::{
        Layer,
        short_convolution::{ConvolutionTaps, ShortConvolution, check_width},
    },
    variant::{BuildContext, Card, Causality, Cost, Variant},
};
use burn::{module::Module, tensor::Tensor};
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of [`GatedConvolution`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct GatedConvolutionConfig {
    /// Width of the convolution, W: the tokens that it reads, itself included.
    pub conv_width: usize,
    /// Biases of the linear maps and of the convolution.
    pub bias: bool,
}

impl Default for GatedConvolutionConfig {
    fn default() -> Self {
        Self { conv_width: 3, bias: false }
    }
}

/// Gated short convolution; see the [module](self).
#[derive(Module, Debug)]
pub struct GatedConvolution {
    /// W_b, `[M, M]`.
    b: Linear,
    /// W_c, `[M, M]`.
    c: Linear,
    /// W_x, `[M, M]`.
    x: Linear,
    conv: ShortConvolution,
    /// W_o, `[M, M]`.
    out: Linear,
    #[module(skip)]
    conv_width: usize,
    #[module(skip)]
    dropout: f64,
}

impl Variant for GatedConvolution {
    type Config = GatedConvolutionConfig;
    const CARD: Card = Card {
        role: "mixer",
        causality: Causality::CausalOnly,
        state: "(width − 1) × hidden",
        time: "T",
        incompatible_with: "any visibility but causal",
        ..Card::new("gated_convolution", "2511.23404")
    };

    fn check(config: &GatedConvolutionConfig, _build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        check_width(config.conv_width, path)
    }

    fn init(config: &GatedConvolutionConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        let (m, bias) = (build.hidden, config.bias);
        Self {
            b: Linear::new("b", [m, m], bias, init),
            c: Linear::new("c", [m, m], bias, init),
            x: Linear::new("x", [m, m], bias, init),
            conv: ShortConvolution::new("conv", [config.conv_width, m], bias, init),
            out: Linear::new_residual("out", [m, m], bias, init),
            conv_width: config.conv_width,
            dropout: build.dropout,
        }
    }
}

impl Layer for GatedConvolution {
    fn forward(&self, u: Tensor<3>, cx: &mut Context) -> Tensor<3> {
        let taps = ConvolutionTaps::new(self.conv_width, cx);
        let x = self.b.forward_with(u.clone(), cx) * self.x.forward_with(u.clone(), cx);
        let x = self.conv.forward_linear("conv", x, &taps, cx);
        let out = self.out.forward_with(self.c.forward_with(u, cx) * x, cx);
        cx.dropout("out", self.dropout, out)
    }

    fn cost(&self, length: usize) -> Cost {
        let gates = 2.0 * self.out.size()[0] as f64;
        Cost {
            flops: [&self.b, &self.c, &self.x, &self.out].iter().map(|m| m.flops()).sum::<f64>()
                + self.conv.flops()
                + gates,
            state_bytes: 4.0 * self.conv.state_len() as f64 / length.max(1) as f64,
        }
    }

    fn describe(&self) -> String {
        format!("convolution of {} between gates", self.conv_width)
    }
}
