//! Objectives: what is trained for, as (corrupt, visibility, target, loss). The loop knows none by name; an objective
//! written elsewhere is a value of [`Objective`] like those here.

mod config;
mod corruption;
mod full;
mod loss;
mod masked;
mod mode;
mod prefix;
mod spans;
mod unified;

pub use config::ObjectiveConfig;
pub use corruption::{Corruption, corrupt_batch};
pub use full::Full;
pub use loss::{hidden_states, restart_positions, target_loss, to_device};
pub use masked::{MaskUnit, Masked};
pub use mode::ModeShares;
pub use prefix::{AfterText, FixedShare, Prefix, PrefixSplit, ShareRange};
pub use spans::SpanMasking;
pub use unified::Unified;

use burn::tensor::Tensor;
use kiln_data::{Batch, DataError, PackedSequences, SpecialTokens};
use kiln_infer::GenerationMode;
use kiln_models::{Model, ModelConfig, Stack, Visibility};
use kiln_nn::Context;
use kiln_spec::{Direction, Random, ValidationError};
use std::{future::Future, pin::Pin};

/// The models that an objective may run.
#[derive(Clone, Debug)]
pub struct Models {
    /// The one that is trained.
    pub policy: Model,
}

/// A batch in the making.
pub type BatchFuture<'a> = Pin<Box<dyn Future<Output = Result<Batch, DataError>> + 'a>>;

/// What a loss is a measure of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossKind {
    /// −log p of whole documents, token after token: the entropy of the text is its floor.
    Likelihood,
    /// −log p of some tokens, each given what the model sees before it.
    ConditionalLikelihood,
    /// −log p of tokens that are seen from both sides. These are no factors of a probability of the text, so that the
    /// exponential is only a pseudo-perplexity.
    PseudoLikelihood,
}

/// What is trained for.
pub trait Objective: Send + Sync {
    /// Makes a batch of packed documents: what goes in, what should come out, who sees whom. It gets the models,
    /// since some objectives sample from them. Nothing but `packed`, the models and `random` may decide about it.
    fn batch<'a>(&'a self, packed: &'a PackedSequences, models: &'a Models, random: Random) -> BatchFuture<'a>;

    /// The loss of a batch, `[1]`: the sum over its places of weight × loss, in nats. The step divides it by the sum
    /// of all weights, and may call this more than once for parts of a batch.
    fn loss(&self, models: &Models, batch: &Batch, cx: &mut Context) -> Tensor<1>;

    /// Who sees whom when a model trained for this is used.
    fn visibility(&self) -> Visibility;

    /// All directions that its batches may hold; the model's parts must be able to mix tokens in each, and its default
    /// visibility must be one of them.
    fn directions(&self) -> Vec<Direction> {
        vec![self.visibility().direction(1)]
    }

    /// What its loss measures.
    fn loss_kind(&self) -> LossKind {
        match self.visibility() {
            Visibility::Bidirectional => LossKind::PseudoLikelihood,
            Visibility::Causal | Visibility::Prefix => LossKind::ConditionalLikelihood,
        }
    }

    /// What such a model does with a text once it is trained.
    fn generation_mode(&self, model: &ModelConfig, specials: &SpecialTokens) -> GenerationMode {
        GenerationMode::for_visibility(model.visibility, specials)
    }

    /// What it is mixed of, by name: looked at and measured one by one. None of most.
    fn components(&self) -> Vec<(&'static str, Box<dyn Objective>)> {
        Vec::new()
    }

    /// Refuses a model that can't be trained for this, beside its parts' directions.
    ///
    /// # Errors
    /// The reason, with the path of the objective.
    fn check(&self, model: &ModelConfig, path: &str) -> Result<(), ValidationError> {
        check_head(model, path)
    }
}

/// Refuses a model that predicts no tokens.
///
/// # Errors
/// The reason, with the path of the objective.
pub fn check_head(model: &ModelConfig, path: &str) -> Result<(), ValidationError> {
    if model.head.pooling().is_none() {
        return Ok(());
    }
    let reason = format!("tokens are predicted, and the head `{}` gives one vector a document", model.head.name());
    Err(ValidationError::new(path, reason).with_suggestion("model.head = \"language\""))
}

/// Refuses a model that predicts no tokens, or whose stack writes nothing from left to right.
///
/// # Errors
/// The reason, with the path of the objective.
pub fn check_autoregressive(model: &ModelConfig, path: &str) -> Result<(), ValidationError> {
    check_head(model, path)?;
    if model.stack != Stack::Encoder {
        return Ok(());
    }
    let reason = "a token of an encoder sees those after it: there is nothing to predict from left to right";
    Err(ValidationError::new(path, reason).with_suggestion("model.stack = \"decoder\""))
}

/// Refuses a model with a part that can't mix tokens in a direction that the objective, called `name`, trains.
///
/// # Errors
/// The first such part, with the path of the objective.
pub fn check_directions(
    objective: &dyn Objective,
    name: &str,
    model: &ModelConfig,
    path: &str,
) -> Result<(), ValidationError> {
    for direction in objective.directions() {
        let Some(unfit) = model.find_incompatible(direction) else { continue };
        let (part, place, reason) = (unfit.part, unfit.path, unfit.reason);
        let shown = match direction {
            Direction::Causal => "shows a token what is before it",
            Direction::Bidirectional => "shows a token the whole document",
            Direction::Prefix(_) => "shows a token the whole prefix",
            Direction::Reversed => "shows a token what is after it",
        };
        let reason = format!("`{name}` {shown}, but model.{place}, `{part}`, {reason}");
        let instead = if direction == Direction::Causal { "masked" } else { "full" };
        return Err(
            ValidationError::new(path, reason).with_suggestion(format!("objective = \"{instead}\", or another part"))
        );
    }
    Ok(())
}
