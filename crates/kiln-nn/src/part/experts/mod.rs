//! Mixture of experts (MoE): y = Σ_e w_e(x) FFN_e(x) over the k experts with the greatest router probabilities (1701.06538,
//! eq. 1; 2101.03961).
//!
//! * p = softmax(x W_router), selected: the k greatest of p;
//! * w_e = p_e for a selected expert and 0 for the others. If `norm_topk_prob` is set, the weights are then divided by their
//!   sum;
//! * optionally plus a shared expert that every token passes (2401.06066, eq. 9).
//!
//! Experts have no capacity limit, so no token is dropped, and a token's output doesn't depend on other tokens. Auxiliary
//! losses keep the router balanced: `balance` (load balancing) and `z` (router z-loss), over the live tokens.
//!
//! Parameters: `router.weight [M, E]`, `experts.…` (see `StackedExperts`), `shared.…` with a shared expert. Cost: k experts
//! per token with the grouped kernel (CPU), all E without it.
//!
//! Shapes: B sequences, T tokens, M hidden, N = B · T, E experts, k experts per token.

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

/// Mixture of experts: router, stacked experts and optional shared expert.
#[derive(Module, Debug)]
pub struct MixtureOfExperts {
    /// `[M, E]`, without bias.
    router: Linear,
    experts: StackedExperts,
    /// Expert that every token passes.
    shared: Option<Expert>,
    #[module(skip)]
    top_k: usize,
    /// Whether the weights of the selected experts are divided by their sum.
    #[module(skip)]
    normalize: bool,
    /// Coefficient of the load-balancing loss; 0: none.
    #[module(skip)]
    balance_coef: f64,
    /// Coefficient of the router z-loss; 0: none.
    #[module(skip)]
    z_coef: f64,
    #[module(skip)]
    dropout: f64,
}

/// Intermediate size of an expert, given or by default.
fn expert_intermediate(config: &ExpertConfig, build: &BuildContext) -> usize {
    match config {
        ExpertConfig::GatedMlp(mlp) => mlp.intermediate.unwrap_or(gated_mlp::default_intermediate(build.hidden)),
        ExpertConfig::Mlp(plain) => plain.intermediate.unwrap_or(mlp::default_intermediate(build.hidden)),
    }
}

impl Variant for MixtureOfExperts {
    type Config = MixtureOfExpertsConfig;
    const CARD: Card = Card {
        role: "feed_forward",
        time: "T × k experts; T × all experts without the grouped kernel",
        incompatible_with: "top_k above num_experts; norm_topk_prob with top_k = 1",
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
        // The mixture applies dropout to its output, the shared expert to nothing.
        let expert_build = BuildContext { dropout: 0.0, ..*build };
        let shared = config.shared_expert.as_ref();
        Self {
            shared: shared.map(|shared| init.scope("shared", |init| shared.init(&expert_build, init))),
            router: Linear::new("router", [build.hidden, config.num_experts], false, init),
            experts: init
                .scope("experts", |init| StackedExperts::init(&config.expert, config.num_experts, build, init)),
            top_k: config.top_k,
            normalize: config.norm_topk_prob.unwrap_or(config.top_k > 1),
            balance_coef: config.router_aux_loss_coef,
            z_coef: config.router_z_loss_coef,
            dropout: build.dropout,
        }
    }
}

impl Layer for MixtureOfExperts {
    fn forward(&self, x: Tensor<3>, cx: &mut Context) -> Tensor<3> {
        let ([b, t, m], k) = (x.dims(), self.top_k);
        let (expert, weight) = self.route(x.clone(), cx);
        // Two readers of the input, the router and this barrier, so that gradient checkpointing keeps the bits.
        let expert_input = reshape_barrier(x, [b * t, 1, m]);
        let rows = expert_input.clone().expand([b * t, k, m]).reshape([1, b * t * k, m]);
        let out = self.experts.forward(rows, &expert).reshape([b * t, k, m]);
        let out = (out * weight.unsqueeze_dim(2)).sum_dim(1).reshape([b, t, m]);
        let out = match &self.shared {
            Some(shared) => out + cx.scope("shared", |cx| shared.forward(expert_input.reshape([b, t, m]), cx)),
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
    /// Returns the selected experts of all tokens, `[N·k]`, and the weights of their outputs, `[N, k]`. Adds the auxiliary
    /// losses. Probes: `router` (probabilities `[B, T, E]`), `chosen` (weights `[B, T, E]`).
    fn route(&self, x: Tensor<3>, cx: &mut Context) -> (Tensor<1, Int>, Tensor<2>) {
        let ([b, t, m], e) = (x.dims(), self.router.size()[1]);
        let logits = self.router.forward_with(x.reshape([b * t, m]), cx);
        let p = router::router_probabilities(logits.clone());
        let p = cx.probe_value("router", p.reshape([b, t, e])).reshape([b * t, e]);
        let selected = router::select_top_k(p.clone(), self.top_k);
        let is_selected = router::multi_hot(&selected, &p);
        self.add_router_losses(logits, p.clone(), is_selected.clone(), cx);
        let weights = router::expert_weights(p, is_selected, self.normalize);
        let weights = cx.probe_value("chosen", weights.reshape([b, t, e])).reshape([b * t, e]);
        (selected.clone().reshape([b * t * self.top_k]), weights.gather(1, selected))
    }

    /// Adds the auxiliary losses whose coefficients aren't 0.
    fn add_router_losses(&self, logits: Tensor<2>, p: Tensor<2>, selected: Tensor<2>, cx: &mut Context) {
        let live = cx.stream.tokens.field(MarkField::Valid).clone().float().cast(p.dtype());
        let live = live.reshape([1, p.dims()[0]]);
        if self.balance_coef > 0.0 {
            let loss = router::load_balancing_loss(p, selected, &live, self.top_k);
            cx.add_auxiliary_loss("balance", loss, self.balance_coef);
        }
        if self.z_coef > 0.0 {
            cx.add_auxiliary_loss("z", router::z_loss(logits, &live), self.z_coef);
        }
    }
}
