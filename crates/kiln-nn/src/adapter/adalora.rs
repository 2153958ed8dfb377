//! Adaptive low-rank adaptation (AdaLoRA): y = x W + b + s · dropout(x) P Λ Q with Λ diagonal, and a rank of each site that follows
//! from the importance of its singular values (2303.10512, eq. 3).
//!
//! Parameters: `a [in, r]` (P), `e [r]` (the diagonal of Λ), `b [r, out]` (Q), r the initial rank. A new adapter changes nothing,
//! as Λ starts at 0. Scale s = α / r. P and Q are kept near orthogonal by a loss, the mean over all of them of ‖PᵀP − I‖ and
//! ‖QQᵀ − I‖ (eq. 4, with the norm instead of its square, as in `peft`).
//!
//! After each optimizer step, with I = |w · ∂L/∂w| of each parameter (eq. 8):
//!
//! * its moving average Ī ← β₁ Ī + (1 − β₁) I is the sensitivity (eq. 9), Ū ← β₂ Ū + (1 − β₂) |I − Ī| its uncertainty (eq. 10),
//!   and s = Ī · Ū the score (eq. 11);
//! * a triplet (column i of P, λᵢ, row i of Q) has the score s(λᵢ) + mean s(Pᵢ) + mean s(Qᵢ) (eq. 7);
//! * every `allocation_interval` steps, λᵢ of all but the highest-scored triplets of all sites becomes 0 (eq. 6). Their number, the
//!   budget, falls from the initial to the target rank by a cubic schedule (eq. 12). A triplet that lost its λ can come back.
//!
//! `final_steps` steps before the end the last allocation is made; from there on the lost triplets stay at 0.
//!
//! Cost: 2 r (in + out) operations per token, whatever the budget; memory of two moving averages per parameter in training.

use super::{
    Adapter, AdapterOptions, AdapterStep, AfterStep, LinearCall, Site, SiteKind, StepProgress,
    options::{check_dropout, check_rank_at, common, invalid},
};
use crate::{arithmetic::product, autograd_order::graph_barrier, context::AuxiliaryLoss, init::Initializer};
use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use kiln_spec::ValidationError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Standard deviation of new P and Q, as in `peft`.
const INITIAL_STD: f64 = 0.02;

/// Added to the rank that α is divided by, as in `peft`.
const RANK_EPSILON: f64 = 1e-5;

/// Options of AdaLoRA.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct AdaLoraConfig {
    /// Rank of each site at the start, and the size of its matrices.
    pub init_rank: usize,
    /// Mean rank of the sites at the end.
    pub target_rank: usize,
    /// Scaling numerator: the adapter output is multiplied by alpha / init_rank.
    pub alpha: f64,
    /// Dropout probability of the adapter input.
    pub dropout: f64,
    /// Number of first steps without a change of the ranks.
    pub initial_steps: u64,
    /// Number of last steps without a change of the ranks.
    pub final_steps: u64,
    /// Number of steps between two changes of the ranks.
    pub allocation_interval: u64,
    /// Decay of the moving average of the sensitivity.
    pub beta1: f64,
    /// Decay of the moving average of the uncertainty.
    pub beta2: f64,
    /// Coefficient of the loss that keeps the matrices near orthogonal.
    pub orthogonality_coef: f64,
    /// Patterns of the linear layers to adapt; `*` matches any characters. A pattern matches a whole name
    /// (`blocks.0.attention.q`) or its end after a dot (`q`). `all-linear`: all linear layers but those of the head.
    pub target_modules: Vec<String>,
    /// Modules whose whole weights are trained too, by their full names or patterns of them: `head`, `*_norm`, `embedding`.
    pub modules_to_save: Vec<String>,
}

impl Default for AdaLoraConfig {
    fn default() -> Self {
        Self {
            init_rank: 12,
            target_rank: 8,
            alpha: 16.0,
            dropout: 0.0,
            initial_steps: 0,
            final_steps: 0,
            allocation_interval: 1,
            beta1: 0.85,
            beta2: 0.85,
            orthogonality_coef: 0.5,
            target_modules: ["attention.q", "attention.v"].map(String::from).into(),
            modules_to_save: Vec::new(),
        }
    }
}

impl AdapterOptions for AdaLoraConfig {
    /// The options without the sites, which an adapter of one site doesn't have.
    type Spec = Self;

    fn check(&self, path: &str) -> Result<(), ValidationError> {
        check_rank_at(self.init_rank, path, "init_rank")?;
        if !(1..=self.init_rank).contains(&self.target_rank) {
            let expected = format!("a rank from 1 to init_rank = {}", self.init_rank);
            return Err(invalid(path, "target_rank", &expected, self.target_rank));
        }
        if !(self.alpha > 0.0 && self.alpha.is_finite()) {
            return Err(invalid(path, "alpha", "a finite number above 0", self.alpha));
        }
        if self.allocation_interval == 0 {
            return Err(invalid(path, "allocation_interval", "a number of steps above 0", self.allocation_interval));
        }
        for (key, beta) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            if !(beta > 0.0 && beta < 1.0) {
                return Err(invalid(path, key, "a number above 0 and below 1", beta));
            }
        }
        if !(self.orthogonality_coef >= 0.0 && self.orthogonality_coef.is_finite()) {
            return Err(invalid(path, "orthogonality_coef", "a finite number of at least 0", self.orthogonality_coef));
        }
        check_dropout(self.dropout, path)
    }

    fn check_steps(&self, path: &str, steps: u64) -> Result<(), ValidationError> {
        let fixed = self.initial_steps.saturating_add(self.final_steps);
        if fixed < steps {
            return Ok(());
        }
        let expected = format!("initial_steps + final_steps below the {steps} steps of the stage");
        Err(invalid(path, "initial_steps", &expected, fixed))
    }

    fn targets(&self) -> &[String] {
        &self.target_modules
    }

    fn modules_to_save(&self) -> &[String] {
        &self.modules_to_save
    }

    fn dropout(&self) -> f64 {
        self.dropout
    }

    fn describe(&self) -> String {
        format!("rank {} to {}", self.init_rank, self.target_rank)
    }

    fn spec(&self, _path: &str) -> Self {
        Self { target_modules: Vec::new(), modules_to_save: Vec::new(), ..self.clone() }
    }

    fn from_specs(specs: &BTreeMap<String, Self>) -> Option<Self> {
        Some(Self { target_modules: specs.keys().cloned().collect(), ..common(specs)? })
    }
}

impl AdaLoraConfig {
    /// Returns the scale s. It does not follow the budget.
    pub fn scale(&self) -> f64 {
        self.alpha / (self.init_rank as f64 + RANK_EPSILON)
    }

    /// The step after which the last allocation is made.
    fn last_allocation(&self, progress: StepProgress) -> u64 {
        progress.total_steps.saturating_sub(self.final_steps)
    }

    /// The number of triplets that `sites` sites keep by an allocation after this step (eq. 12); `None`: none is made.
    fn budget(&self, sites: usize, progress: StepProgress) -> Option<usize> {
        let StepProgress { step, .. } = progress;
        let (last, [initial, target]) =
            (self.last_allocation(progress), [self.init_rank, self.target_rank].map(|rank| rank * sites));
        if step == last {
            return Some(target);
        }
        if step <= self.initial_steps || step > last || !step.is_multiple_of(self.allocation_interval) {
            return None;
        }
        let left = 1.0 - (step - self.initial_steps) as f64 / (last - self.initial_steps) as f64;
        // Truncated as in `peft`, whose Python takes the third power by `pow` too.
        Some(((initial as f64 - target as f64) * left.powf(3.0) + target as f64) as usize)
    }
}

/// AdaLoRA adapter: the matrices P and Q, and the singular values between them.
#[derive(Module, Debug)]
pub struct AdaLora {
    /// P, `[in, r]`.
    pub a: Param<Tensor<2>>,
    /// Diagonal of Λ, `[r]`.
    pub e: Param<Tensor<1>>,
    /// Q, `[r, out]`.
    pub b: Param<Tensor<2>>,
    #[module(skip)]
    spec: AdaLoraConfig,
    /// Path of the adapter, which keys the random numbers of its dropout.
    #[module(skip)]
    path: String,
}

impl Adapter for AdaLora {
    type Config = AdaLoraConfig;
    const TITLE: &'static str = "AdaLoRA";
    const SITES: &'static [SiteKind] = &[SiteKind::Linear];
    const AFTER_STEP: Option<AfterStep<AdaLoraConfig>> = Some(after_step);
    const REGULARIZATION: Option<fn(&[&Self]) -> AuxiliaryLoss> = Some(orthogonality);

    fn init(spec: &AdaLoraConfig, site: &Site, init: &mut Initializer) -> Self {
        let ([_, from, to], rank) = (site.map_shape(), spec.init_rank);
        Self {
            a: init.normal("a", [from, rank], INITIAL_STD),
            e: init.constant([rank], 0.0),
            b: init.normal("b", [rank, to], INITIAL_STD),
            spec: spec.clone(),
            path: init.path(),
        }
    }

    fn linear<const D: usize>(&self, call: &LinearCall<D>) -> Option<Tensor<D>> {
        let x = call.dropped(&self.path, self.spec.dropout);
        let low = product(x, self.a.val(), call.arithmetic) * self.e.val().unsqueeze();
        Some(product(low, self.b.val(), call.arithmetic) * (self.spec.scale() * call.weight))
    }

    fn weight_change(&self, _weight: &Tensor<2>) -> Option<Tensor<2>> {
        let a = self.a.val() * self.e.val().unsqueeze();
        Some(a.matmul(self.b.val()) * self.spec.scale())
    }

    fn flops(&self) -> f64 {
        2.0 * (self.a.lazy_shape().num_elements() + self.b.lazy_shape().num_elements()) as f64
    }
}

/// Mean over all P and Q of ‖PᵀP − I‖ and ‖QQᵀ − I‖.
fn orthogonality(adapters: &[&AdaLora]) -> AuxiliaryLoss {
    let distance = |gram: Tensor<2>| {
        let [rank, _] = gram.dims();
        let identity = Tensor::<2>::eye(rank, &gram.device()).cast(gram.dtype());
        (gram - identity).square().sum().sqrt()
    };
    let of_adapter = |adapter: &&AdaLora| {
        // Read twice here and once by the layer: behind a barrier, the parameter has two gradients, in either order.
        let [p, q] = [&adapter.a, &adapter.b].map(|matrix| graph_barrier(matrix.val()));
        distance(p.clone().transpose().matmul(p)) + distance(q.clone().matmul(q.transpose()))
    };
    let sum = adapters.iter().map(of_adapter).reduce(|sum, distance| sum + distance);
    let value = sum.expect("at least one adapter") / (2 * adapters.len()) as f64;
    let weight = adapters[0].spec.orthogonality_coef;
    AuxiliaryLoss { name: "orthogonality".into(), value, weight }
}

/// An adapter of a site: its hyperparameters and its tensors.
type SiteStep<'a, 'b> = (&'a AdaLoraConfig, &'b mut AdapterStep);

/// The names of a parameter and of the moving averages of its sensitivity and uncertainty.
const PARAMETERS: [[&str; 3]; 3] = [
    ["a", "sensitivity_a", "uncertainty_a"],
    ["e", "sensitivity_e", "uncertainty_e"],
    ["b", "sensitivity_b", "uncertainty_b"],
];

/// The triplets that the last allocation kept: 1, the others 0, `[r]`.
const KEPT: &str = "kept";

/// Updates the importance of all triplets, and takes λ from the least important ones.
fn after_step(adapters: &mut [SiteStep], progress: StepProgress) {
    let Some(spec) = adapters.first().map(|(spec, _)| (*spec).clone()) else { return };
    let last = spec.last_allocation(progress);
    if progress.step < last {
        adapters.iter_mut().for_each(|(_, adapter)| update_importance(&spec, adapter));
    }
    if let Some(budget) = spec.budget(adapters.len(), progress) {
        allocate(adapters, (spec.init_rank * adapters.len()).saturating_sub(budget));
    }
    if progress.step >= last {
        for (_, adapter) in adapters {
            // Importance is no longer used.
            adapter.state.retain(|name, _| name == KEPT);
            if let (Some(e), Some(kept)) = (adapter.values.remove("e"), adapter.state.get(KEPT)) {
                adapter.values.insert("e".into(), e * kept.clone());
            }
        }
    }
}

/// The moving averages of sensitivity and uncertainty (eq. 8 to 10). A parameter without a gradient has the sensitivity 0.
fn update_importance(spec: &AdaLoraConfig, adapter: &mut AdapterStep) {
    for [name, sensitivity, uncertainty] in PARAMETERS {
        let Some(value) = adapter.values.get(name) else { continue };
        let now = match adapter.gradients.get(name) {
            Some(gradient) => (value.clone() * gradient.clone()).abs(),
            None => value.zeros_like(),
        };
        let average = |before: Option<Tensor<1>>, decay: f64, now: Tensor<1>| match before {
            Some(before) => before * decay + now * (1.0 - decay),
            None => now * (1.0 - decay),
        };
        let mean = average(adapter.state.remove(sensitivity), spec.beta1, now.clone());
        let spread = average(adapter.state.remove(uncertainty), spec.beta2, (now - mean.clone()).abs());
        adapter.state.extend([(sensitivity.into(), mean), (uncertainty.into(), spread)]);
    }
}

/// Scores of the triplets of a site (eq. 7 and 11), `[r]`; `None` before the first update.
fn scores(rank: usize, adapter: &AdapterStep) -> Option<Tensor<1>> {
    let [a, e, b] = PARAMETERS.map(|[_, sensitivity, uncertainty]| {
        let [sensitivity, uncertainty] = [sensitivity, uncertainty].map(|name| adapter.state.get(name).cloned());
        Some(sensitivity? * uncertainty?)
    });
    let columns = |score: Tensor<1>| {
        let rows = score.dims()[0] / rank;
        score.reshape([rows, rank]).mean_dim(0).reshape([rank])
    };
    let rows = |score: Tensor<1>| {
        let columns = score.dims()[0] / rank;
        score.reshape([rank, columns]).mean_dim(1).reshape([rank])
    };
    Some(e? + (columns(a?) + rows(b?)))
}

/// Sets λ of the `count` triplets with the lowest scores, and of those with the same score, to 0. The scores stay on the device.
fn allocate(adapters: &mut [SiteStep], count: usize) {
    let all: Option<Vec<Tensor<1>>> = adapters.iter().map(|(spec, adapter)| scores(spec.init_rank, adapter)).collect();
    let Some(all) = all.filter(|_| count > 0) else {
        adapters.iter_mut().for_each(|(_, adapter)| {
            adapter.state.remove(KEPT);
        });
        return;
    };
    let threshold = Tensor::cat(all.clone(), 0).sort(0).narrow(0, count - 1, 1);
    for ((_, adapter), score) in adapters.iter_mut().zip(all) {
        let Some(e) = adapter.values.remove("e") else { continue };
        let lost = score.clone().lower_equal(threshold.clone().expand(score.dims()));
        adapter.values.insert("e".into(), e.clone().mask_fill(lost.clone(), 0.0));
        adapter.state.insert(KEPT.into(), e.ones_like().mask_fill(lost, 0.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(step: u64) -> StepProgress {
        StepProgress { step, total_steps: 12 }
    }

    /// Every number is that of peft's `RankAllocator.budget_schedule` for three sites.
    #[test]
    fn the_budget_falls_from_the_initial_to_the_target_rank() {
        let config =
            AdaLoraConfig { init_rank: 6, target_rank: 2, initial_steps: 2, final_steps: 3, ..Default::default() };
        let budgets: Vec<Option<usize>> = (1..=12).map(|step| config.spec("m").budget(3, at(step))).collect();
        let falling = [13, 10, 8, 6, 6, 6].map(Some);
        assert_eq!(budgets[..2], [None, None]);
        assert_eq!(budgets[2..8], falling);
        assert_eq!(budgets[8..], [Some(6), None, None, None]);
        let every_third = AdaLoraConfig { allocation_interval: 3, ..config };
        let made: Vec<u64> = (1..=12).filter(|step| every_third.spec("m").budget(3, at(*step)).is_some()).collect();
        assert_eq!(made, [3, 6, 9]);
    }

    #[test]
    fn options_out_of_range_are_refused_by_their_key() {
        let ok = AdaLoraConfig::default();
        assert!(ok.check("a").is_ok() && ok.check_steps("a", 1).is_ok());
        for (key, config) in [
            ("init_rank", AdaLoraConfig { init_rank: 0, ..ok.clone() }),
            ("target_rank", AdaLoraConfig { target_rank: 13, ..ok.clone() }),
            ("target_rank", AdaLoraConfig { target_rank: 0, ..ok.clone() }),
            ("alpha", AdaLoraConfig { alpha: 0.0, ..ok.clone() }),
            ("allocation_interval", AdaLoraConfig { allocation_interval: 0, ..ok.clone() }),
            ("beta1", AdaLoraConfig { beta1: 1.0, ..ok.clone() }),
            ("beta2", AdaLoraConfig { beta2: f64::NAN, ..ok.clone() }),
            ("orthogonality_coef", AdaLoraConfig { orthogonality_coef: -1.0, ..ok.clone() }),
            ("dropout", AdaLoraConfig { dropout: 1.0, ..ok.clone() }),
        ] {
            assert_eq!(config.check("a").unwrap_err().path, format!("a.{key}"));
        }
        let long = AdaLoraConfig { initial_steps: 6, final_steps: 6, ..ok };
        assert!(long.check_steps("a", 13).is_ok());
        assert_eq!(long.check_steps("a", 12).unwrap_err().path, "a.initial_steps");
    }
}
