//! How a pretrained model generates text: prompt format, modes, the tokens that end a text, and its author's settings.

mod config;
mod context_length;
mod model_config;
mod setting;
mod unsupported;

pub use config::GenerationConfig;
pub use context_length::context_length;
pub use model_config::settings_of_model_config;

use crate::PretrainedError;
use kiln_data::SpecialTokens;
use kiln_models::Visibility;
use serde_json::Value;
use std::path::PathBuf;

/// How a prompt is presented to a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromptFormat {
    /// Which tokens attend to which: causal, prefix or bidirectional.
    pub visibility: Visibility,
    /// The token that precedes the text: beginning of sequence, or the decoder's start token.
    pub first_token: u32,
}

/// What a model can do with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenerationMode {
    /// The prompt format for continuing a text token by token; `None` if the model cannot.
    pub generates: Option<PromptFormat>,
    /// The prompt format for filling masked positions; `None` if the model cannot.
    pub infills: Option<PromptFormat>,
}

impl GenerationMode {
    /// Returns the mode of a model that was trained with one visibility on documents that begin with `bos`: a
    /// bidirectional model infills, every other model generates.
    pub fn for_visibility(visibility: Visibility, specials: &SpecialTokens) -> Self {
        let format = Some(PromptFormat { visibility, first_token: specials.bos });
        match visibility {
            Visibility::Bidirectional => Self { generates: None, infills: format },
            Visibility::Causal | Visibility::Prefix => Self { generates: format, infills: None },
        }
    }
}

/// Generation settings that come with a pretrained model.
///
/// `mode` is passed to a generator of `kiln-infer`; its `GenerateOptions::resolve` applies the rest.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerationSettings {
    /// What the model can do with a text.
    pub mode: GenerationMode,
    /// Ids of the tokens that end a text. Empty: the tokenizer's end of sequence.
    pub stop_token_ids: Vec<u32>,
    /// The contents of `generation_config.json`, or the settings of `config.json` or of a GGUF file in that form, if there are
    /// any.
    pub config_json: Option<Value>,
    /// The file of `config_json`, for messages.
    pub config_file: PathBuf,
    /// Number of tokens that a model with rotary positions was made for, if known; see [`context_length`].
    pub context_length: Option<usize>,
}

impl GenerationSettings {
    /// Reads the settings of `config_json`; `None` if the model has none.
    ///
    /// # Errors
    /// [`PretrainedError::Unsupported`] for a setting with a value of another type.
    pub fn config(&self) -> Result<Option<GenerationConfig>, PretrainedError> {
        let config = self.config_json.as_ref().map(GenerationConfig::from_json).transpose();
        config.map_err(|error| PretrainedError::Unsupported { file: self.config_file.clone(), error })
    }
}

/// Returns the ids under `eos_token_id` (one id or a list) of the first of `configs` that has the key: by convention
/// `generation_config.json` before `config.json`.
pub fn stop_token_ids<'a>(configs: impl IntoIterator<Item = &'a Value>) -> Vec<u32> {
    let Some(ids) = configs.into_iter().map(|config| &config["eos_token_id"]).find(|ids| !ids.is_null()) else {
        return Vec::new();
    };
    let list = ids.as_array().map_or(std::slice::from_ref(ids), Vec::as_slice);
    list.iter().filter_map(|id| u32::try_from(id.as_u64()?).ok()).collect()
}

/// Returns the token that the decoder of an encoder–decoder starts with: `decoder_start_token_id` of the first of `configs`
/// that has it (by convention `generation_config.json` before `config.json`), else `pad_token_id` of the last, else 0, as
/// the `transformers` library does.
pub fn decoder_start_token<'a>(configs: impl IntoIterator<Item = &'a Value>) -> u32 {
    let configs: Vec<&Value> = configs.into_iter().collect();
    let start = configs.iter().find_map(|config| config["decoder_start_token_id"].as_u64());
    let id = start.or_else(|| configs.last()?["pad_token_id"].as_u64());
    id.and_then(|id| u32::try_from(id).ok()).unwrap_or(0)
}
