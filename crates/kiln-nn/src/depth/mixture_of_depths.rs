//! Mixture of depths (2404.02258): the block runs for some tokens and passes the others by.
//!
//! While training, a router picks the tokens of each row with the greatest weights, a fixed share of them (expert
//! choice, section 3.3), and the block runs in a stream of those alone. Which they are depends on the whole row, later
//! tokens included; so a predictor learns beside it, from inputs that it leaves alone, which tokens the router picks
//! (section 3.5). At inference, evaluation included, each token's own predictor decides: that is causal. There the block
//! runs in a stream of all tokens, of which the members alone live: nobody sees the others, and they pass unchanged.

use super::{Deep, choice::Chosen};
use crate::{
    cx::Cx,
    init::Init,
    junction::Inner,
    linear::Linear,
    variant::{Around, Card, Variant},
};
use burn::{
    module::Module,
    tensor::{
        Bool, Tensor,
        activation::{log_sigmoid, sigmoid, silu},
    },
};
use kiln_spec::{Refusal, formula::Field};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the router's number r weighs what the block adds.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// By r itself (equation 1).
    #[default]
    Raw,
    /// By 1 / (1 + exp(−r)).
    Sigmoid,
}

/// Options of [`MixtureOfDepths`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct MixtureOfDepthsConfig {
    /// Share of a row's tokens that the block runs for while training. 1: all, at inference too.
    pub capacity: f64,
    /// How the router's number weighs what the block adds.
    pub gate: Gate,
    /// What the predictor's loss counts.
    pub predictor_loss: f64,
}

impl Default for MixtureOfDepthsConfig {
    fn default() -> Self {
        Self { capacity: 0.125, gate: Gate::Raw, predictor_loss: 0.1 }
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

    fn check(config: &MixtureOfDepthsConfig, _around: &Around, path: &str) -> Result<(), Refusal> {
        let refuse = |key: &str, reason: String| Err(Refusal::new(format!("{path}.{key}"), reason));
        match config {
            _ if !(config.capacity > 0.0 && config.capacity <= 1.0) => {
                refuse("capacity", format!("a share above 0 and up to 1, found {}", config.capacity))
            }
            _ if !(config.predictor_loss >= 0.0 && config.predictor_loss.is_finite()) => {
                refuse("predictor_loss", format!("0 or more, found {}", config.predictor_loss))
            }
            _ => Ok(()),
        }
    }

    fn init(config: &MixtureOfDepthsConfig, around: &Around, init: &mut Init) -> Self {
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
    fn forward(&self, x: Tensor<3>, cx: &Cx) -> Tensor<2> {
        let x = if x.is_autodiff() { x.detach() } else { x };
        self.out.forward_in(silu(self.inner.forward_in(x, cx)), cx).squeeze_dim::<2>(2)
    }
}

impl Deep for MixtureOfDepths {
    fn around(&self, x: Tensor<3>, cx: &mut Cx, block: Inner) -> Tensor<3> {
        let router = self.router.forward_in(x.clone(), cx);
        let predictor = self.predictor.forward(x.clone(), cx);
        if cx.draws.is_some() {
            self.picked(x, router, predictor, cx, block)
        } else {
            self.decided(x, router, predictor, cx, block)
        }
    }
}

impl MixtureOfDepths {
    /// The block in a stream of the tokens that the router picks.
    fn picked(&self, x: Tensor<3>, router: Tensor<3>, predictor: Tensor<2>, cx: &mut Cx, block: Inner) -> Tensor<3> {
        let [_, t, _] = x.dims();
        let k = ((t as f64 * self.config.capacity).ceil() as usize).clamp(1, t);
        let live = cx.stream.now.field(Field::Live).clone().equal_elem(1);
        let scores = plain(router.clone()).squeeze_dim::<2>(2);
        // Padding comes last: it is picked only where tokens are too few.
        let scores = scores.full_like(-1e30).mask_where(live.clone(), scores);
        let chosen = Chosen::greatest(scores, k);
        self.teach(predictor, chosen.mask.clone(), live, cx);
        let (marks, inside) = (cx.stream.now.gather(&chosen.places), chosen.take(x.clone()));
        let after = cx.within("depth.stream", marks, |cx| block(inside.clone(), cx));
        let changed = self.weighed(inside, after, chosen.take(router));
        chosen.put(x, changed)
    }

    /// The block in a stream of all tokens, of which the members live.
    fn decided(&self, x: Tensor<3>, router: Tensor<3>, predictor: Tensor<2>, cx: &mut Cx, block: Inner) -> Tensor<3> {
        let logits = plain(predictor);
        let members = if self.config.capacity < 1.0 { logits.greater_elem(0.0) } else { logits.clone().equal(logits) };
        let members = shown(members, cx);
        let marks = cx.stream.now.only(members.clone().int());
        let after = cx.within("depth.stream", marks, |cx| block(x.clone(), cx));
        let changed = self.weighed(x.clone(), after, router);
        let members = members.unsqueeze_dim::<3>(2).expand(x.dims());
        x.mask_where(members, changed)
    }

    /// x + g(r) f(x), of which the block gives x + f(x).
    fn weighed(&self, x: Tensor<3>, after: Tensor<3>, router: Tensor<3>) -> Tensor<3> {
        let weight = match self.config.gate {
            Gate::Raw => router,
            Gate::Sigmoid => sigmoid(router),
        };
        x.clone() + (after - x) * weight
    }

    /// The predictor's loss: binary cross-entropy with what the router picked, a token of the row.
    fn teach(&self, logits: Tensor<2>, picked: Tensor<2, Bool>, live: Tensor<2, Bool>, cx: &mut Cx) {
        let dtype = logits.dtype();
        let (picked, live) = (shown(picked, cx).float().cast(dtype), live.float().cast(dtype));
        let missed = log_sigmoid(logits.clone()) * picked.clone() + log_sigmoid(logits * -1.0) * (picked * -1.0 + 1.0);
        let tokens = live.clone().sum_dim(1).sum().clamp_min(1.0);
        let loss = (missed * live * -1.0).sum_dim(1).sum() * tokens.recip();
        cx.scope("depth", |cx| cx.add_loss("predictor", loss, self.config.predictor_loss));
    }
}

/// Shows `[B, T]` to whoever listens.
fn shown(members: Tensor<2, Bool>, cx: &mut Cx) -> Tensor<2, Bool> {
    match cx.listened("depth.members") {
        Some(_) => cx.show("depth.members", members.float()).greater_elem(0.5),
        None => members,
    }
}

/// Without a graph: a choice has no gradient.
fn plain<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if x.is_autodiff() { x.inner() } else { x }
}
