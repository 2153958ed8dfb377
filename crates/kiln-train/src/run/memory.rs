//! Memory that a run needs for weights, gradients and optimizer state, counted before anything is allocated.

use super::precision::{StageWeight, fill_in, stage_weights};
use crate::{Recipe, StageConfig, TrainError, optimizer::OptimizerConfig, pretrained::ModelSource};
use burn::tensor::Device;
use kiln_models::{DtypeSummary, WeightPrecision};
use std::path::Path;

/// Memory of a stage in bytes, without activations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrainingMemory {
    /// The weights, frozen ones in their own types.
    pub weights: u64,
    /// The gradients of what is trained, in f32.
    pub gradients: u64,
    /// The state of the optimizer for what is trained: moments, and master weights of 16-bit weights.
    pub optimizer: u64,
    /// The moving average of the weights.
    pub average: u64,
}

impl TrainingMemory {
    /// Sum of all parts.
    pub fn total(&self) -> u64 {
        [self.weights, self.gradients, self.optimizer, self.average].into_iter().fold(0, u64::saturating_add)
    }
}

/// The memory of the stage that needs most, on a device. A lower bound: activations come on top.
///
/// # Errors
/// If the options of an adapter are invalid, or the model to start from cannot be read.
pub fn training_memory(recipe: &Recipe, device: &Device) -> Result<TrainingMemory, TrainError> {
    let (mut recipe, weights) = (recipe.clone(), stage_weights(recipe)?);
    fill_in(&mut recipe, &weights, device);
    let file_bytes = file_bytes(&recipe)?;
    let stages = recipe.stages.iter().zip(&weights);
    let all = stages.map(|(stage, weights)| stage_memory(stage, weights, recipe.weight_precision(), file_bytes));
    Ok(all.max_by_key(TrainingMemory::total).unwrap_or_default())
}

/// Size of the weights of `from` if they keep their types; `None` if it is unknown.
fn file_bytes(recipe: &Recipe) -> Result<Option<u64>, TrainError> {
    let from = recipe.from.as_ref().filter(|_| recipe.weight_precision() == WeightPrecision::Keep);
    let Some(from) = from else { return Ok(None) };
    let summaries = ModelSource::open(Path::new(from))?.dtypes()?;
    let sizes: Option<Vec<usize>> = summaries.iter().map(DtypeSummary::num_bytes).collect();
    Ok(sizes.filter(|sizes| !sizes.is_empty()).map(|sizes| sizes.into_iter().map(|size| size as u64).sum()))
}

/// The memory of a stage.
fn stage_memory(
    stage: &StageConfig,
    weights: &[StageWeight],
    precision: WeightPrecision,
    file_bytes: Option<u64>,
) -> TrainingMemory {
    let is_half = precision.half_dtype().is_some();
    // AdamW has two moments, Muon one for a matrix. Which matrices it takes is left out: this is a lower bound.
    let moments = if matches!(stage.optimizer, OptimizerConfig::Muon(_)) { 4 } else { 8 };
    let mut memory = TrainingMemory::default();
    let mut base = 0u64;
    for weight in weights {
        let bytes = |each: u64| weight.elements.saturating_mul(each);
        match weight.is_adapter {
            true => memory.weights = memory.weights.saturating_add(bytes(4)),
            false => base = base.saturating_add(bytes(if is_half && weight.is_matrix { 2 } else { 4 })),
        }
        if weight.is_trained {
            let master = if is_half && !weight.is_adapter { 4 } else { 0 };
            memory.gradients = memory.gradients.saturating_add(bytes(4));
            memory.optimizer = memory.optimizer.saturating_add(bytes(moments + master));
            memory.average = memory.average.saturating_add(if stage.ema_decay.is_some() { bytes(4) } else { 0 });
        }
    }
    memory.weights = memory.weights.saturating_add(file_bytes.map_or(base, |bytes| bytes.min(base)));
    memory
}
