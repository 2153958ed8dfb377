//! Gated DeltaNet: a matrix state with a learned decay and the delta rule (2412.06464, section 3).
//!
//! For each head:
//!
//! * q, k, v = silu(conv(x W_q)), silu(conv(x W_k)), silu(conv(x W_v)): short causal convolutions; q and k are divided by
//!   their lengths;
//! * α_t = exp(−exp(a_log) softplus(x_t W_α + b)): decay; β_t = σ(x_t W_β): strength of the write;
//! * S_t = α_t (I − β_t k_tᵀ k_t) S_{t−1} + β_t k_tᵀ v_t, o_t = q_t S_t / √D: the scan, [`kiln_kernels::scan`];
//! * y_t = (norm(o_t) ⊙ silu(x_t W_z)) W_o.
//!
//! The state is set to 0 at the first token of each document, and a convolution reads no other document; padding changes
//! neither. Works left to right only.
//!
//! Parameters: `q.weight`, `k.weight [M, G D]`, `v.weight [M, H E]`, `alpha.weight [M, H]` (W_α), `dt_bias [H]` (b), `a_log
//! [H]`, `beta.weight [M, H]` (W_β), `q_conv.weight`, `k_conv.weight [W, G D]`, `v_conv.weight [W, H E]`, `gate.weight [M, H
//! E]` (W_z), `norm` of width E, `o.weight [H E, M]`. Cost: the matrices plus 6 H D E operations per token, independent of
//! the length. State: H D E values and the last W − 1 inputs of the convolutions per sequence. Probe: `log_decay [B, H, T,
//! 1]`, ln α.
//!
//! Shapes: B sequences, T tokens, M hidden, H heads, G heads of queries and keys, D width of a key, E width of a value.

mod config;

pub use config::GatedDeltaNetConfig;

use crate::{
    context::Context,
    init::Initializer,
    linear::Linear,
    norm::Norm,
    part::{
        Layer,
        attention::projection::split_heads,
        feed_forward::activation::Activation,
        recurrence::{RecurrentCall, TimeStepRange, log_decay_rate, put_state, time_step_bias},
        short_convolution::{ConvolutionTaps, ShortConvolution},
    },
    variant::{BuildContext, Card, Causality, Cost, Variant},
};
use burn::{
    module::{Module, Param},
    tensor::{Tensor, activation::sigmoid},
};
use kiln_kernels::{
    log_sigmoid::softplus,
    rms_norm::rms_norm,
    scan::{ScanInputs, ScanOutput, UpdateRule, scan_in},
};
use kiln_spec::ValidationError;

/// ε of the lengths of queries and keys: x / √(Σ x² + ε), as in the authors' implementation.
const LENGTH_EPS: f64 = 1e-6;

/// Gated DeltaNet layer; see the [module](self).
#[derive(Module, Debug)]
pub struct GatedDeltaNet {
    /// W_q, `[M, G D]`.
    q: Linear,
    /// W_k, `[M, G D]`.
    k: Linear,
    /// W_v, `[M, H E]`.
    v: Linear,
    /// W_α, `[M, H]`.
    alpha: Linear,
    /// b, `[H]`.
    dt_bias: Param<Tensor<1>>,
    /// Logarithm of the decay rate, `[H]`.
    a_log: Param<Tensor<1>>,
    /// W_β, `[M, H]`.
    beta: Linear,
    q_conv: ShortConvolution,
    k_conv: ShortConvolution,
    v_conv: ShortConvolution,
    /// W_z, `[M, H E]`.
    gate: Linear,
    /// Norm of each head's output, of width E.
    norm: Norm,
    /// W_o, `[H E, M]`.
    o: Linear,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    groups: usize,
    #[module(skip)]
    conv_width: usize,
    /// Greatest β: 1, or 2 with negative eigenvalues.
    #[module(skip)]
    max_strength: f64,
    #[module(skip)]
    dropout: f64,
}

impl Variant for GatedDeltaNet {
    type Config = GatedDeltaNetConfig;
    const CARD: Card = Card {
        role: "attention",
        causality: Causality::CausalOnly,
        state: "heads × key width × value width",
        time: "T",
        incompatible_with: "any visibility but causal; heads that don't divide the widths",
        ..Card::new("gated_delta_net", "2412.06464")
    };

    fn resolve(config: &mut GatedDeltaNetConfig, build: &BuildContext) {
        let [key, value] = config.head_dims(build);
        config.key_heads = Some(config.groups());
        config.head_dim.get_or_insert(key);
        config.value_dim.get_or_insert(value);
    }

    fn check(config: &GatedDeltaNetConfig, build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        config.check(build, path)
    }

    fn init(config: &GatedDeltaNetConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        let (m, h, g, [d, e]) = (build.hidden, config.heads, config.groups(), config.head_dims(build));
        let norm_build = BuildContext { hidden: e, ..*build };
        let conv =
            |name, width, init: &mut Initializer| ShortConvolution::new(name, [config.conv_width, width], false, init);
        Self {
            q: Linear::new("q", [m, g * d], false, init),
            k: Linear::new("k", [m, g * d], false, init),
            v: Linear::new("v", [m, h * e], false, init),
            alpha: Linear::new("alpha", [m, h], false, init),
            dt_bias: time_step_bias("dt_bias", h, TimeStepRange::default(), init),
            a_log: log_decay_rate("a_log", h, init),
            beta: Linear::new("beta", [m, h], false, init),
            q_conv: conv("q_conv", g * d, init),
            k_conv: conv("k_conv", g * d, init),
            v_conv: conv("v_conv", h * e, init),
            gate: Linear::new("gate", [m, h * e], false, init),
            norm: init.scope("norm", |init| config.norm.init(&norm_build, init)),
            o: Linear::new_residual("o", [h * e, m], false, init),
            heads: h,
            groups: g,
            conv_width: config.conv_width,
            max_strength: if config.negative_eigenvalues { 2.0 } else { 1.0 },
            dropout: build.dropout,
        }
    }
}

impl Layer for GatedDeltaNet {
    fn forward(&self, x: Tensor<3>, cx: &mut Context) -> Tensor<3> {
        let ([b, t, _], e) = (x.dims(), self.head_dims()[1]);
        let out = self.run_scan(x.clone(), cx).swap_dims(1, 2).reshape([b, t * self.heads, e]);
        let out = self.norm.forward(out).reshape([b, t, self.heads * e]);
        let out = self.o.forward_with(Activation::SILU.apply_gated(self.gate.forward_with(x, cx), out), cx);
        cx.dropout("out", self.dropout, out)
    }

    fn cost(&self, length: usize) -> Cost {
        let matrices = [&self.q, &self.k, &self.v, &self.alpha, &self.beta, &self.gate, &self.o];
        let convolutions = [&self.q_conv, &self.k_conv, &self.v_conv];
        let [d, e] = self.head_dims();
        let state = (self.heads * d * e) as f64;
        let stored = state + convolutions.iter().map(|conv| conv.state_len() as f64).sum::<f64>();
        Cost {
            flops: matrices.iter().map(|m| m.flops()).sum::<f64>()
                + convolutions.iter().map(|conv| conv.flops()).sum::<f64>()
                + 6.0 * state,
            state_bytes: 4.0 * stored / length.max(1) as f64,
        }
    }

    fn describe(&self) -> String {
        let ([d, e], groups) = (self.head_dims(), self.groups);
        let shared = if groups == self.heads { String::new() } else { format!(" in {groups} groups") };
        format!("{} heads{shared}, keys of {d}, values of {e}, convolution of {}", self.heads, self.conv_width)
    }
}

impl GatedDeltaNet {
    /// Widths D and E of a head's keys and values.
    fn head_dims(&self) -> [usize; 2] {
        [self.k.size()[1] / self.groups, self.v.size()[1] / self.heads]
    }

    /// Runs convolutions and scan over this call's tokens and updates the state. Returns o, `[B, H, T, E]`.
    fn run_scan(&self, x: Tensor<3>, cx: &mut Context) -> Tensor<4> {
        let [d, e] = self.head_dims();
        let call = RecurrentCall::begin([x.dims()[0], self.heads, d, e], &x, cx);
        let last_document = call.last_document();
        let taps = ConvolutionTaps::new(self.conv_width, cx);
        let mut convolved = |name, map: &Linear, conv: &ShortConvolution| {
            let x = map.forward_with(x.clone(), cx);
            conv.forward(name, x, &taps, cx)
        };
        let query = convolved("q_conv", &self.q, &self.q_conv);
        let key = convolved("k_conv", &self.k, &self.k_conv);
        let value = convolved("v_conv", &self.v, &self.v_conv);
        let strength = sigmoid(self.beta.forward_with(x.clone(), cx));
        let strength = if self.max_strength == 1.0 { strength } else { strength * self.max_strength };
        let ScanOutput { out, state } = scan_in(
            ScanInputs {
                query: split_heads(self.with_length(query, (d as f64).powf(-0.5)), self.groups),
                key: split_heads(self.with_length(key, 1.0), self.groups),
                value: split_heads(value, self.heads),
                log_decay: self.log_decay(x, cx),
                strength: Some(split_heads(strength, self.heads)),
                rule: UpdateRule::Delta,
                skip: None,
                resets: call.resets,
                live: call.live,
                state: call.state,
            },
            cx.arithmetic,
        );
        put_state(state, last_document, cx);
        out
    }

    /// Each head of `x [B, T, G D]` divided by its length √(Σ x² + ε) and multiplied by `length`.
    ///
    /// It is RMSNorm with a constant weight: Σ x² = D · mean(x²).
    fn with_length(&self, x: Tensor<3>, length: f64) -> Tensor<3> {
        let ([b, t, width], d) = (x.dims(), self.head_dims()[0]);
        let weight = Tensor::full([d], length * (d as f64).powf(-0.5), (&x.device(), x.dtype()));
        let heads = x.reshape([b, t * self.groups, d]);
        rms_norm(heads, weight, LENGTH_EPS / d as f64).reshape([b, t, width])
    }

    /// Log decay ln α = −exp(a_log) softplus(x W_α + b) ≤ 0, `[B, H, T, 1]`.
    fn log_decay(&self, x: Tensor<3>, cx: &mut Context) -> Tensor<4> {
        let time_step = softplus(self.alpha.forward_with(x, cx) + self.dt_bias.val().unsqueeze());
        let log_decay = (time_step * self.a_log.val().exp().unsqueeze()).neg();
        cx.probe_value("log_decay", split_heads(log_decay, self.heads))
    }
}
