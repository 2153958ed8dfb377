//! Memory check: refuses a model that is too large for the machine before anything is allocated.
//!
//! A typo such as `model.hidden = 262144` would otherwise end the process (or the machine) by exhausting its memory.

use super::error::CliError;
use crate::page::number_format::{format_bytes, format_count};
use kiln_data::{SpecialTokens, TokenizerConfig};
use kiln_models::{Model, ModelConfig};
use kiln_spec::{ValidationError, config::ConfigError};
use kiln_train::Recipe;

/// Bytes per parameter in training: value, gradient and two moments of the optimizer, 32 bits each. Activations come on
/// top, so that this is a lower bound.
const BYTES_PER_PARAMETER: u64 = 16;

/// Number of tokens of a byte tokenizer besides the special tokens.
const BYTE_TOKENS: usize = 256;

/// Refuses a recipe whose parameters, gradients and optimizer state do not fit into memory.
///
/// Activations, which depend on batch size and sequence length, are not counted.
pub fn check_memory(recipe: &Recipe) -> Result<(), CliError> {
    check_within(recipe, available_memory())
}

/// `available` is in bytes.
fn check_within(recipe: &Recipe, available: u64) -> Result<(), CliError> {
    let parameters = Model::num_parameters(&ModelConfig { vocab: max_vocab(recipe), ..recipe.model.clone() }) as u64;
    let required = parameters.saturating_mul(BYTES_PER_PARAMETER);
    if required <= available {
        return Ok(());
    }
    let parameters = format_count(parameters as f64);
    let [required, available] = [required, available].map(|bytes| format_bytes(bytes as f64));
    let reason = format!(
        "training {parameters} parameters needs at least {required} of memory, but this machine has {available}"
    );
    let error = ValidationError::new("model", reason).with_suggestion("a smaller model.hidden, or fewer blocks");
    Err(ConfigError::from(error).into())
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
}
