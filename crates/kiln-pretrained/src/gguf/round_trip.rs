//! Check before a GGUF file is written: read back, it must be the same model.

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

/// The tensors of a planned file: names and shapes, and the values of the one tensor that determines the configuration.
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

/// Checks that a file with these metadata and tensors reads as the model of `config_json`. `freq_factors` are the values
/// of the tensor `rope_freqs.weight`, if the file gets one.
///
/// # Errors
/// The first option of the model that the file would lose, with both values.
pub(super) fn check_round_trip(
    config_json: &Json,
    metadata: &Metadata,
    planned: &[PlannedTensor],
    freq_factors: Option<&[f32]>,
) -> Result<(), ValidationError> {
    let entry = |plan: &PlannedTensor| (plan.name.clone(), TensorInfo::f32(plan.shape.clone()));
    let entries = planned.iter().map(entry).collect();
    let file = PlannedFile { entries, freq_factors: freq_factors.unwrap_or_default() };
    let (_, found) = hf::read_config(&read_as_hf(metadata, &file)?.0)?;
    let (_, mut expected) = hf::read_config(config_json)?;
    // Dropout matters for training only; positions are counted from the first row that is written.
    expected.dropout = found.dropout;
    if let PositionConfig::Learned(learned) = &mut expected.position {
        learned.offset = 0;
    }
    match config_diff(&expected, &found).first() {
        None => Ok(()),
        Some((path, ours, theirs)) => {
            let reason = format!("GGUF cannot store {ours}; it would be read back as {theirs}");
            Err(ValidationError::new(path, reason).with_suggestion("use --format hf, which keeps it"))
        }
    }
}
