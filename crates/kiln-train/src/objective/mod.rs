//! Training objectives: each makes batches of packed documents and computes their loss.
//!
//! | name | predicts | attention | source |
//! |---|---|---|---|
//! | [`full`](Full) | every token | causal | GPT, 2018 |
//! | [`prefix`](Prefix) | the tokens after a prefix | bidirectional in the prefix, then causal | 1910.10683 |
//! | [`masked`](Masked) | masked tokens | bidirectional | 1810.04805 |
//! | [`unified`](Unified) | a mix of all | one of four for each document | 1905.03197 |
//! | [`chat`](Answers::CHAT) | the assistant's answers in conversations | causal | 2203.02155 |
//! | [`completion`](Answers::COMPLETION) | the completion after a prompt | causal | 2109.01652 |
//!
//! The training loop knows no objective by name. An objective written elsewhere implements [`Objective`] and is passed to
//! `run::start_with_objectives`.

mod answers;
mod config;
mod full;
mod loss;
mod loss_sum;
mod masked;
mod mode;
mod prefix;
mod segment_builder;
mod spans;
mod unified;

pub use crate::models::{Frozen, FrozenModelConfig, FrozenSource, Models};
pub use answers::Answers;
pub use config::ObjectiveConfig;
pub use full::Full;
pub use loss::{check_rows, hidden_states, restart_positions, target_loss, to_device};
pub use loss_sum::{Better, Loss, LossUnit, MetricInfo, MetricValue};
pub use masked::{MaskUnit, Masked};
pub use mode::ModeShares;
pub use prefix::{AfterText, FixedShare, Prefix, PrefixSplit, ShareRange};
pub use segment_builder::{SegmentBuilder, segment_batch};
pub use spans::SpanMasking;
pub use unified::Unified;

use kiln_data::{Batch, DataError, ExampleKind, PackedSequences, SpecialTokens};
use kiln_infer::GenerationMode;
use kiln_models::{ModelConfig, Stack, Visibility};
use kiln_nn::Context;
use kiln_spec::{Direction, Random, ValidationError};
use std::{future::Future, pin::Pin};

/// The future that makes a batch: an objective may wait for samples of a model.
pub type BatchFuture<'a> = Pin<Box<dyn Future<Output = Result<Batch, DataError>> + 'a>>;

/// What the loss of an objective measures, and whether its exponential is a perplexity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossKind {
    /// −log p of whole documents, token by token. Its lower bound is the entropy of the text; its exponential is the
    /// perplexity.
    Likelihood,
    /// −log p of some tokens, each given the visible tokens before it.
    ConditionalLikelihood,
    /// −log p of tokens given both sides. These are no factors of a probability of the text, so that the exponential is a
    /// pseudo-perplexity only.
    PseudoLikelihood,
    /// No likelihood of text: the loss of pairs or groups, or a distance from another model.
    Other,
}

/// The kinds of examples that objectives on single sequences of tokens accept.
pub const SEQUENCE_KINDS: &[ExampleKind] = &[ExampleKind::Text, ExampleKind::Chat, ExampleKind::PromptCompletion];

/// A text in the options of an objective that must occur in the training documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequiredText {
    /// Its key below that of the objective, such as `prefix.split.after.text`.
    pub key: String,
    /// The text. Special tokens that are written in it are recognized as the tokenizer recognizes them in a document.
    pub text: String,
    /// What happens to a document without the text, for messages.
    pub without: &'static str,
}

/// A training objective.
pub trait Objective: Send + Sync {
    /// Makes a batch of packed documents: inputs, targets, weights and attention directions.
    ///
    /// An objective may sample from the models. The batch must depend on `packed`, the models and `random` only, so that a
    /// resumed run gets the same batch.
    fn batch<'a>(&'a self, packed: &'a PackedSequences, models: &'a Models, random: Random) -> BatchFuture<'a>;

    /// Loss of a batch: the sum over its units, in nats; for tokens, the sum of weight × loss. The caller divides it by
    /// [`num_units`](Self::num_units) of the whole batch, and may call this for the parts of a batch unless the unit is
    /// [`LossUnit::Batch`].
    ///
    /// `cx` belongs to the policy. A frozen model runs in a context of its own, without dropout.
    fn loss(&self, models: &Models, batch: &Batch, cx: &mut Context) -> Loss;

    /// What the loss is averaged over. Default: tokens.
    fn unit(&self) -> LossUnit {
        LossUnit::Token
    }

    /// Number of units of a batch: the denominator of its mean loss. Default: the sum of all loss weights.
    fn num_units(&self, batch: &Batch) -> f64 {
        batch.total_weight()
    }

    /// The metrics in [`Loss::metrics`]. Default: none.
    fn metrics(&self) -> &'static [MetricInfo] {
        &[]
    }

    /// The frozen models that the loss reads. Default: none.
    fn frozen_models(&self) -> Vec<FrozenModelConfig> {
        Vec::new()
    }

    /// The kinds of examples that this objective trains on. Default: [`SEQUENCE_KINDS`].
    fn accepts(&self) -> &'static [ExampleKind] {
        SEQUENCE_KINDS
    }

    /// Attention visibility of the trained model at inference.
    fn visibility(&self) -> Visibility;

    /// All attention directions in its batches. All parts of the model must support each of them, and `model.visibility`
    /// must be one of them. Default: the direction of [`visibility`](Self::visibility).
    fn directions(&self) -> Vec<Direction> {
        vec![self.visibility().direction(1)]
    }

    /// What the loss measures. Default: by [`unit`](Self::unit) and [`visibility`](Self::visibility).
    fn loss_kind(&self) -> LossKind {
        match self.visibility() {
            _ if self.unit() != LossUnit::Token => LossKind::Other,
            Visibility::Bidirectional => LossKind::PseudoLikelihood,
            Visibility::Causal | Visibility::Prefix => LossKind::ConditionalLikelihood,
        }
    }

    /// How a trained model generates and infills text. Default: by the visibility of the model.
    fn generation_mode(&self, model: &ModelConfig, specials: &SpecialTokens) -> GenerationMode {
        GenerationMode::for_visibility(model.visibility, specials)
    }

    /// Name of this objective. A run that a program starts with an objective of its own writes the name down, and is resumed
    /// only with an objective of the same name: it should include the options that change the loss, if there are any.
    /// Default: the name of the type.
    fn name(&self) -> String {
        let path = std::any::type_name::<Self>().split('<').next().unwrap_or_default();
        path.rsplit("::").next().unwrap_or_default().to_owned()
    }

    /// The recipe's form of this objective. Default: none, for an objective that is implemented outside Kiln.
    fn config(&self) -> Option<ObjectiveConfig> {
        None
    }

    /// The texts in the options of this objective that must occur in the training documents, such as one that ends the
    /// prefix. A text that occurs nowhere is an error. Default: none.
    fn required_texts(&self) -> Vec<RequiredText> {
        Vec::new()
    }

    /// The objectives that this one is a mix of, by name, for evaluations of each. Default: none.
    fn components(&self) -> Vec<(&'static str, Box<dyn Objective>)> {
        Vec::new()
    }

    /// Checks that this objective can train the model, apart from the directions of its parts. Default: the model must
    /// have a language-model head.
    ///
    /// # Errors
    /// The reason, with `path`, the key of the objective in the recipe.
    fn check(&self, model: &ModelConfig, path: &str) -> Result<(), ValidationError> {
        check_head(model, path)
    }
}

/// Checks that the model has a language-model head.
///
/// # Errors
/// The reason, with `path`, the key of the objective in the recipe.
pub fn check_head(model: &ModelConfig, path: &str) -> Result<(), ValidationError> {
    if model.head.pooling().is_none() {
        return Ok(());
    }
    let reason =
        format!("requires the head `language`, found `{}`, which has one output per document", model.head.name());
    Err(ValidationError::new(path, reason).with_suggestion("model.head = \"language\""))
}

/// Checks that the model has a language-model head and a decoder.
///
/// # Errors
/// The reason, with `path`, the key of the objective in the recipe.
pub fn check_autoregressive(model: &ModelConfig, path: &str) -> Result<(), ValidationError> {
    check_head(model, path)?;
    if model.stack != Stack::Encoder {
        return Ok(());
    }
    let reason = "requires a decoder: in an encoder every token sees the tokens after it";
    Err(ValidationError::new(path, reason).with_suggestion("model.stack = \"decoder\""))
}

/// Checks that all parts of the model support the attention directions of `objective`, which is called `name`.
///
/// # Errors
/// The first part that does not, with `path`, the key of the objective in the recipe.
pub fn check_directions(
    objective: &dyn Objective,
    name: &str,
    model: &ModelConfig,
    path: &str,
) -> Result<(), ValidationError> {
    for direction in objective.directions() {
        let Some(incompatible) = model.find_incompatible(direction) else { continue };
        let attention = match direction {
            Direction::Causal => "causal attention",
            Direction::Bidirectional => "bidirectional attention",
            Direction::Prefix(_) => "bidirectional attention in the prefix",
            Direction::Reversed => "right-to-left attention",
        };
        let reason = format!(
            "objective `{name}` requires {attention}, but model.{}, `{}`, {}",
            incompatible.path, incompatible.part, incompatible.reason
        );
        let alternative = if direction == Direction::Causal { "masked" } else { "full" };
        let suggestion = format!("objective = \"{alternative}\", or replace `{}` in that block", incompatible.part);
        return Err(ValidationError::new(path, reason).with_suggestion(suggestion));
    }
    Ok(())
}
