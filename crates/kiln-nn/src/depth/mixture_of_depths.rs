//! Mixture of depths (2404.02258): the block runs for some tokens and passes the others by.
//!
//! While training, a router picks the tokens of each row with the greatest weights, a fixed share of them (expert
//! choice, section 3.3), and the block runs in a stream of those alone. Which they are depends on the whole row, later
//! tokens included; so a predictor learns beside it, from inputs that it leaves alone, which tokens the router picks
//! (section 3.5). At inference, evaluation included, each token's own predictor decides: that is causal. There the block
//! runs in a stream of all tokens, of which the members alone live: nobody sees the others, and they pass unchanged.

use super::{DepthRule, top_k::TopKTokens};
use crate::{
    autograd_order::{stop_gradient, without_graph},
    context::Context,
    init::Initializer,
    junction::SublayerFn,
    linear::Linear,
    variant::{BuildContext, Card, Variant},
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
    /// Fraction of the tokens of a sequence that the block runs for in training. 1: all tokens, in inference too.
    pub capacity: f64,
    /// How the router output scales the block output.
    pub gate: RouterGate,
    /// Weight of the predictor loss.
    pub predictor_loss_coef: f64,
}

impl Default for MixtureOfDepthsConfig {
    fn default() -> Self {
        Self { capacity: 0.125, gate: RouterGate::Raw, predictor_loss_coef: 0.1 }
    }
}

/// Decides without looking at other tokens.
#[derive(Module, Debug)]
struct Predictor {
    inner: Linear,
    out: Linear,
}

/// Router and predictor of a block.
#[derive(Module, Debug)]
pub struct MixtureOfDepths {
    router: Linear,
    predictor: Predictor,
    #[module(skip)]
    config: MixtureOfDepthsConfig,
}

impl Variant for MixtureOfDepths {
    type Config = MixtureOfDepthsConfig;
    const CARD: Card = Card {
        state: "marks, and what the block keeps",
        time: "capacity while training, then 1",
        ..Card::new("mixture_of_depths", "2404.02258")
    };

    fn check(config: &MixtureOfDepthsConfig, _around: &BuildContext, path: &str) -> Result<(), ValidationError> {
        let refuse = |key: &str, reason: String| Err(ValidationError::new(format!("{path}.{key}"), reason));
        match config {
            _ if !(config.capacity > 0.0 && config.capacity <= 1.0) => {
                refuse("capacity", format!("a share above 0 and up to 1, found {}", config.capacity))
            }
            _ if !(config.predictor_loss_coef >= 0.0 && config.predictor_loss_coef.is_finite()) => {
                refuse("predictor_loss_coef", format!("0 or more, found {}", config.predictor_loss_coef))
            }
            _ => Ok(()),
        }
    }

    fn init(config: &MixtureOfDepthsConfig, around: &BuildContext, init: &mut Initializer) -> Self {
        let (hidden, inner) = (around.hidden, (around.hidden / 4).max(1));
        let router = Linear::new("router", [hidden, 1], true, init);
        let predictor = init.scope("predictor", |init| Predictor {
            inner: Linear::new("inner", [hidden, inner], true, init),
            out: Linear::new("out", [inner, 1], true, init),
        });
        Self { router, predictor, config: config.clone() }
    }
}

impl Predictor {
    /// Logits `[B, T]`, above 0 for a token that the router would pick. The stream doesn't learn from them.
    fn forward(&self, x: Tensor<3>, cx: &Context) -> Tensor<2> {
        let x = stop_gradient(x);
        self.out.forward_with(silu(self.inner.forward_with(x, cx)), cx).squeeze_dim::<2>(2)
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
    /// The block in a stream of the tokens that the router picks.
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
        // Padding comes last: it is picked only where tokens are too few.
        let scores = scores.full_like(-1e30).mask_where(live.clone(), scores);
        let chosen = TopKTokens::new(scores, k);
        self.predictor_loss(predictor, chosen.mask.clone(), live, cx);
        let (marks, inside) = (cx.stream.tokens.gather(&chosen.indices), chosen.gather(x.clone()));
        let after = cx.with_substream("depth.stream", marks, |cx| block(inside.clone(), cx));
        let changed = self.apply_gate(inside, after, chosen.gather(router));
        chosen.scatter(x, changed)
    }

    /// The block in a stream of all tokens, of which the members live.
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
        let after = cx.with_substream("depth.stream", marks, |cx| block(x.clone(), cx));
        let changed = self.apply_gate(x.clone(), after, router);
        let members = members.unsqueeze_dim::<3>(2).expand(x.dims());
        x.mask_where(members, changed)
    }

    /// x + g(r) f(x), of which the block gives x + f(x).
    fn apply_gate(&self, x: Tensor<3>, after: Tensor<3>, router: Tensor<3>) -> Tensor<3> {
        let weight = match self.config.gate {
            RouterGate::Raw => router,
            RouterGate::Sigmoid => sigmoid(router),
        };
        x.clone() + (after - x) * weight
    }

    /// The predictor's loss: binary cross-entropy with what the router picked, a token of the row.
    fn predictor_loss(&self, logits: Tensor<2>, picked: Tensor<2, Bool>, live: Tensor<2, Bool>, cx: &mut Context) {
        let dtype = logits.dtype();
        let (picked, live) = (probe_members(picked, cx).float().cast(dtype), live.float().cast(dtype));
        let missed = log_sigmoid(logits.clone()) * picked.clone() + log_sigmoid(logits * -1.0) * (picked * -1.0 + 1.0);
        let tokens = live.clone().sum_dim(1).sum().clamp_min(1.0);
        let loss = (missed * live * -1.0).sum_dim(1).sum() * tokens.recip();
        cx.scope("depth", |cx| cx.add_auxiliary_loss("predictor", loss, self.config.predictor_loss_coef));
    }
}

/// Shows `[B, T]` to whoever listens.
fn probe_members(members: Tensor<2, Bool>, cx: &mut Context) -> Tensor<2, Bool> {
    match cx.probed_path("depth.members") {
        Some(_) => cx.probe_value("depth.members", members.float()).greater_elem(0.5),
        None => members,
    }
}
