//! Objectives: what is trained for, as (corrupt, visibility, target, loss). The loop knows none by name; an objective
//! written elsewhere is a value of [`Objective`] like those here.

mod full;

pub use full::Full;

use burn::tensor::{Int, Tensor, TensorData};
use kiln_data::{Batch, DataError, Memory, Packed};
use kiln_models::{Model, ModelConfig, Stack, Visibility};
use kiln_nn::Cx;
use kiln_spec::{Layout, Random, Refusal};
use std::{future::Future, pin::Pin};

/// The models that an objective may run.
#[derive(Clone, Debug)]
pub struct Models {
    /// The one that is trained.
    pub policy: Model,
}

/// A batch in the making.
pub type Making<'a> = Pin<Box<dyn Future<Output = Result<Batch, DataError>> + 'a>>;

/// What is trained for.
pub trait Objective: Send + Sync {
    /// Makes a batch of packed documents: what goes in, what should come out, who sees whom. It gets the models,
    /// since some objectives sample from them.
    fn batch<'a>(&'a self, packed: &'a Packed, models: &'a Models, random: Random) -> Making<'a>;

    /// The loss of a batch, `[1]`: the sum over its places of weight × loss, in nats. The step divides it by the sum
    /// of all weights, and may call this more than once for parts of a batch.
    fn loss(&self, models: &Models, batch: &Batch, cx: &mut Cx) -> Tensor<1>;

    /// Who sees whom when a model trained for this writes.
    fn visibility(&self) -> Visibility;

    /// Refuses a model that can't be trained for this.
    ///
    /// # Errors
    /// The reason, with the path of the objective.
    fn check(&self, _model: &ModelConfig, _path: &str) -> Result<(), Refusal> {
        Ok(())
    }
}

kiln_spec::choice! {
    /// What is trained for.
    pub enum ObjectiveConfig {
        /// The next token, from left to right.
        "full" => Full(kiln_spec::config::Nothing) with full::CARD,
    }
}

impl Default for ObjectiveConfig {
    fn default() -> Self {
        Self::Full(kiln_spec::config::Nothing {})
    }
}

impl ObjectiveConfig {
    /// The objective.
    pub fn build(&self) -> Box<dyn Objective> {
        match self {
            Self::Full(_) => Box::new(Full),
        }
    }
}

/// −log p of a batch's targets, weighted and summed, `[1]`: what most objectives' losses are made of. Summed row by
/// row: a sum over millions of numbers at once has no fixed order.
pub fn target_loss(model: &Model, batch: &Batch, cx: &mut Cx) -> Tensor<1> {
    let hidden = hidden(model, batch, cx);
    let [b, t, m] = hidden.dims();
    let targets = on_device(model, batch, &batch.targets).reshape([b * t]);
    let nats = model.cross_entropy(hidden.reshape([b * t, m]), targets);
    let weights = TensorData::new(batch.weights.clone(), [b * t]);
    let weights = Tensor::<1>::from_data(weights, (&nats.device().without_autodiff(), nats.dtype()));
    (nats * weights).reshape([b, t]).sum_dim(1).sum()
}

/// Hidden states of a batch, `[rows, width, M]`. An encoder–decoder reads the batch's memory first.
pub fn hidden(model: &Model, batch: &Batch, cx: &mut Cx) -> Tensor<3> {
    if let Some(memory) = &batch.memory {
        let (shape, device) = ([batch.rows, memory.width], model.device().without_autodiff());
        let tokens = Tensor::from_data(TensorData::new(memory.inputs.clone(), shape), &device);
        model.encode(tokens, &memory.layout, cx);
    }
    model.forward(on_device(model, batch, &batch.inputs), cx)
}

/// Refuses a model whose head gives no logits over tokens, or whose stack writes nothing from left to right.
///
/// # Errors
/// The reason, at `path` (the objective's).
pub fn writes_tokens(model: &ModelConfig, path: &str) -> Result<(), Refusal> {
    gives_logits(model, path)?;
    if model.stack != Stack::Encoder {
        return Ok(());
    }
    let reason = "a token of an encoder sees those after it: there is nothing to predict from left to right";
    Err(Refusal::new(path, reason).instead("model.stack = \"decoder\""))
}

/// Refuses a model whose head gives no logits over tokens.
///
/// # Errors
/// The reason, at `path` (the objective's).
pub fn gives_logits(model: &ModelConfig, path: &str) -> Result<(), Refusal> {
    if model.head.pooling().is_none() {
        return Ok(());
    }
    let reason = format!("tokens are predicted, and the head `{}` gives one vector a document", model.head.name());
    Err(Refusal::new(path, reason).instead("model.head = \"language\""))
}

/// The batch with positions that the model has: what goes on in the middle of a long document may lie beyond its table.
pub fn within_positions(batch: Batch, model: &Model) -> Batch {
    let within = |layout: Layout, config: &ModelConfig| match config.position.limit() {
        Some(limit) => layout.restarted(limit),
        None => layout,
    };
    let memory = batch.memory.zip(model.config().as_encoder());
    let memory = memory.map(|(memory, encoder)| Memory { layout: within(memory.layout, &encoder), ..memory });
    Batch { layout: within(batch.layout, model.config()), memory, ..batch }
}

/// `[rows, width]` integers of a batch, where the model is.
pub fn on_device(model: &Model, batch: &Batch, values: &[i32]) -> Tensor<2, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), [batch.rows, batch.width]), &model.device().without_autodiff())
}
