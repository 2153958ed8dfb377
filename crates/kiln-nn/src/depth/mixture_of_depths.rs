//! Mixture of depths: the block runs for a share of the tokens, the others skip it (2404.02258).
//!
//! With r = x · w the router's output, g the gate and f the block without its residual connection: x + g(r) f(x) for a
//! selected token, x for the others (eq. 1).
//!
//! * **Training**: the ⌈capacity · T⌉ tokens of each row with the greatest r are selected (expert choice, section 3.3), and
//!   the block runs on a substream of those alone: cost and memory shrink to the capacity. The choice depends on later
//!   tokens, so it can't be made while decoding.
//! * **Predictor** (section 3.5): a small MLP learns from each token alone whether the router selects it. It reads x through a
//!   stop-gradient; its loss is a binary cross-entropy, averaged over live tokens, times `predictor_loss_coef`.
//! * **Inference** (evaluation included): a token is selected if its predictor's logit is above 0, which is causal. The block
//!   runs on all tokens, of which only the selected ones are visible as keys; the others keep their x.
//!
//! Parameters: `router.weight [M, 1]`, `router.bias [1]`, `predictor.inner.weight [M, M/4]`, `predictor.inner.bias [M/4]`,
//! `predictor.out.weight [M/4, 1]`, `predictor.out.bias [1]`.

use super::{DepthNeeds, DepthRule, TokenCoverage, top_k::TopKTokens};
use crate::{
    autograd_order::{stop_gradient, without_graph},
    context::Context,
    init::Initializer,
    junction::SublayerFn,
    linear::Linear,
    variant::{BuildContext, Card, Variant, invalid},
};
use burn::{
    module::Module,
    tensor::{
        Bool, Tensor,
        activation::{log_sigmoid, sigmoid, silu},
    },
};
use kiln_spec::{ValidationError, formula::MarkField};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the router output r scales the block output.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "snake_case")]
pub enum RouterGate {
    /// Multiply by r (equation 1).
    #[default]
    Raw,
    /// Multiply by σ(r).
    Sigmoid,
}

/// Options of [`MixtureOfDepths`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct MixtureOfDepthsConfig {
    /// Fraction of the tokens of each sequence that the router selects in training. In inference, a trained predictor
    /// decides for each token. 1: all tokens, also in inference.
    pub capacity: f64,
    /// How the router output scales the block output.
    pub gate: RouterGate,
    /// Weight of the loss of the predictor, which learns the router's selection.
    pub predictor_loss_coef: f64,
}

impl Default for MixtureOfDepthsConfig {
    fn default() -> Self {
        Self { capacity: 0.125, gate: RouterGate::Raw, predictor_loss_coef: 0.1 }
    }
}

/// MLP that predicts from one token whether the router selects it.
#[derive(Module, Debug)]
struct Predictor {
    /// `[M, M/4]`, followed by SiLU.
    inner: Linear,
    /// `[M/4, 1]`.
    out: Linear,
}

/// Mixture of depths of one block: router and predictor.
#[derive(Module, Debug)]
pub struct MixtureOfDepths {
    /// `[M, 1]`.
    router: Linear,
    predictor: Predictor,
    #[module(skip)]
    config: MixtureOfDepthsConfig,
}

impl Variant for MixtureOfDepths {
    type Config = MixtureOfDepthsConfig;
    const CARD: Card = Card {
        state: "token marks, plus the state of the block",
        time: "capacity while training, then 1",
        ..Card::new("mixture_of_depths", "2404.02258")
    };

    fn check(config: &MixtureOfDepthsConfig, _build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        match config {
            _ if !(config.capacity > 0.0 && config.capacity <= 1.0) => invalid(
                path,
                "capacity",
                format!("expected a fraction above 0 and at most 1, found {}", config.capacity),
            ),
            _ if !(config.predictor_loss_coef >= 0.0 && config.predictor_loss_coef.is_finite()) => invalid(
                path,
                "predictor_loss_coef",
                format!("expected a finite number of at least 0, found {}", config.predictor_loss_coef),
            ),
            _ => Ok(()),
        }
    }

    fn init(config: &MixtureOfDepthsConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        let (hidden, inner) = (build.hidden, (build.hidden / 4).max(1));
        let router = Linear::new("router", [hidden, 1], true, init);
        let predictor = init.scope("predictor", |init| Predictor {
            inner: Linear::new("inner", [hidden, inner], true, init),
            out: Linear::new("out", [inner, 1], true, init),
        });
        Self { router, predictor, config: config.clone() }
    }
}

impl Predictor {
    /// Returns logits `[B, T]`, above 0 for a token that the router is expected to select. No gradient flows to x.
    fn forward(&self, x: Tensor<3>, cx: &Context) -> Tensor<2> {
        let x = stop_gradient(x);
        self.out.forward_with(silu(self.inner.forward_with(x, cx)), cx).squeeze_dim::<2>(2)
    }
}

impl DepthNeeds for MixtureOfDepthsConfig {
    fn token_coverage(&self) -> TokenCoverage {
        TokenCoverage::Some
    }
}

impl DepthRule for MixtureOfDepths {
    fn forward(&self, x: Tensor<3>, cx: &mut Context, block: SublayerFn) -> Tensor<3> {
        let router = self.router.forward_with(x.clone(), cx);
        let predictor = self.predictor.forward(x.clone(), cx);
        if cx.rng_key.is_some() {
            self.select_train(x, router, predictor, cx, block)
        } else {
            self.select_infer(x, router, predictor, cx, block)
        }
    }
}

impl MixtureOfDepths {
    /// Training: runs the block on a substream of the tokens with the greatest router outputs.
    fn select_train(
        &self,
        x: Tensor<3>,
        router: Tensor<3>,
        predictor: Tensor<2>,
        cx: &mut Context,
        block: SublayerFn,
    ) -> Tensor<3> {
        let [_, t, _] = x.dims();
        let k = ((t as f64 * self.config.capacity).ceil() as usize).clamp(1, t);
        let live = cx.stream.tokens.field(MarkField::Valid).clone().equal_elem(1);
        let scores = without_graph(router.clone()).squeeze_dim::<2>(2);
        // Padding gets a score below every token's: it is selected only in rows with fewer than k tokens.
        let scores = scores.full_like(-1e30).mask_where(live.clone(), scores);
        let selected = TopKTokens::new(scores, k);
        self.predictor_loss(predictor, selected.mask.clone(), live, cx);
        let marks = cx.stream.tokens.gather(&selected.indices);
        let input = selected.gather(x.clone());
        let output = cx.with_substream("depth.stream", marks, |cx| block(input.clone(), cx));
        let changed = self.apply_gate(input, output, selected.gather(router));
        selected.scatter(x, changed)
    }

    /// Inference: runs the block on all tokens, of which only those selected by the predictor are valid.
    fn select_infer(
        &self,
        x: Tensor<3>,
        router: Tensor<3>,
        predictor: Tensor<2>,
        cx: &mut Context,
        block: SublayerFn,
    ) -> Tensor<3> {
        let logits = without_graph(predictor);
        let members = if self.config.capacity < 1.0 { logits.greater_elem(0.0) } else { logits.clone().equal(logits) };
        let members = probe_members(members, cx);
        let marks = cx.stream.tokens.mask_live(members.clone().int());
        let output = cx.with_substream("depth.stream", marks, |cx| block(x.clone(), cx));
        let changed = self.apply_gate(x.clone(), output, router);
        let members = members.unsqueeze_dim::<3>(2).expand(x.dims());
        x.mask_where(members, changed)
    }

    /// x + g(r) f(x), from x and the block's output x + f(x).
    fn apply_gate(&self, x: Tensor<3>, output: Tensor<3>, router: Tensor<3>) -> Tensor<3> {
        let weight = match self.config.gate {
            RouterGate::Raw => router,
            RouterGate::Sigmoid => sigmoid(router),
        };
        x.clone() + (output - x) * weight
    }

    /// Adds the predictor's loss: binary cross-entropy with the router's selection, averaged over live tokens. Sums go over a
    /// row first, then over the rows.
    fn predictor_loss(&self, logits: Tensor<2>, selected: Tensor<2, Bool>, live: Tensor<2, Bool>, cx: &mut Context) {
        let dtype = logits.dtype();
        let selected = probe_members(selected, cx).float().cast(dtype);
        let live = live.float().cast(dtype);
        let log_likelihood =
            log_sigmoid(logits.clone()) * selected.clone() + log_sigmoid(logits * -1.0) * (selected * -1.0 + 1.0);
        let tokens = live.clone().sum_dim(1).sum().clamp_min(1.0);
        let loss = (log_likelihood * live * -1.0).sum_dim(1).sum() * tokens.recip();
        cx.scope("depth", |cx| cx.add_auxiliary_loss("predictor", loss, self.config.predictor_loss_coef));
    }
}

/// Passes the selection `[B, T]` through the probe `depth.members`, which may change it: 1 selected, 0 not.
fn probe_members(members: Tensor<2, Bool>, cx: &mut Context) -> Tensor<2, Bool> {
    match cx.probed_path("depth.members") {
        Some(_) => cx.probe_value("depth.members", members.float()).greater_elem(0.5),
        None => members,
    }
}
