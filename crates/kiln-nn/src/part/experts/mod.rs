//! A mixture of experts: y = Σ w_e(x) FF_e(x) over the k experts that a router finds most probable (1701.06538,
//! 2101.03961), with an expert that works on every token, if wanted (2401.06066, eq. 9).
//!
//! No expert has a capacity, so no token is dropped, and what a token becomes depends on no other token.
//!
//! B rows, T tokens, M hidden, N = B·T, E experts, k of them a token.

mod config;
mod router;
mod stacked;

pub use config::{Expert, ExpertConfig, MixtureOfExpertsConfig};

use super::feed_forward::{gated_mlp, mlp};
use crate::{
    autograd_order::reshape_barrier,
    context::Context,
    init::Initializer,
    linear::Linear,
    part::Layer,
    variant::{BuildContext, Card, Cost, Variant},
};
use burn::{
    module::Module,
    tensor::{Int, Tensor},
};
use kiln_spec::{ValidationError, formula::MarkField};
use stacked::StackedExperts;

/// Experts and their router.
#[derive(Module, Debug)]
pub struct MixtureOfExperts {
    router: Linear,
    experts: StackedExperts,
    shared: Option<Expert>,
    #[module(skip)]
    top_k: usize,
    #[module(skip)]
    normalize: bool,
    #[module(skip)]
    balance: f64,
    #[module(skip)]
    z: f64,
    #[module(skip)]
    dropout: f64,
}

fn expert_intermediate(config: &ExpertConfig, build: &BuildContext) -> usize {
    match config {
        ExpertConfig::GatedMlp(c) => c.intermediate.unwrap_or(gated_mlp::default_intermediate(build.hidden)),
        ExpertConfig::Mlp(c) => c.intermediate.unwrap_or(mlp::default_intermediate(build.hidden)),
    }
}

impl Variant for MixtureOfExperts {
    type Config = MixtureOfExpertsConfig;
    const CARD: Card = Card {
        role: "feed_forward",
        time: "T × k experts; T × all experts where no grouped product is",
        incompatible_with: "more experts a token than there are; one normalised expert a token",
        ..Card::new("experts", "1701.06538, 2101.03961, 2202.08906, 2401.06066")
    };

    fn resolve(config: &mut MixtureOfExpertsConfig, build: &BuildContext) {
        config.norm_topk_prob.get_or_insert(config.top_k > 1);
        config.expert.resolve(build);
        config.shared_expert.iter_mut().for_each(|shared| shared.resolve(build));
    }

    fn check(config: &MixtureOfExpertsConfig, build: &BuildContext, path: &str) -> Result<(), ValidationError> {
        config.check(build, path)
    }

    fn init(config: &MixtureOfExpertsConfig, build: &BuildContext, init: &mut Initializer) -> Self {
        let inside = BuildContext { dropout: 0.0, ..*build };
        let shared = |shared: &ExpertConfig| init.scope("shared", |init| shared.init(&inside, init));
        Self {
            shared: config.shared_expert.as_ref().map(shared),
            router: Linear::new("router", [build.hidden, config.num_experts], false, init),
            experts: init
                .scope("experts", |init| StackedExperts::init(&config.expert, config.num_experts, build, init)),
            top_k: config.top_k,
            normalize: config.norm_topk_prob.unwrap_or(config.top_k > 1),
            balance: config.router_aux_loss_coef,
            z: config.router_z_loss_coef,
            dropout: build.dropout,
        }
    }
}

impl Layer for MixtureOfExperts {
    fn forward(&self, x: Tensor<3>, cx: &mut Context) -> Tensor<3> {
        let ([b, t, m], k) = (x.dims(), self.top_k);
        let (expert, weight) = self.route(x.clone(), cx);
        // Two readers of the input, the router and this barrier, so that gradient checkpointing keeps the bits.
        let work = reshape_barrier(x, [b * t, 1, m]);
        let rows = work.clone().expand([b * t, k, m]).reshape([1, b * t * k, m]);
        let out = self.experts.forward(rows, &expert).reshape([b * t, k, m]);
        let out = (out * weight.unsqueeze_dim(2)).sum_dim(1).reshape([b, t, m]);
        let out = match &self.shared {
            Some(shared) => out + cx.scope("shared", |cx| shared.forward(work.reshape([b, t, m]), cx)),
            None => out,
        };
        cx.dropout("out", self.dropout, out)
    }

    fn cost(&self, length: usize) -> Cost {
        let shared = self.shared.as_ref().map_or(0.0, |shared| shared.cost(length).flops);
        Cost { flops: self.router.flops() + self.top_k as f64 * self.experts.flops() + shared, state_bytes: 0.0 }
    }

    fn describe(&self) -> String {
        let [hidden, experts] = self.router.size();
        let shared = self.shared.as_ref().map_or(String::new(), |shared| format!(", shared {}", shared.describe()));
        format!("{} of {experts} experts, {hidden} → {}{shared}", self.top_k, self.experts.intermediate())
    }
}

impl MixtureOfExperts {
    /// Experts of each token one after the other, `[N·k]`, and what their outputs count, `[N, k]`.
    fn route(&self, x: Tensor<3>, cx: &mut Context) -> (Tensor<1, Int>, Tensor<2>) {
        let ([b, t, m], e) = (x.dims(), self.router.size()[1]);
        let logits = self.router.forward_with(x.reshape([b * t, m]), cx);
        let p = router::router_probabilities(logits.clone());
        let p = cx.probe_value("router", p.reshape([b, t, e])).reshape([b * t, e]);
        let chosen = router::select_top_k(p.clone(), self.top_k);
        let marked = router::multi_hot(&chosen, &p);
        self.add_router_losses(logits, p.clone(), marked.clone(), cx);
        let weights = router::expert_weights(p, marked, self.normalize);
        let weights = cx.probe_value("chosen", weights.reshape([b, t, e])).reshape([b * t, e]);
        (chosen.clone().reshape([b * t * self.top_k]), weights.gather(1, chosen))
    }

    fn add_router_losses(&self, logits: Tensor<2>, p: Tensor<2>, marked: Tensor<2>, cx: &mut Context) {
        let live = cx.stream.tokens.field(MarkField::Valid).clone().float().cast(p.dtype());
        let live = live.reshape([1, p.dims()[0]]);
        if self.balance > 0.0 {
            cx.add_auxiliary_loss("balance", router::load_balancing_loss(p, marked, &live, self.top_k), self.balance);
        }
        if self.z > 0.0 {
            cx.add_auxiliary_loss("z", router::z_loss(logits, &live), self.z);
        }
    }
}
