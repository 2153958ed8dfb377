//! Losses of a preference pair, as functions of the log-probabilities of its two answers.
//!
//! With the log-ratios r = log π(y | x) − log π_ref(y | x) of the chosen answer (w) and the rejected one (l), and the margin
//! Δ = r_w − r_l. A bar means: divided by the number of tokens of the answer. σ is the logistic function, ε the label
//! smoothing.
//!
//! | loss | formula | source |
//! |---|---|---|
//! | `dpo` | −(1 − ε) log σ(β Δ) − ε log σ(−β Δ) | 2305.18290, equation 7 |
//! | `robust` | (−(1 − ε) log σ(β Δ) + ε log σ(−β Δ)) / (1 − 2 ε) | 2403.00409, equation 12 |
//! | `ipo` | (r̄_w − r̄_l − 1/(2β))² | 2310.12036, equation 17 |
//! | `hinge` | max(0, 1 − β Δ) | 2305.10425, 2309.06657 |
//! | `exo_pair` | KL(σ(±β Δ) ‖ (1 − ε, ε)) | 2402.00856, equation 16 |
//! | `nca_pair` | −log σ(β r_w) − ½ log σ(−β r_w) − ½ log σ(−β r_l) | 2402.05369 |
//! | `sppo_hard` | (r_w − 1/(2β))² + (r_l + 1/(2β))² | 2405.00675, equation 4.7 |
//! | `apo_zero` | 1 − σ(β r_w) + σ(β r_l) | 2408.06266, equation 7 |
//! | `apo_down` | σ(β r_w) + 1 − σ(β Δ) | 2408.06266, equation 8 |
//! | `cpo` | as `dpo`, with log π instead of r | 2401.08417, equation 3 |
//! | `simpo` | −log σ(β (log π̄_w − log π̄_l) − γ) | 2405.14734, equation 6 |
//! | `orpo` | −log π̄_w − β log σ(log odds_w − log odds_l), odds = π̄ / (1 − π̄) | 2403.07691, equations 6 and 7 |

use super::Preference;
use burn::tensor::{
    Tensor,
    activation::{log_sigmoid, relu, sigmoid},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Loss of a preference pair.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "snake_case")]
pub enum PreferenceLoss {
    /// Direct preference optimization (2305.18290); with label smoothing: conservative DPO.
    #[default]
    Dpo,
    /// DPO for labels of which the share `label_smoothing` is wrong (2403.00409).
    Robust,
    /// Identity preference optimization (2310.12036), with log-probabilities for each token.
    Ipo,
    /// Hinge loss of SLiC (2305.10425) on DPO's margin (2309.06657).
    Hinge,
    /// Efficient exact optimization (2402.00856).
    ExoPair,
    /// Noise contrastive alignment (2402.05369).
    NcaPair,
    /// Self-play preference optimization with hard labels (2405.00675).
    SppoHard,
    /// Anchored preference optimization for chosen answers that are better than those of the model (2408.06266).
    ApoZero,
    /// Anchored preference optimization for chosen answers that are worse than those of the model (2408.06266).
    ApoDown,
    /// Contrastive preference optimization (2401.08417). No reference.
    Cpo,
    /// Simple preference optimization: log-probabilities for each token and a target margin (2405.14734). No reference.
    Simpo,
    /// Odds-ratio preference optimization: supervised fine-tuning with an odds-ratio term (2403.07691). No reference.
    Orpo,
}

impl PreferenceLoss {
    /// Name in a recipe.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dpo => "dpo",
            Self::Robust => "robust",
            Self::Ipo => "ipo",
            Self::Hinge => "hinge",
            Self::ExoPair => "exo_pair",
            Self::NcaPair => "nca_pair",
            Self::SppoHard => "sppo_hard",
            Self::ApoZero => "apo_zero",
            Self::ApoDown => "apo_down",
            Self::Cpo => "cpo",
            Self::Simpo => "simpo",
            Self::Orpo => "orpo",
        }
    }

    /// Whether the loss compares the model with a reference model.
    pub fn has_reference(self) -> bool {
        !matches!(self, Self::Cpo | Self::Simpo | Self::Orpo)
    }

    /// Whether log-probabilities are divided by the number of tokens of the answer.
    pub fn is_length_normalized(self) -> bool {
        matches!(self, Self::Ipo | Self::Simpo | Self::Orpo)
    }

    /// Whether `label_smoothing` has a meaning.
    pub fn has_label_smoothing(self) -> bool {
        matches!(self, Self::Dpo | Self::Robust | Self::ExoPair | Self::Cpo | Self::Simpo)
    }

    /// Default of `beta`: 2 for SimPO, whose log-probabilities are those of a single token; else 0.1.
    pub fn default_beta(self) -> f64 {
        if self == Self::Simpo { 2.0 } else { 0.1 }
    }
}

/// Log-probabilities of the answers of P pairs, chosen and rejected, `[P]` each.
pub(super) struct AnswerScores {
    /// log π(answer | prompt) of the trained model.
    pub policy: [Tensor<1>; 2],
    /// log π_ref(answer | prompt) of the reference; `None` for a loss without one.
    pub reference: Option<[Tensor<1>; 2]>,
    /// Numbers of tokens of the answers, at least 1.
    pub lengths: [Tensor<1>; 2],
}

/// Losses and rewards of P pairs, `[P]` each.
pub(super) struct PairLosses {
    /// Loss, in nats.
    pub losses: Tensor<1>,
    /// Implicit rewards β r of the chosen and the rejected answer; β log π without a reference.
    pub rewards: [Tensor<1>; 2],
    /// Log-ratios of the answers against the reference; `None` without one.
    pub log_ratios: Option<[Tensor<1>; 2]>,
}

/// Largest log π̄ whose odds are computed: above it, 1 − π̄ has no digits in 32 bits.
const MAX_LOG_PROBABILITY: f64 = -1e-6;

impl Preference {
    /// Losses of pairs.
    pub(super) fn pair_losses(&self, scores: AnswerScores) -> PairLosses {
        let (beta, epsilon) = (self.beta(), self.label_smoothing());
        let AnswerScores { policy, reference, lengths } = scores;
        let chosen_mean = policy[0].clone() / lengths[0].clone();
        let log_ratios = reference.map(|reference| [0, 1].map(|i| policy[i].clone() - reference[i].clone()));
        let scored = log_ratios.clone().unwrap_or(policy);
        let [chosen, rejected] = match self.loss.is_length_normalized() {
            true => [0, 1].map(|i| scored[i].clone() / lengths[i].clone()),
            false => scored,
        };
        let rewards = [chosen.clone() * beta, rejected.clone() * beta];
        let [up, down] = rewards.clone();
        let margin = up.clone() - down.clone();
        let losses = match self.loss {
            PreferenceLoss::Dpo | PreferenceLoss::Cpo => smoothed(margin, epsilon),
            PreferenceLoss::Simpo => smoothed(margin - self.gamma(), epsilon),
            PreferenceLoss::Robust => {
                let sum = log_sigmoid(margin.clone().neg()) * epsilon - log_sigmoid(margin) * (1.0 - epsilon);
                sum / (1.0 - 2.0 * epsilon)
            }
            PreferenceLoss::Ipo => (chosen - rejected - 0.5 / beta).square(),
            PreferenceLoss::Hinge => relu(margin.neg() + 1.0),
            PreferenceLoss::ExoPair => {
                let inverse = margin.clone().neg();
                sigmoid(margin.clone()) * (log_sigmoid(margin) - (1.0 - epsilon).ln())
                    + sigmoid(inverse.clone()) * (log_sigmoid(inverse) - epsilon.ln())
            }
            PreferenceLoss::NcaPair => {
                let opposites = log_sigmoid(up.clone().neg()) + log_sigmoid(down.neg());
                log_sigmoid(up).neg() - opposites * 0.5
            }
            PreferenceLoss::SppoHard => (chosen - 0.5 / beta).square() + (rejected + 0.5 / beta).square(),
            PreferenceLoss::ApoZero => sigmoid(down) - sigmoid(up) + 1.0,
            PreferenceLoss::ApoDown => sigmoid(up) - sigmoid(margin) + 1.0,
            PreferenceLoss::Orpo => {
                let log_odds_ratio = log_odds(chosen) - log_odds(rejected);
                chosen_mean.clone().neg() - log_sigmoid(log_odds_ratio) * beta
            }
        };
        let losses = if self.sft_weight > 0.0 { losses - chosen_mean * self.sft_weight } else { losses };
        PairLosses { losses, rewards, log_ratios }
    }
}

/// −(1 − ε) log σ(x) − ε log σ(−x).
fn smoothed(x: Tensor<1>, epsilon: f64) -> Tensor<1> {
    let right = log_sigmoid(x.clone()).neg();
    if epsilon == 0.0 { right } else { right * (1.0 - epsilon) - log_sigmoid(x.neg()) * epsilon }
}

/// log(p / (1 − p)) of log p.
fn log_odds(log_p: Tensor<1>) -> Tensor<1> {
    let log_p = log_p.clamp_max(MAX_LOG_PROBABILITY);
    log_p.clone() - log_p.exp().neg().log1p()
}
