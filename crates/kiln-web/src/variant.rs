//! Call `variant`: a loaded model with other settings and the weights that still fit.

use crate::{Answer, Session, SessionError};
use kiln_models::{Model, ModelConfig, StateDict, named_parameters, state_dict};
use kiln_pretrained::{GenerationMode, GenerationSettings, Pretrained};
use kiln_spec::config::{LayeredConfig, to_toml};
use schemars::{JsonSchema, schema_for};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::HashMap;

/// Seed of the parameters that a variant adds.
const SEED: u64 = 0;

/// Arguments of the call.
#[derive(Deserialize)]
pub struct VariantArguments {
    /// Id of the model.
    model: String,
    /// Assignments `model.…=value`, in order.
    set: Vec<String>,
    /// Name of the new model.
    #[serde(default)]
    name: Option<String>,
}

/// The table of a recipe that describes the model.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ModelTable {
    model: ModelConfig,
}

impl Session {
    /// A model with another configuration: parameters of the same name and shape are kept, the others are initialized.
    pub(crate) async fn variant(&self, arguments: VariantArguments) -> Result<Answer, SessionError> {
        let original = self.model(&arguments.model)?;
        let config = changed_config(original.pretrained.model.config(), &arguments.set)?;
        let (model, kept, new) = rebuild(&original.pretrained.model, &config).await?;
        let tokenizer = original.pretrained.tokenizer.clone();
        let mode = match config.visibility == original.pretrained.model.config().visibility {
            true => original.pretrained.generation.mode,
            false => GenerationMode::for_visibility(config.visibility, tokenizer.special_tokens()),
        };
        let pretrained = Pretrained {
            model,
            tokenizer,
            chat_template: original.pretrained.chat_template.clone(),
            chat_template_error: None,
            generation: GenerationSettings { mode, ..original.pretrained.generation.clone() },
        };
        let name = arguments.name.filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| format!("{} with {}", original.name, arguments.set.join(", ")));
        let model = self.models.borrow_mut().add(name, original.family, pretrained);
        Ok(json!({ "model": model.id, "name": model.name, "kept": kept, "new": new }).into())
    }
}

/// A configuration with assignments over it.
fn changed_config(config: &ModelConfig, set: &[String]) -> Result<ModelConfig, SessionError> {
    let schema = schema_for!(ModelTable);
    let mut layered = LayeredConfig::new(&to_toml(&ModelTable { model: config.clone() }), None)?;
    for assignment in set {
        layered.set(&schema, assignment)?;
    }
    let ModelTable { mut model } = layered.deserialize()?;
    model.resolve();
    model.check("model").map_err(|error| layered.with_location(error))?;
    if model.vocab != config.vocab {
        let message = format!("the tokenizer needs a vocabulary of {}, found {}", config.vocab, model.vocab);
        return Err(SessionError::usage(message).at("model.vocab"));
    }
    Ok(model)
}

/// A model with another configuration, the number of parameters that it shares with `model`, and the names of the others.
async fn rebuild(model: &Model, config: &ModelConfig) -> Result<(Model, usize, Vec<String>), SessionError> {
    if let Ok(same) = model.with_config(config) {
        let kept = named_parameters(&same).len();
        return Ok((same, kept, Vec::new()));
    }
    let new = Model::init(config, SEED, &model.device());
    let shapes: HashMap<String, Vec<usize>> =
        named_parameters(&new).into_iter().map(|parameter| (parameter.path, parameter.shape)).collect();
    let mut values: StateDict = state_dict(model).await?;
    values.retain(|name, data| shapes.get(name).is_some_and(|shape| data.shape().to_vec() == *shape));
    let mut added: Vec<String> = shapes.into_keys().filter(|name| !values.contains_key(name)).collect();
    added.sort();
    let kept = values.len();
    Ok((new.load_partial_state_dict(values), kept, added))
}
