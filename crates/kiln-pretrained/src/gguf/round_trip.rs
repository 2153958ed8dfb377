//! Check before a GGUF file is written: read back, it must be the same model.

use super::{Metadata, PlannedTensor, read_model};
use burn::tensor::TensorData;
use kiln_models::{
    ModelConfig,
    hf::family::config_diff,
    tensors::{TensorError, TensorInfo, TensorSource},
};
use kiln_nn::position::PositionConfig;
use kiln_spec::ValidationError;
use std::collections::BTreeMap;

/// The tensors of a planned file: names and shapes, and the values of those that determine the configuration.
struct PlannedFile<'a> {
    entries: BTreeMap<String, TensorInfo>,
    derived: &'a [(&'static str, Vec<f32>)],
}

impl TensorSource for PlannedFile<'_> {
    fn entries(&self) -> &BTreeMap<String, TensorInfo> {
        &self.entries
    }

    fn read(&self, name: &str) -> Result<TensorData, TensorError> {
        let found = self.derived.iter().find(|(derived, _)| *derived == name);
        found.map(|(_, values)| TensorData::from(&values[..])).ok_or_else(|| TensorError::NotFound(name.into()))
    }
}

/// Paths of options that act in training only.
const TRAINING_OPTIONS: [&str; 2] = [".dropout", ".router_aux_loss_coef"];

/// Checks that a file with these metadata and tensors reads as the model of `config`. `derived` are the values of tensors that
/// are part of the configuration.
///
/// # Errors
/// The first option of the model that the file would lose, with both values.
pub(super) fn check_round_trip(
    config: &ModelConfig,
    metadata: &Metadata,
    planned: &[PlannedTensor],
    derived: &[(&'static str, Vec<f32>)],
) -> Result<(), ValidationError> {
    let entry = |plan: &PlannedTensor| (plan.name.clone(), TensorInfo::f32(plan.shape.clone()));
    let entries = planned.iter().map(entry).collect();
    let found = read_model(metadata, &PlannedFile { entries, derived })?.config;
    let mut expected = config.clone();
    // Positions are counted from the first row that is written.
    if let PositionConfig::Learned(learned) = &mut expected.position {
        learned.offset = 0;
    }
    let is_lost = |path: &str| !TRAINING_OPTIONS.iter().any(|option| path.ends_with(option));
    match config_diff(&expected, &found).into_iter().find(|(path, ..)| is_lost(path)) {
        None => Ok(()),
        Some((path, ours, theirs)) => {
            let reason = format!("GGUF cannot store {ours}; it would be read back as {theirs}");
            Err(ValidationError::new(path, reason).with_suggestion("use --format hf, which keeps it"))
        }
    }
}
