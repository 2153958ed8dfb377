//! Memory check: refuses a model that is too large for the machine before anything is allocated.
//!
//! A typo such as `model.hidden = 262144` would otherwise end the process (or the machine) by exhausting its memory.

use super::error::CliError;
use crate::page::number_format::{format_bytes, format_count};
use burn::tensor::Device;
use kiln_data::{SpecialTokens, TokenizerConfig};
use kiln_models::{Model, ModelConfig};
use kiln_spec::{ValidationError, config::ConfigError};
use kiln_train::{
    Recipe,
    run::{TrainingMemory, training_memory},
};

/// Number of tokens of a byte tokenizer besides the special tokens.
const BYTE_TOKENS: usize = 256;

/// Refuses a recipe whose weights, gradients and optimizer state do not fit into memory: those of what each stage trains, in
/// the types in which the weights are held.
///
/// Activations, which depend on batch size and sequence length, are not counted.
pub fn check_memory(recipe: &Recipe) -> Result<(), CliError> {
    check_within(recipe, available_memory())
}

/// `available` is in bytes.
fn check_within(recipe: &Recipe, available: u64) -> Result<(), CliError> {
    let model = ModelConfig { vocab: max_vocab(recipe), ..recipe.model.clone() };
    let parameters = Model::num_parameters(&model) as f64;
    let memory = training_memory(&Recipe { model, ..recipe.clone() }, &Device::flex())?;
    if memory.total() <= available {
        return Ok(());
    }
    let TrainingMemory { weights, gradients, optimizer, average } = memory;
    let bytes = |bytes: u64| format_bytes(bytes as f64);
    let parts = [("weights", weights), ("gradients", gradients), ("optimizer state", optimizer), ("average", average)];
    let parts = parts.into_iter().filter(|(_, size)| *size > 0).map(|(name, size)| format!("{name} {}", bytes(size)));
    let reason = format!(
        "training {} parameters needs at least {} of memory ({}), but this machine has {}",
        format_count(parameters),
        bytes(memory.total()),
        parts.collect::<Vec<_>>().join(", "),
        bytes(available)
    );
    let suggestion = match &recipe.from {
        Some(_) => "stages.adapter = \"lora\", which trains few parameters, or a smaller model",
        None => "a smaller model.hidden, or fewer blocks",
    };
    Err(ConfigError::from(ValidationError::new("model", reason).with_suggestion(suggestion)).into())
}

/// Upper bound of the vocabulary size. 0 for a tokenizer file that cannot be read, which is reported later.
fn max_vocab(recipe: &Recipe) -> usize {
    match &recipe.tokenizer {
        _ if recipe.model.vocab > 0 => recipe.model.vocab,
        TokenizerConfig::Byte(_) => SpecialTokens::count() + BYTE_TOKENS,
        TokenizerConfig::Character(config) | TokenizerConfig::Bpe(config) => config.vocab,
        TokenizerConfig::File(file) => file.open().map_or(0, |tokenizer| tokenizer.vocab_size()),
    }
}

/// Memory of the machine or, if it is lower, of the control group, in bytes. `u64::MAX` if unknown.
pub(super) fn available_memory() -> u64 {
    let Ok(mut system) = sysinfo::System::new() else { return u64::MAX };
    system.refresh_memory();
    let total = Some(system.total_memory()).filter(|total| *total > 0).unwrap_or(u64::MAX);
    system.cgroup_limits().map_or(total, |limits| limits.total_memory.min(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_fits_if_its_training_state_does() {
        let recipe = Recipe::default();
        let parameters =
            Model::num_parameters(&ModelConfig { vocab: max_vocab(&recipe), ..recipe.model.clone() }) as u64;
        check_within(&recipe, 16 * parameters).unwrap();
        let error = check_within(&recipe, 16 * parameters - 1).unwrap_err();
        assert_eq!((error.exit_code, error.location.as_deref()), (2, Some("model")));
        assert!((1 << 24..1 << 50).contains(&available_memory()));
    }

    #[test]
    fn a_stage_with_an_adapter_needs_no_optimizer_state_for_frozen_weights() {
        let mut recipe = Recipe::default();
        let full = check_within(&recipe, 0).unwrap_err().message;
        recipe.stages[0].adapter = Some(kiln_peft::AdapterConfig::default());
        recipe.resolve();
        recipe.precision.weights = Some(kiln_models::WeightPrecision::Bf16);
        let adapted = check_within(&recipe, 0).unwrap_err().message;
        assert!(full != adapted && adapted.contains("optimizer state"), "{adapted}");
        let parameters =
            Model::num_parameters(&ModelConfig { vocab: max_vocab(&recipe), ..recipe.model.clone() }) as u64;
        check_within(&recipe, 4 * parameters).unwrap();
    }
}
