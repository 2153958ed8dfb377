//! Whether a model fits into the machine, asked before anything is made.

use super::error::CliError;
use crate::page::number_format::{format_bytes, format_count};
use kiln_data::TokenizerConfig;
use kiln_models::{Model, ModelConfig};
use kiln_spec::{ValidationError, config::ConfigError};
use kiln_train::Recipe;

/// Bytes that each parameter takes at least while it trains: itself, its gradient and two moments, 32 bits each.
const BYTES_PER_PARAMETER: u64 = 16;

/// Refuses a recipe whose model can't be trained here.
pub fn check_memory(recipe: &Recipe) -> Result<(), CliError> {
    check_within(recipe, available_memory())
}

fn check_within(recipe: &Recipe, memory: u64) -> Result<(), CliError> {
    let parameters = Model::num_parameters(&ModelConfig { vocab: max_vocab(recipe), ..recipe.model.clone() }) as u64;
    let needed = parameters.saturating_mul(BYTES_PER_PARAMETER);
    if needed <= memory {
        return Ok(());
    }
    let [needed, memory] = [needed, memory].map(|size| format_bytes(size as f64));
    let reason = format!(
        "a model of {} parameters takes at least {needed} to train, this machine has {memory}",
        format_count(parameters as f64)
    );
    Err(ConfigError::from(
        ValidationError::new("model", reason).with_suggestion("a smaller model.hidden, or fewer blocks"),
    )
    .into())
}

/// The most tokens that there can be.
fn max_vocab(recipe: &Recipe) -> usize {
    match &recipe.tokenizer {
        _ if recipe.model.vocab > 0 => recipe.model.vocab,
        TokenizerConfig::Byte(_) => kiln_data::SpecialTokens::count() + 256,
        TokenizerConfig::Character(config) | TokenizerConfig::Bpe(config) => config.vocab,
        // What can't be read is refused where it is needed.
        TokenizerConfig::File(file) => file.open().map_or(0, |tokenizer| tokenizer.vocab_size()),
    }
}

/// Bytes of memory that this process may use at most; without bound where that is unknown.
fn available_memory() -> u64 {
    let Ok(mut system) = sysinfo::System::new() else { return u64::MAX };
    system.refresh_memory();
    let all = Some(system.total_memory()).filter(|all| *all > 0).unwrap_or(u64::MAX);
    system.cgroup_limits().map_or(all, |limits| limits.total_memory.min(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_fits_if_its_training_does() {
        let recipe = Recipe::default();
        let parameters =
            Model::num_parameters(&ModelConfig { vocab: max_vocab(&recipe), ..recipe.model.clone() }) as u64;
        check_within(&recipe, 16 * parameters).unwrap();
        let trouble = check_within(&recipe, 16 * parameters - 1).unwrap_err();
        assert_eq!((trouble.exit_code, trouble.location.as_deref()), (2, Some("model")));
        assert!((1 << 24..1 << 50).contains(&available_memory()));
    }
}
