//! Mixture of experts (MoE): y = Σ_e w_e(x) FFN_e(x) over the k experts with the greatest router scores (1701.06538, eq. 1;
//! 2101.03961).
//!
//! * p = softmax(x W_router), or the sigmoid of each logit (`scoring_func`, 2412.19437);
//! * selected: the k greatest of p + b, b the selection bias if there is one (2408.15664), of all experts or of the token's
//!   best `groups` (2405.04434, section 2.2);
//! * w_e = p_e for a selected expert and 0 for the others. If `norm_topk_prob` is set, the weights are then divided by their
//!   sum. Then they are multiplied by `routed_scaling_factor`;
//! * optionally plus a shared expert that every token passes (2401.06066, eq. 9), times σ(x w) with `shared_expert_gate`.
//!
//! Experts have no capacity limit, so no token is dropped, and a token's output doesn't depend on other tokens. Auxiliary
//! losses keep the router balanced: `balance` (load balancing) and `z` (router z-loss), over the live tokens.
//!
//! Parameters: `router.weight [M, E]`, `router.bias [E]` with `router_bias`, `selection_bias [E]` with a selection bias,
//! `experts.…` (see `StackedExperts`), `shared.…` with a shared expert, `shared_gate.weight [M, 1]` with its gate. Cost: k experts
//! per token with the grouped kernel (CPU), all E without it.
//!
//! Shapes: B sequences, T tokens, M hidden, N = B · T, E experts, k experts per token.

mod config;
mod router;
mod selection;
mod selection_bias;
mod stacked;

pub use config::{Expert, ExpertConfig, MixtureOfExpertsConfig, ScoringFunction};
pub use selection::{ExpertGroupsConfig, GroupScore, multi_hot, select_top_k};
pub use selection_bias::{ExpertLoad, SELECTION_BIAS, SelectionBiasConfig, is_selection_bias};

use super::feed_forward::{gated_mlp, mlp};
use crate::{
    autograd_order::{graph_barrier, reshape_barrier, stop_gradient},
    context::Context,
    init::Initializer,
    linear::Linear,
    part::Layer,
    variant::{BuildContext, Card, Cost, Variant},
};
use burn::{
    module::{Module, Param},
    tensor::{Int, Tensor, activation::sigmoid},
};
use kiln_spec::{ValidationError, formula::MarkField};
use router::ExpertWeights;
use stacked::StackedExperts;

/// Mixture of experts: router, stacked experts and optional shared expert.
#[derive(Module, Debug)]
pub struct MixtureOfExperts {
    /// `[M, E]`.
    router: Linear,
    /// Added to the scores for the selection, `[E]`. No gradient; changed after a step.
    selection_bias: Option<Param<Tensor<1>>>,
    experts: StackedExperts,
    /// Expert that every token passes.
    shared: Option<Expert>,
    /// Gate of the shared expert, `[M, 1]`.
    shared_gate: Option<Linear>,
    /// Change of the selection bias per step.
    #[module(skip)]
    update_rate: f64,
    #[module(skip)]
    groups: Option<ExpertGroupsConfig>,
    /// How scores become weights.
    #[module(skip)]
    weights: ExpertWeights,
    #[module(skip)]
    top_k: usize,
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
        incompatible_with: "top_k above num_experts; norm_topk_prob with top_k = 1; groups that do not divide the experts",
        ..Card::new("experts", "1701.06538, 2101.03961, 2202.08906, 2401.06066, 2405.04434, 2408.15664, 2412.19437")
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
            shared_gate: config.shared_expert_gate.then(|| Linear::new("shared_gate", [build.hidden, 1], false, init)),
            router: Linear::new("router", [build.hidden, config.num_experts], config.router_bias, init),
            selection_bias: config.selection_bias.as_ref().map(|_| init.constant([config.num_experts], 0.0)),
            update_rate: config.selection_bias.as_ref().map_or(0.0, |bias| bias.update_rate),
            groups: config.groups.clone(),
            weights: ExpertWeights {
                function: config.scoring_func,
                normalize: config.norm_topk_prob.unwrap_or(config.top_k > 1),
                scaling: config.routed_scaling_factor,
            },
            experts: init
                .scope("experts", |init| StackedExperts::init(&config.expert, config.num_experts, build, init)),
            top_k: config.top_k,
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
        let out = self.experts.forward(rows, &expert, cx).reshape([b * t, k, m]);
        let out = (out * weight.unsqueeze_dim(2)).sum_dim(1).reshape([b, t, m]);
        let out = match &self.shared {
            Some(shared) => out + self.shared_output(shared, expert_input.reshape([b, t, m]), cx),
            None => out,
        };
        cx.dropout("out", self.dropout, out)
    }

    fn cost(&self, length: usize) -> Cost {
        let shared = self.shared.as_ref().map_or(0.0, |shared| shared.cost(length).flops);
        let gate = self.shared_gate.as_ref().map_or(0.0, Linear::flops);
        Cost { flops: self.router.flops() + self.top_k as f64 * self.experts.flops() + shared + gate, state_bytes: 0.0 }
    }

    fn describe(&self) -> String {
        let [hidden, experts] = self.router.size();
        let shared = self.shared.as_ref().map_or(String::new(), |shared| format!(", shared {}", shared.describe()));
        format!("{} of {experts} experts, {hidden} → {}{shared}", self.top_k, self.experts.intermediate())
    }
}

impl MixtureOfExperts {
    /// Returns the selected experts of all tokens, `[N·k]`, and the weights of their outputs, `[N, k]`. Adds the auxiliary
    /// losses, and in training the load of a selection bias. Probes: `router` (scores `[B, T, E]`), `chosen` (weights
    /// `[B, T, E]`).
    fn route(&self, x: Tensor<3>, cx: &mut Context) -> (Tensor<1, Int>, Tensor<2>) {
        let ([b, t, m], e) = (x.dims(), self.router.size()[1]);
        let logits = self.router.forward_with(x.reshape([b * t, m]), cx);
        let p = router::router_scores(logits.clone(), self.weights.function);
        let p = cx.probe_value("router", p.reshape([b, t, e])).reshape([b * t, e]);
        let selected = self.select(p.clone());
        let is_selected = selection::multi_hot(&selected, &p);
        self.add_router_losses(logits, p.clone(), is_selected.clone(), cx);
        let weights = self.weights.apply(p, is_selected);
        let weights = cx.probe_value("chosen", weights.reshape([b, t, e])).reshape([b * t, e]);
        (selected.clone().reshape([b * t * self.top_k]), weights.gather(1, selected))
    }

    /// The experts of each token by their scores, `[N, E] → [N, k]`.
    fn select(&self, scores: Tensor<2>) -> Tensor<2, Int> {
        let scores = match &self.selection_bias {
            Some(bias) => stop_gradient(scores) + stop_gradient(bias.val()).unsqueeze(),
            None => scores,
        };
        let scores = match &self.groups {
            Some(groups) => selection::within_best_groups(scores, groups),
            None => scores,
        };
        selection::select_top_k(scores, self.top_k)
    }

    /// Output of the shared expert, times its gate if it has one, `[B, T, M] → [B, T, M]`.
    fn shared_output(&self, shared: &Expert, x: Tensor<3>, cx: &mut Context) -> Tensor<3> {
        let Some(gate) = &self.shared_gate else { return cx.scope("shared", |cx| shared.forward(x, cx)) };
        // Two readers of the input: the gate, and the expert, whose matrices read it through a barrier of their own.
        let out = cx.scope("shared", |cx| shared.forward(graph_barrier(x.clone()), cx));
        out * sigmoid(gate.forward_with(x, cx))
    }

    /// Adds the auxiliary losses whose coefficients aren't 0, and records the load of a selection bias in training.
    fn add_router_losses(&self, logits: Tensor<2>, p: Tensor<2>, selected: Tensor<2>, cx: &mut Context) {
        let live = cx.stream.tokens.field(MarkField::Valid).clone().float().cast(p.dtype());
        let live = live.reshape([1, p.dims()[0]]);
        if self.update_rate > 0.0 && self.selection_bias.is_some() && cx.rng_key.is_some() {
            cx.add_expert_load(selection_bias::count_selections(selected.clone(), live.clone()), self.update_rate);
        }
        if self.balance_coef > 0.0 {
            let p = router::router_probabilities(p, self.weights.function);
            let loss = router::load_balancing_loss(p, selected, &live, self.top_k);
            cx.add_auxiliary_loss("balance", loss, self.balance_coef);
        }
        if self.z_coef > 0.0 {
            cx.add_auxiliary_loss("z", router::z_loss(logits, &live), self.z_coef);
        }
    }
}
