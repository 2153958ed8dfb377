//! Mamba-2: a selective state-space model (SSD; 2405.21060, sections 6 and 7).
//!
//! For each head:
//!
//! * x, B, C = silu(conv(u W_x)), silu(conv(u W_B)), silu(conv(u W_C)): short causal convolutions;
//! * Δ_t = softplus(u_t W_Δ + b_Δ), within `time_step_limit`; A = −exp(A_log);
//! * S_t = exp(Δ_t A) S_{t−1} + Δ_t B_tᵀ x_t, o_t = C_t S_t + D x_t: the scan, [`kiln_kernels::scan`];
//! * y_t = norm(o_t ⊙ silu(u_t W_z)) W_o, or norm(o_t) ⊙ silu(u_t W_z) with `norm_before_gate`.
//!
//! The state is set to 0 at the first token of each document, and a convolution reads no other document; padding changes
//! neither. Works left to right only.
//!
//! Parameters: `gate.weight [M, I]` (W_z), `x.weight [M, I]`, `b.weight`, `c.weight [M, G N]`, `dt.weight [M, H]`, `dt_bias
//! [H]`, `a_log [H]`, `d [H]`, `x_conv.weight [W, I]`, `b_conv.weight`, `c_conv.weight [W, G N]` and their biases,
//! `norm.weight [I]`, `out.weight [I, M]`, with I = H E. Other programs keep W_z, W_x, W_B, W_C and W_Δ as rows of one matrix
//! `in_proj`, in this order, and the three convolutions as rows of one. Here they are apart: slices of one product would be
//! copied in both passes.
//!
//! Cost: the matrices plus 4 N E operations per token and head, independent of the length. State: H N E values and the last
//! W − 1 inputs of the convolutions per sequence. Probe: `log_decay [B, H, T, 1]`, Δ A.
//!
//! Shapes: B sequences, T tokens, M hidden, H heads, E width of a head, G groups, N state size.

mod config;
mod norm;

pub use config::Mamba2Config;
pub use norm::GatedRmsNorm;

use crate::{
    context::Context,
    init::Initializer,
    linear::Linear,
    part::{
        Layer,
        attention::projection::split_heads,
        recurrence::{RecurrentCall, log_decay_rate, put_state, time_step_bias},
        short_convolution::{ConvolutionTaps, ShortConvolution},
    },
    variant::{BuildContext, Card, Causality, Cost, Variant},
};
use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use kiln_kernels::{
    log_sigmoid::softplus,
    scan::{ScanInputs, ScanOutput, UpdateRule, scan_in},
};
use kiln_spec::ValidationError;

/// Mamba-2 layer; see the [module](self).
#[derive(Module, Debug)]
pub struct Mamba2 {
    /// W_z, `[M, I]`.
    gate: Linear,
    /// W_x, `[M, I]`.
    x: Linear,
    /// W_B, `[M, G N]`.
    b: Linear,
    /// W_C, `[M, G N]`.
    c: Linear,
    /// W_Δ, `[M, H]`.
    dt: Linear,
    /// b_Δ, `[H]`.
    dt_bias: Param<Tensor<1>>,
    /// ln(−A), `[H]`.
    a_log: Param<Tensor<1>>,
    /// D, `[H]`.
    d: Param<Tensor<1>>,
    x_conv: ShortConvolution,
    b_conv: ShortConvolution,
    c_conv: ShortConvolution,
    norm: GatedRmsNorm,
    /// W_o, `[I, M]`.
    out: Linear,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    groups: usize,
    #[module(skip)]
    conv_width: usize,
    #[module(skip)]
    time_step_limit: Option<[f64; 2]>,
    #[module(skip)]
    dropout: f64,
}

impl Variant for Mamba2 {
    type Config = Mamba2Config;
    const CARD: Card = Card {
        role: "mixer",
        causality: Causality::CausalOnly,
        state: "heads × head width × state size",
        time: "T",
        incompatible_with: "any visibility but causal; heads that don't divide 2 × hidden",
        ..Card::new("mamba2", "2405.21060")
    };

    fn resolve(config: &mut Mamba2Config, build: &BuildContext) {
        config.head_dim = Some(config.head_width(build));
        config.norm_groups = Some(config.norm_parts());
    }

    fn check(config: &Mamba2Config, build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        config.check(build, path)
    }

    fn init(config: &Mamba2Config, build: &BuildContext, init: &mut Initializer) -> Self {
        let (m, h, bias) = (build.hidden, config.heads, config.bias);
        let (inner, keys) = (h * config.head_width(build), config.groups * config.state_size);
        let conv = |name, width, init: &mut Initializer| {
            ShortConvolution::new(name, [config.conv_width, width], config.conv_bias, init)
        };
        Self {
            gate: Linear::new("gate", [m, inner], bias, init),
            x: Linear::new("x", [m, inner], bias, init),
            b: Linear::new("b", [m, keys], bias, init),
            c: Linear::new("c", [m, keys], bias, init),
            dt: Linear::new("dt", [m, h], bias, init),
            dt_bias: time_step_bias("dt_bias", h, config.time_steps(), init),
            a_log: log_decay_rate("a_log", h, init),
            d: init.constant([h], 1.0),
            x_conv: conv("x_conv", inner, init),
            b_conv: conv("b_conv", keys, init),
            c_conv: conv("c_conv", keys, init),
            norm: GatedRmsNorm::new(inner, config.norm_parts(), config.norm_eps, config.norm_before_gate, init),
            out: Linear::new_residual("out", [inner, m], bias, init),
            heads: h,
            groups: config.groups,
            conv_width: config.conv_width,
            time_step_limit: config.time_step_limit,
            dropout: build.dropout,
        }
    }
}

impl Layer for Mamba2 {
    fn forward(&self, x: Tensor<3>, cx: &mut Context) -> Tensor<3> {
        let [b, t, _] = x.dims();
        let gate = self.gate.forward_with(x.clone(), cx);
        let out = self.run_scan(x, cx).swap_dims(1, 2).reshape([b, t, self.x.size()[1]]);
        let out = self.out.forward_with(self.norm.forward(out, gate), cx);
        cx.dropout("out", self.dropout, out)
    }

    fn cost(&self, length: usize) -> Cost {
        let matrices = [&self.gate, &self.x, &self.b, &self.c, &self.dt, &self.out];
        let convolutions = [&self.x_conv, &self.b_conv, &self.c_conv];
        let [n, e] = self.head_dims();
        let state = (self.heads * n * e) as f64;
        let stored = state + convolutions.iter().map(|conv| conv.state_len() as f64).sum::<f64>();
        Cost {
            flops: matrices.iter().map(|m| m.flops()).sum::<f64>()
                + convolutions.iter().map(|conv| conv.flops()).sum::<f64>()
                + 4.0 * state,
            state_bytes: 4.0 * stored / length.max(1) as f64,
        }
    }

    fn describe(&self) -> String {
        let [n, e] = self.head_dims();
        format!("{} heads of {e}, state of {n}, {} groups, convolution of {}", self.heads, self.groups, self.conv_width)
    }
}

impl Mamba2 {
    /// State size N and width E of a head.
    fn head_dims(&self) -> [usize; 2] {
        [self.b.size()[1] / self.groups, self.x.size()[1] / self.heads]
    }

    /// Runs convolutions and scan over this call's tokens and updates the state. Returns o, `[B, H, T, E]`.
    fn run_scan(&self, u: Tensor<3>, cx: &mut Context) -> Tensor<4> {
        let [n, e] = self.head_dims();
        let call = RecurrentCall::begin([u.dims()[0], self.heads, n, e], &u, cx);
        let last_document = call.last_document();
        let taps = ConvolutionTaps::new(self.conv_width, cx);
        let mut convolved = |name, map: &Linear, conv: &ShortConvolution, heads| {
            let x = map.forward_with(u.clone(), cx);
            split_heads(conv.forward(name, x, &taps, cx), heads)
        };
        let value = convolved("x_conv", &self.x, &self.x_conv, self.heads);
        let key = convolved("b_conv", &self.b, &self.b_conv, self.groups);
        let query = convolved("c_conv", &self.c, &self.c_conv, self.groups);
        let time_step = self.time_step(u, cx);
        let log_decay = (time_step.clone() * self.a_log.val().exp().unsqueeze()).neg();
        let log_decay = cx.probe_value("log_decay", split_heads(log_decay, self.heads));
        let ScanOutput { out, state } = scan_in(
            ScanInputs {
                query,
                key,
                value,
                log_decay,
                strength: Some(split_heads(time_step, self.heads)),
                rule: UpdateRule::Additive,
                skip: Some(self.d.val()),
                resets: call.resets,
                live: call.live,
                state: call.state,
            },
            cx.arithmetic,
        );
        put_state(state, last_document, cx);
        out
    }

    /// Time steps Δ, `[B, T, H]`.
    fn time_step(&self, u: Tensor<3>, cx: &mut Context) -> Tensor<3> {
        let time_step = softplus(self.dt.forward_with(u, cx) + self.dt_bias.val().unsqueeze());
        match self.time_step_limit {
            Some([low, high]) => time_step.clamp(low, high),
            None => time_step,
        }
    }
}
