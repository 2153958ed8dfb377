//! What a file that is yet to be written will be read as.

use super::{Metadata, PlannedTensor, read_as_hf};
use burn::tensor::TensorData;
use kiln_models::{
    hf::{self, family::config_diff},
    tensors::{TensorError, TensorInfo, TensorSource},
};
use kiln_nn::position::PositionConfig;
use kiln_spec::ValidationError;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// Names and shapes of tensors, and the one whose numbers say something of the model.
struct PlannedFile<'a> {
    entries: BTreeMap<String, TensorInfo>,
    freq_factors: &'a [f32],
}

impl TensorSource for PlannedFile<'_> {
    fn entries(&self) -> &BTreeMap<String, TensorInfo> {
        &self.entries
    }

    fn read(&self, _name: &str) -> Result<TensorData, TensorError> {
        Ok(TensorData::from(self.freq_factors))
    }
}

/// Refuses a model that would be read as another.
pub(super) fn check_round_trip(
    config_json: &Json,
    metadata: &Metadata,
    planned: &[PlannedTensor],
    divisors: Option<&[f32]>,
) -> Result<(), ValidationError> {
    let entry = |plan: &PlannedTensor| (plan.name.clone(), TensorInfo::f32(plan.shape.clone()));
    let outline =
        PlannedFile { entries: planned.iter().map(entry).collect(), freq_factors: divisors.unwrap_or_default() };
    let (_, found) = hf::read_config(&read_as_hf(metadata, &outline)?.0)?;
    let (_, mut want) = hf::read_config(config_json)?;
    // Training's alone; and positions are counted from the first row that is written.
    want.dropout = found.dropout;
    if let PositionConfig::Learned(learned) = &mut want.position {
        learned.offset = 0;
    }
    match config_diff(&want, &found).first() {
        None => Ok(()),
        Some((path, ours, theirs)) => {
            let reason = format!("a GGUF file has no counterpart for {ours}: there it is {theirs}");
            Err(ValidationError::new(path, reason).with_suggestion("the format `hf`, which keeps it"))
        }
    }
}
