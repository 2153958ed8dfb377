//! Memory check of frozen models: refuses a teacher or a reference that is too large for the machine before it is loaded.

use super::{error::CliError, memory_check::available_memory};
use crate::page::number_format::format_bytes;
use kiln_models::{Model, ModelConfig};
use kiln_spec::{ValidationError, config::ConfigError};
use kiln_train::{
    Recipe,
    run::{FrozenModelSize, frozen_model_sizes},
};

/// Bytes of a weight of the model that is trained, without gradients and optimizer state: a lower bound.
const BYTES_PER_WEIGHT: u64 = 4;

/// Refuses a recipe with a frozen model that does not fit into memory beside the weights of the model that is trained.
pub fn check_frozen_memory(recipe: &Recipe) -> Result<(), CliError> {
    check_within(recipe, available_memory())
}

/// `available` is in bytes.
fn check_within(recipe: &Recipe, available: u64) -> Result<(), CliError> {
    let vocab = recipe.model.vocab.max(1);
    let weights = Model::num_parameters(&ModelConfig { vocab, ..recipe.model.clone() }) as u64 * BYTES_PER_WEIGHT;
    for FrozenModelSize { name, key, path, bytes } in frozen_model_sizes(recipe)? {
        if bytes.saturating_add(weights) <= available {
            continue;
        }
        let [bytes, weights, available] = [bytes, weights, available].map(|bytes| format_bytes(bytes as f64));
        let reason = format!(
            "the {name} in {path} needs {bytes} of memory beside the {weights} of the model that is trained, but this \
             machine has {available}"
        );
        let suggestion = "a smaller or a quantized model (.gguf), or the objective `completion` on texts that it wrote";
        return Err(ConfigError::from(ValidationError::new(key, reason).with_suggestion(suggestion)).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiln_train::{
        ObjectiveConfig,
        objective::{Distill, FrozenSource},
    };

    #[test]
    fn a_teacher_fits_beside_the_student_or_is_refused_by_its_key() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/vocabulary/added");
        let mut recipe = Recipe::default();
        recipe.stages[0].objective = ObjectiveConfig::Distill(Distill::new(FrozenSource::Path(folder.into())));
        let sizes = frozen_model_sizes(&recipe).unwrap();
        assert!(sizes.len() == 1 && sizes[0].bytes > 1000, "{sizes:?}");
        check_within(&recipe, 1 << 30).unwrap();
        let error = check_within(&recipe, sizes[0].bytes).unwrap_err();
        assert_eq!(error.location.as_deref(), Some("stages[0].objective.distill.teacher"));
    }
}
