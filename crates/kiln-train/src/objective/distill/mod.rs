//! Knowledge distillation: the student learns the teacher's distribution of each token (1503.02531).
//!
//! Loss of a token: α T² D(teacher, student) + (1 − α) · cross-entropy, with both distributions at the temperature T; the
//! factor T² keeps the size of the gradient (1503.02531, section 2). Optionally, hidden states are compared too. The teacher
//! is frozen. It reads the same rows and has the same tokens.

mod divergence;
mod hidden;
#[cfg(test)]
mod tests;
mod token_losses;

pub use divergence::Divergence;
pub use hidden::HiddenStates;

use super::{
    BatchFuture, Better, Loss, MetricInfo, Models, Objective, ObjectiveConfig, WeightedNextToken, check_decoder,
    hidden_states, segment_batch, sequence_log_probability::int_tensor,
};
use crate::{
    frozen::frozen_model,
    models::{FrozenModelConfig, FrozenSource},
    recipe::invalid,
};
use burn::tensor::{Tensor, TensorData};
use hidden::{mean_squared_distance, with_block_outputs};
use kiln_data::{Batch, PackedSequences};
use kiln_models::{Model, ModelConfig, Visibility};
use kiln_nn::Context;
use kiln_spec::{Card, Causality, Random, ValidationError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use token_losses::{AGREEMENT, CROSS_ENTROPY, KL, LOSS, TokenInputs, chunk_tokens, token_losses};

pub(super) const CARD: Card = Card { causality: Causality::CausalOnly, ..Card::config_only("1503.02531") };

/// Name of the frozen model whose distributions are learned.
pub const TEACHER: &str = "teacher";

/// Distillation from a teacher. The unit of the loss is a token.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Distill {
    /// Teacher: the path of a model with the same tokenizer (a run folder, a folder with a config.json, or a .gguf file),
    /// `start` (the model at the start of the stage), or `base` (the model without its adapters).
    pub teacher: FrozenSource,
    /// Temperature T of both distributions. Above 1, small probabilities count more.
    #[serde(default = "default_temperature")]
    pub temperature: f64,
    /// Weight of the teacher's distribution against the cross-entropy of the text: 1 uses the teacher only.
    #[serde(default = "default_alpha")]
    pub alpha: f64,
    /// Divergence of the student's distribution from the teacher's.
    #[serde(default)]
    pub loss: Divergence,
    /// Number of the teacher's most probable tokens that are compared one by one; all others count as one. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<usize>,
    /// Distance between the hidden states as a further term. Both models must have the same width. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<HiddenStates>,
}

fn default_temperature() -> f64 {
    2.0
}

fn default_alpha() -> f64 {
    0.5
}

/// Metrics, each a mean over the predicted tokens.
const METRICS: &[MetricInfo] = &[
    MetricInfo {
        name: "kl",
        unit: "nats",
        better: Better::Lower,
        description: "divergence from the teacher, times the square of the temperature",
    },
    MetricInfo {
        name: "cross_entropy",
        unit: "nats",
        better: Better::Lower,
        description: "cross-entropy of the text under the student",
    },
    MetricInfo {
        name: "agreement",
        unit: "",
        better: Better::Higher,
        description: "share of the tokens for which student and teacher have the same most probable token",
    },
];

impl Distill {
    /// Distillation from a teacher with the default options.
    pub fn new(teacher: FrozenSource) -> Self {
        let (temperature, alpha) = (default_temperature(), default_alpha());
        Self { teacher, temperature, alpha, loss: Divergence::default(), top_k: None, hidden: None }
    }

    /// Checks the options against the student; `path` is their key in the recipe.
    ///
    /// # Errors
    /// The first option that is out of range, with its path.
    pub fn check_options(&self, model: &ModelConfig, path: &str) -> Result<(), ValidationError> {
        let Self { temperature, alpha, .. } = *self;
        match self {
            _ if !(temperature > 0.0 && temperature.is_finite()) => {
                invalid(path, "temperature", format!("must be above 0, found {temperature}"))
            }
            _ if !(0.0..=1.0).contains(&alpha) => invalid(path, "alpha", format!("must be from 0 to 1, found {alpha}")),
            Self { top_k: Some(0), .. } => invalid(path, "top_k", "must be at least 1, found 0".into()),
            Self { hidden: Some(hidden), .. } => hidden.check(model, &format!("{path}.hidden")),
            _ => Ok(()),
        }
    }

    /// Blocks of the student (0) or of the teacher (1) whose outputs are compared.
    fn compared_blocks(&self, model: usize) -> Vec<usize> {
        let hidden = self.hidden.iter();
        hidden.flat_map(|hidden| &hidden.layers).map(|pair| pair[model]).collect()
    }
}

impl HiddenStates {
    /// Checks the options against the student.
    fn check(&self, model: &ModelConfig, path: &str) -> Result<(), ValidationError> {
        if !(self.weight >= 0.0 && self.weight.is_finite()) {
            return invalid(path, "weight", format!("must be at least 0, found {}", self.weight));
        }
        self.check_blocks(0, model, &format!("{path}.layers"))
    }

    /// Checks that the student (0) or the teacher (1) has the blocks of `layers`; `path` is the key for errors.
    fn check_blocks(&self, place: usize, model: &ModelConfig, path: &str) -> Result<(), ValidationError> {
        let blocks: usize = model.blocks.iter().map(|block| block.repeat).sum();
        let Some(pair) = self.layers.iter().find(|pair| pair[place] >= blocks) else { return Ok(()) };
        let who = ["student", "teacher"][place];
        let reason = format!("the {who} has {blocks} blocks, counted from 0; `layers` names block {}", pair[place]);
        Err(ValidationError::new(path, reason).with_suggestion("pairs [student, teacher] of blocks that both have"))
    }
}

/// The hidden states of a model at some positions of a batch.
struct HiddenAt {
    /// Final hidden states, `[N, M]`.
    last: Tensor<2>,
    /// Outputs of blocks, `[N, M]` each.
    blocks: Vec<Tensor<2>>,
}

/// Runs a model over a batch and picks the hidden states at `positions`.
fn hidden_at(model: &Model, batch: &Batch, positions: &[i32], blocks: &[usize], cx: &mut Context) -> HiddenAt {
    let (last, blocks) = with_block_outputs(blocks, cx, |cx| hidden_states(model, batch, cx));
    let indices = int_tensor(positions.to_vec(), &last.device().without_autodiff());
    let pick = |hidden: Tensor<3>| {
        let hidden = model.sum_streams(hidden);
        let [b, t, m] = hidden.dims();
        hidden.reshape([b * t, m]).select(0, indices.clone())
    };
    HiddenAt { last: pick(last), blocks: blocks.into_iter().map(&pick).collect() }
}

impl Objective for Distill {
    fn batch<'a>(&'a self, packed: &'a PackedSequences, _models: &'a Models, random: Random) -> BatchFuture<'a> {
        Box::pin(std::future::ready(segment_batch(packed, random, &WeightedNextToken)))
    }

    fn loss(&self, models: &Models, batch: &Batch, cx: &mut Context) -> Loss {
        let device = models.policy.device().without_autodiff();
        // Positions without a target, such as prompts, have no loss.
        let predicted: Vec<usize> = (0..batch.weights.len()).filter(|i| batch.weights[*i] > 0.0).collect();
        if predicted.is_empty() {
            return Loss::from(Tensor::zeros([1], &models.policy.device()));
        }
        let positions: Vec<i32> = predicted.iter().map(|i| *i as i32).collect();
        let teacher = frozen_model(models, TEACHER);
        let mut teacher_cx = Context::new(&batch.layout, &device);
        let taught = hidden_at(&teacher, batch, &positions, &self.compared_blocks(1), &mut teacher_cx);
        drop(teacher_cx);
        let learned = hidden_at(&models.policy, batch, &positions, &self.compared_blocks(0), cx);
        let weights: Vec<f32> = predicted.iter().map(|i| batch.weights[*i]).collect();
        let weights =
            Tensor::<1>::from_data(TensorData::new(weights, [positions.len()]), (&device, learned.last.dtype()));
        let distance = self.hidden.as_ref().map(|hidden| hidden.distance(&learned, &taught, &weights));
        let targets = int_tensor(predicted.iter().map(|i| batch.targets[*i]).collect(), &device);
        let inputs = TokenInputs { student: learned.last, teacher: taught.last, targets };
        let chunks =
            token_losses(self, (&models.policy, &teacher), inputs, chunk_tokens(models.policy.config().vocab), cx);
        let mut sums = weighted_sums(chunks, weights);
        if let Some(distance) = distance {
            sums[LOSS] = sums[LOSS].clone() + distance;
        }
        let [sum, kl, cross_entropy, agreement] = sums;
        let metrics = vec![
            (METRICS[KL - 1].name, kl.detach()),
            (METRICS[CROSS_ENTROPY - 1].name, cross_entropy.detach()),
            (METRICS[AGREEMENT - 1].name, agreement.detach()),
        ];
        Loss { sum, metrics }
    }

    fn metrics(&self) -> &'static [MetricInfo] {
        METRICS
    }

    fn frozen_models(&self) -> Vec<FrozenModelConfig> {
        vec![FrozenModelConfig { name: TEACHER, source: self.teacher.clone(), precompute: None }]
    }

    fn check_frozen(
        &self,
        _name: &str,
        teacher: &ModelConfig,
        student: &ModelConfig,
        path: &str,
    ) -> Result<(), ValidationError> {
        let Some(hidden) = &self.hidden else { return Ok(()) };
        let [found, expected] = [teacher.hidden, student.hidden];
        if found != expected {
            let reason = format!(
                "`hidden` compares hidden states of one width: the teacher has {found}, the model that is trained {expected}"
            );
            return Err(ValidationError::new(path, reason)
                .with_suggestion("leave `hidden` out: logits are compared for any width"));
        }
        hidden.check_blocks(1, teacher, path)
    }

    fn name(&self) -> String {
        "distill".into()
    }

    fn config(&self) -> Option<ObjectiveConfig> {
        Some(ObjectiveConfig::Distill(self.clone()))
    }

    fn visibility(&self) -> Visibility {
        Visibility::Causal
    }

    fn check(&self, model: &ModelConfig, path: &str) -> Result<(), ValidationError> {
        check_decoder(model, "distill", path)?;
        self.check_options(model, &format!("{path}.distill"))
    }
}

/// Σ weight · value of each column over all chunks, `[1]` each. Chunks are added in order.
fn weighted_sums(chunks: Vec<Tensor<2>>, weights: Tensor<1>) -> [Tensor<1>; 4] {
    let mut start = 0;
    let mut sums: Option<Tensor<2>> = None;
    for chunk in chunks {
        let n = chunk.dims()[0];
        let sum = (chunk * weights.clone().narrow(0, start, n).unsqueeze_dim::<2>(1)).sum_dim(0);
        sums = Some(match sums {
            Some(sums) => sums + sum,
            None => sum,
        });
        start += n;
    }
    let sums = sums.expect("at least one chunk");
    [LOSS, KL, CROSS_ENTROPY, AGREEMENT].map(|column| sums.clone().slice([0..1, column..column + 1]).reshape([1]))
}

impl HiddenStates {
    /// weight · Σ token weight · mean squared distance, `[1]`, averaged over the pairs of layers.
    fn distance(&self, student: &HiddenAt, teacher: &HiddenAt, weights: &Tensor<1>) -> Tensor<1> {
        let pairs: Vec<_> = match self.layers.is_empty() {
            true => vec![(&student.last, &teacher.last)],
            false => student.blocks.iter().zip(&teacher.blocks).collect(),
        };
        let count = pairs.len() as f64;
        let distances = pairs.into_iter().map(|(student, teacher)| {
            (mean_squared_distance(student.clone(), teacher.clone()) * weights.clone()).sum()
        });
        distances.reduce(|sum, distance| sum + distance).expect("at least one pair") * (self.weight / count)
    }
}
