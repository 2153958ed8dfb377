//! Preference optimization: of two answers to a prompt, the model learns to give the chosen one the higher probability
//! (DPO, 2305.18290). Most of the losses compare the model with a frozen reference model.
//!
//! The log-probability of an answer is the sum over its tokens. Policy and reference read the same rows. [`PreferenceLoss`]
//! lists the losses and their formulas.

mod loss;
mod pairs;
#[cfg(test)]
mod tests;

pub use loss::PreferenceLoss;

use super::{
    BatchFuture, Better, Loss, LossUnit, MetricInfo, Models, Objective, ObjectiveConfig, WeightedNextToken,
    check_decoder, segment_batch, sequence_log_probabilities,
};
use crate::{
    frozen::{RowFunction, values_by_row},
    models::{FrozenModelConfig, FrozenSource},
    recipe::invalid,
};
use burn::tensor::Tensor;
use kiln_data::{Batch, ExampleKind, PackedSequences};
use kiln_models::{Model, ModelConfig, Visibility};
use kiln_nn::Context;
use kiln_spec::{Card, Causality, Random, ValidationError};
use loss::{AnswerScores, PairLosses};
use pairs::Pairs;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) const CARD: Card = Card { causality: Causality::CausalOnly, ..Card::config_only("2305.18290") };

/// Name of the frozen model that the answers are compared with.
pub const REFERENCE: &str = "reference";

/// Label smoothing of `exo_pair` if none is set: the loss needs one above 0.
const EXO_LABEL_SMOOTHING: f64 = 1e-3;

/// Preference optimization. The unit of the loss is a pair of answers.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Default)]
#[serde(default, deny_unknown_fields)]
pub struct Preference {
    /// Loss of a pair.
    pub loss: PreferenceLoss,
    /// Strength of the preference, β: a low value lets the model move far from the reference. Absent: 0.1; 2.0 for
    /// `simpo`. For `orpo` the weight of the odds-ratio term, for `ipo` the regularization τ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta: Option<f64>,
    /// Share of the pairs whose labels are assumed to be swapped, ε. Only for `dpo`, `robust`, `exo_pair`, `cpo` and
    /// `simpo`. 0 means 0.001 for `exo_pair`.
    pub label_smoothing: f64,
    /// Target margin γ of `simpo`. Absent: half of `beta`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gamma: Option<f64>,
    /// Weight of a further term: −log p of the chosen answer for each of its tokens (2404.19733; TRL: `rpo_alpha`).
    pub sft_weight: f64,
    /// Reference model: `start` (the model at the start of the stage), `base` (the model without its adapters, which needs
    /// no second copy), or a path of a model with the same vocabulary. Absent: `start`, and none for `cpo`, `simpo` and
    /// `orpo`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<FrozenSource>,
    /// Compute the log-probabilities of the reference once, at the start of the stage, and drop the reference from
    /// memory. The results have the same bits.
    pub precompute: bool,
}

/// Metrics, each a mean over pairs.
const METRICS: &[MetricInfo] = &[
    MetricInfo {
        name: "accuracy",
        unit: "",
        better: Better::Higher,
        description: "share of the pairs whose chosen answer has the higher reward",
    },
    MetricInfo {
        name: "margin",
        unit: "nats",
        better: Better::Higher,
        description: "reward of the chosen answer minus that of the rejected one",
    },
    MetricInfo {
        name: "chosen_reward",
        unit: "nats",
        better: Better::Higher,
        description: "implicit reward of the chosen answer: beta times its log-ratio against the reference, or beta times \
                      its log-probability without one",
    },
    MetricInfo {
        name: "rejected_reward",
        unit: "nats",
        better: Better::Lower,
        description: "implicit reward of the rejected answer",
    },
    MetricInfo {
        name: "chosen_log_probability",
        unit: "nats",
        better: Better::Higher,
        description: "log-probability of the chosen answer",
    },
    MetricInfo {
        name: "rejected_log_probability",
        unit: "nats",
        better: Better::Lower,
        description: "log-probability of the rejected answer",
    },
    MetricInfo {
        name: "chosen_log_ratio",
        unit: "nats",
        better: Better::Higher,
        description: "log-probability of the chosen answer minus that under the reference; far below 0, the model forgets",
    },
];

/// The metrics without those that need a reference.
const REFERENCE_FREE_METRICS: &[MetricInfo] = METRICS.split_at(METRICS.len() - 1).0;

impl Preference {
    /// β, or its default.
    pub fn beta(&self) -> f64 {
        self.beta.unwrap_or_else(|| self.loss.default_beta())
    }

    /// γ of SimPO, or its default: half of β, as in the paper's experiments.
    pub fn gamma(&self) -> f64 {
        self.gamma.unwrap_or_else(|| 0.5 * self.beta())
    }

    /// ε, or the default of a loss that needs one.
    pub fn label_smoothing(&self) -> f64 {
        match self.loss {
            PreferenceLoss::ExoPair if self.label_smoothing == 0.0 => EXO_LABEL_SMOOTHING,
            _ => self.label_smoothing,
        }
    }

    /// Where the reference comes from; `None` for a loss without one.
    pub fn reference_source(&self) -> Option<FrozenSource> {
        self.loss.has_reference().then(|| self.reference.clone().unwrap_or(FrozenSource::Start))
    }

    /// Checks the options; `path` is their key in the recipe.
    ///
    /// # Errors
    /// The first option that is out of range or has no meaning for the loss, with its path.
    pub fn check_options(&self, path: &str) -> Result<(), ValidationError> {
        let loss = self.loss.name();
        let [beta, epsilon, gamma, sft] =
            [self.beta(), self.label_smoothing, self.gamma.unwrap_or_default(), self.sft_weight];
        match self {
            _ if !(beta > 0.0 && beta.is_finite()) => invalid(path, "beta", format!("must be above 0, found {beta}")),
            _ if !(0.0..0.5).contains(&epsilon) => {
                invalid(path, "label_smoothing", format!("must be at least 0 and below 0.5, found {epsilon}"))
            }
            _ if epsilon > 0.0 && !self.loss.has_label_smoothing() => {
                invalid(path, "label_smoothing", format!("has no effect on the loss `{loss}`, found {epsilon}"))
            }
            Self { gamma: Some(_), .. } if self.loss != PreferenceLoss::Simpo => {
                invalid(path, "gamma", format!("has no effect on the loss `{loss}`, only on `simpo`"))
            }
            _ if !(gamma >= 0.0 && gamma.is_finite()) => {
                invalid(path, "gamma", format!("must be at least 0, found {gamma}"))
            }
            _ if !(sft >= 0.0 && sft.is_finite()) => {
                invalid(path, "sft_weight", format!("must be at least 0, found {sft}"))
            }
            Self { reference: Some(_), .. } if !self.loss.has_reference() => {
                invalid(path, "reference", format!("the loss `{loss}` compares with no reference"))
            }
            Self { precompute: true, .. } if !self.loss.has_reference() => {
                invalid(path, "precompute", format!("the loss `{loss}` compares with no reference"))
            }
            _ => Ok(()),
        }
    }

    /// Losses and rewards of the pairs of a batch, and the log-probabilities of their answers.
    fn compare(&self, models: &Models, batch: &Batch, cx: &mut Context) -> (PairLosses, [Tensor<1>; 2]) {
        let pairs = Pairs::find(batch);
        // The reference runs first: its activations are gone before those of the policy are stored.
        let reference =
            self.loss.has_reference().then(|| values_by_row(models, REFERENCE, batch, row_log_probabilities));
        let reference = reference.map(|values| pairs.select(&values));
        let policy = pairs.select(&sequence_log_probabilities(&models.policy, batch, cx));
        let lengths = pairs.lengths(batch, &policy[0]);
        let log_probabilities = policy.clone().map(Tensor::detach);
        (self.pair_losses(AnswerScores { policy, reference, lengths }), log_probabilities)
    }
}

/// log p of the answers of a row under the reference, `[S]`.
fn row_log_probabilities(reference: &Model, row: &Batch) -> Tensor<1> {
    sequence_log_probabilities(reference, row, &mut Context::new(&row.layout, &reference.device()))
}

impl Objective for Preference {
    fn batch<'a>(&'a self, packed: &'a PackedSequences, _models: &'a Models, random: Random) -> BatchFuture<'a> {
        let batch = segment_batch(packed, random, &WeightedNextToken);
        let batch = batch.and_then(|batch| Pairs::find(&batch).check(&batch).map(|()| batch));
        Box::pin(std::future::ready(batch))
    }

    fn loss(&self, models: &Models, batch: &Batch, cx: &mut Context) -> Loss {
        let (PairLosses { losses, rewards, log_ratios }, log_probabilities) = self.compare(models, batch, cx);
        let [chosen, rejected] = rewards.map(Tensor::detach);
        let margin = chosen.clone() - rejected.clone();
        let accuracy = margin.clone().greater_elem(0.0).float();
        let [chosen_log_probability, rejected_log_probability] = log_probabilities;
        let mut metrics = vec![
            ("accuracy", accuracy.sum()),
            ("margin", margin.sum()),
            ("chosen_reward", chosen.sum()),
            ("rejected_reward", rejected.sum()),
            ("chosen_log_probability", chosen_log_probability.sum()),
            ("rejected_log_probability", rejected_log_probability.sum()),
        ];
        if let Some([chosen, _]) = log_ratios {
            metrics.push(("chosen_log_ratio", chosen.detach().sum()));
        }
        Loss { sum: losses.sum(), metrics }
    }

    fn unit(&self) -> LossUnit {
        LossUnit::Pair
    }

    fn num_units(&self, batch: &Batch) -> f64 {
        Pairs::find(batch).len() as f64
    }

    fn metrics(&self) -> &'static [MetricInfo] {
        if self.loss.has_reference() { METRICS } else { REFERENCE_FREE_METRICS }
    }

    fn frozen_models(&self) -> Vec<FrozenModelConfig> {
        let precompute = self.precompute.then_some(row_log_probabilities as RowFunction);
        let source = self.reference_source();
        source.map(|source| FrozenModelConfig { name: REFERENCE, source, precompute }).into_iter().collect()
    }

    fn accepts(&self) -> &'static [ExampleKind] {
        &[ExampleKind::Preference]
    }

    fn name(&self) -> String {
        "preference".into()
    }

    fn config(&self) -> Option<ObjectiveConfig> {
        Some(ObjectiveConfig::Preference(self.clone()))
    }

    fn visibility(&self) -> Visibility {
        Visibility::Causal
    }

    fn check(&self, model: &ModelConfig, path: &str) -> Result<(), ValidationError> {
        check_decoder(model, "preference", path)?;
        self.check_options(&format!("{path}.preference"))
    }
}
