//! Whether a model fits into the machine, asked before anything is made.

use super::trouble::Trouble;
use crate::page::number::{bytes, count};
use kiln_data::TokenizerConfig;
use kiln_models::{Model, ModelConfig};
use kiln_spec::{Refusal, config::ConfigError};
use kiln_train::Recipe;

/// Bytes that each parameter takes at least while it trains: itself, its gradient and two moments, 32 bits each.
const BYTES: u64 = 16;

/// Refuses a recipe whose model can't be trained here.
pub fn check(recipe: &Recipe) -> Result<(), Trouble> {
    within(recipe, memory())
}

fn within(recipe: &Recipe, memory: u64) -> Result<(), Trouble> {
    let parameters = Model::parameters(&ModelConfig { vocab: vocab(recipe), ..recipe.model.clone() }) as u64;
    let needed = parameters.saturating_mul(BYTES);
    if needed <= memory {
        return Ok(());
    }
    let [needed, memory] = [needed, memory].map(|size| bytes(size as f64));
    let reason = format!(
        "a model of {} parameters takes at least {needed} to train, this machine has {memory}",
        count(parameters as f64)
    );
    Err(ConfigError::from(Refusal::new("model", reason).instead("a smaller model.hidden, or fewer blocks")).into())
}

/// The most tokens that there can be.
fn vocab(recipe: &Recipe) -> usize {
    match &recipe.tokenizer {
        _ if recipe.model.vocab > 0 => recipe.model.vocab,
        TokenizerConfig::Byte(_) => kiln_data::Specials::count() + 256,
        TokenizerConfig::Character(config) | TokenizerConfig::Bpe(config) => config.vocab,
        // What can't be read is refused where it is needed.
        TokenizerConfig::File(file) => file.open().map_or(0, |tokenizer| tokenizer.vocab()),
    }
}

/// Bytes of memory that this process may use at most; without bound where that is unknown.
fn memory() -> u64 {
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
        let parameters = Model::parameters(&ModelConfig { vocab: vocab(&recipe), ..recipe.model.clone() }) as u64;
        within(&recipe, 16 * parameters).unwrap();
        let trouble = within(&recipe, 16 * parameters - 1).unwrap_err();
        assert_eq!((trouble.code, trouble.place.as_deref()), (2, Some("model")));
        assert!((1 << 24..1 << 50).contains(&memory()));
    }
}
