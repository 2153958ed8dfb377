//! How a pretrained model generates text: prompt format, modes, and the tokens that end a text.

use kiln_data::SpecialTokens;
use kiln_models::Visibility;
use serde_json::Value;

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
/// `mode` is passed to a generator of `kiln-infer`, `stop_token_ids` to its options. Sampling settings (temperature,
/// top-p, …) are the caller's choice; those of the model's author, if any, are in `config_json`.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerationSettings {
    /// What the model can do with a text.
    pub mode: GenerationMode,
    /// Ids of the tokens that end a text, in addition to the tokenizer's end of sequence.
    pub stop_token_ids: Vec<u32>,
    /// The contents of `generation_config.json`, if the model has one. Kiln reads `eos_token_id` from it.
    pub config_json: Option<Value>,
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

/// Returns the token that the decoder of an encoder–decoder starts with, by its `config.json`: `decoder_start_token_id`,
/// else `pad_token_id`, else 0, as the `transformers` library does.
pub fn decoder_start_token(config_json: &Value) -> u32 {
    let id = ["decoder_start_token_id", "pad_token_id"].iter().find_map(|key| config_json[*key].as_u64());
    id.and_then(|id| u32::try_from(id).ok()).unwrap_or(0)
}
