//! Gated linear attention (GLA): a matrix state with data-dependent decay (2312.06635, section 4.4).
//!
//! For each head:
//!
//! * α_t = σ(x_t W₁ W₂ + b)^{1/τ}: decay of each key dimension, from a low-rank projection;
//! * S_t = diag(α_t) S_{t−1} + k_tᵀ v_t, o_t = q_t S_t / √D: the scan, [`kiln_kernels::scan`];
//! * y_t = (norm(o_t) ⊙ silu(x_t W_r + b_r)) W_o.
//!
//! The state is set to 0 at the first token of each document; invalid tokens leave it unchanged. Works left to right only.
//!
//! Parameters: `q.weight`, `k.weight [M, H D]`, `v.weight [M, H E]`, `decay_in.weight [M, rank]` (W₁), `decay_out.weight
//! [rank, H D]` (W₂), `decay_out.bias [H D]`, `gate.weight [M, H E]` (W_r), `gate.bias [H E]`, `norm` of width E, `o.weight
//! [H E, M]`. Cost: the matrices plus 4 H D E operations per token, independent of the length. State: H D E values per sequence.
//! Probe: `log_decay [B, H, T, D]`.
//!
//! Shapes: B sequences, T tokens, M hidden, H heads, D width of a key, E width of a value.

mod config;

pub use config::GatedLinearAttentionConfig;

use crate::{
    context::Context,
    init::Initializer,
    linear::Linear,
    norm::Norm,
    part::{
        Layer,
        attention::projection::split_heads,
        feed_forward::activation::Activation,
        recurrence::{RecurrentCall, put_state},
    },
    variant::{BuildContext, Card, Causality, Cost, Variant},
};
use burn::{module::Module, tensor::Tensor};
use kiln_kernels::{
    log_sigmoid::log_sigmoid,
    scan::{ScanInputs, ScanOutput, UpdateRule, scan_in},
};
use kiln_spec::ValidationError;

/// Gated linear attention layer; see the [module](self).
#[derive(Module, Debug)]
pub struct GatedLinearAttention {
    /// Queries, `[M, H D]`.
    q: Linear,
    /// Keys, `[M, H D]`.
    k: Linear,
    /// Values, `[M, H E]`.
    v: Linear,
    /// W₁, `[M, rank]`.
    decay_in: Linear,
    /// W₂ and b, `[rank, H D]`.
    decay_out: Linear,
    /// W_r and b_r, `[M, H E]`.
    gate: Linear,
    /// Norm of each head's output, of width E.
    norm: Norm,
    /// W_o, `[H E, M]`.
    o: Linear,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    temperature: f64,
    #[module(skip)]
    dropout: f64,
}

impl Variant for GatedLinearAttention {
    type Config = GatedLinearAttentionConfig;
    const CARD: Card = Card {
        role: "attention",
        causality: Causality::CausalOnly,
        state: "heads × key width × value width",
        time: "T",
        incompatible_with: "any visibility but causal; heads that don't divide the widths",
        ..Card::new("gla", "2312.06635")
    };

    fn resolve(config: &mut GatedLinearAttentionConfig, build: &BuildContext) {
        let [key, value] = config.head_dims(build);
        config.head_dim.get_or_insert(key);
        config.value_dim.get_or_insert(value);
    }

    fn check(config: &GatedLinearAttentionConfig, build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        config.check(build, path)
    }

    fn init(config: &GatedLinearAttentionConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        let (m, h, [d, e]) = (build.hidden, config.heads, config.head_dims(build));
        let norm_build = BuildContext { hidden: e, ..*build };
        Self {
            q: Linear::new("q", [m, h * d], false, init),
            k: Linear::new("k", [m, h * d], false, init),
            v: Linear::new("v", [m, h * e], false, init),
            decay_in: Linear::new("decay_in", [m, config.rank], false, init),
            decay_out: Linear::new("decay_out", [config.rank, h * d], true, init),
            gate: Linear::new("gate", [m, h * e], true, init),
            norm: init.scope("norm", |init| config.norm.init(&norm_build, init)),
            o: Linear::new_residual("o", [h * e, m], false, init),
            heads: h,
            temperature: config.temperature,
            dropout: build.dropout,
        }
    }
}

impl Layer for GatedLinearAttention {
    fn forward(&self, x: Tensor<3>, cx: &mut Context) -> Tensor<3> {
        let [b, t, _] = x.dims();
        let out = self.run_scan(x.clone(), cx).swap_dims(1, 2).reshape([b, t * self.heads, self.head_dims()[1]]);
        let out = self.norm.forward(out).reshape([b, t, self.heads * self.head_dims()[1]]);
        let out = self.o.forward_with(Activation::SILU.apply_gated(self.gate.forward_with(x, cx), out), cx);
        cx.dropout("out", self.dropout, out)
    }

    fn cost(&self, length: usize) -> Cost {
        let matrices = [&self.q, &self.k, &self.v, &self.decay_in, &self.decay_out, &self.gate, &self.o];
        let state = (self.heads * self.head_dims()[0] * self.head_dims()[1]) as f64;
        Cost {
            flops: matrices.iter().map(|m| m.flops()).sum::<f64>() + 4.0 * state,
            state_bytes: 4.0 * state / length.max(1) as f64,
        }
    }

    fn describe(&self) -> String {
        let ([d, e], rank) = (self.head_dims(), self.decay_in.size()[1]);
        format!("{} heads, keys of {d}, values of {e}, decays of rank {rank}", self.heads)
    }
}

impl GatedLinearAttention {
    /// Widths D and E of a head's keys and values.
    fn head_dims(&self) -> [usize; 2] {
        [&self.q, &self.v].map(|m| m.size()[1] / self.heads)
    }

    /// Runs the scan over this call's tokens and updates the state. Returns o, `[B, H, T, E]`.
    fn run_scan(&self, x: Tensor<3>, cx: &mut Context) -> Tensor<4> {
        let [d, e] = self.head_dims();
        let call = RecurrentCall::begin([x.dims()[0], self.heads, d, e], &x, cx);
        let last_document = call.last_document();
        let query = self.q.forward_with(x.clone(), cx) * (d as f64).powf(-0.5);
        let ScanOutput { out, state } = scan_in(
            ScanInputs {
                query: split_heads(query, self.heads),
                key: split_heads(self.k.forward_with(x.clone(), cx), self.heads),
                value: split_heads(self.v.forward_with(x.clone(), cx), self.heads),
                log_decay: self.log_decay(x, cx),
                strength: None,
                rule: UpdateRule::Additive,
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

    /// Log decay log α = log σ(x W₁ W₂ + b) / τ ≤ 0, `[B, H, T, D]`.
    fn log_decay(&self, x: Tensor<3>, cx: &mut Context) -> Tensor<4> {
        let logits = self.decay_out.forward_with(self.decay_in.forward_with(x, cx), cx);
        let log_decay = split_heads(log_sigmoid(logits) * (1.0 / self.temperature), self.heads);
        cx.probe_value("log_decay", log_decay)
    }
}
