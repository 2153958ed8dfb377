//! A model apart from its tokenizer.

use kiln_models::{Model, hf::Family};
use kiln_pretrained::files;
use serde_json::Value;

/// A model as its files describe it, apart from its tokenizer.
#[derive(Debug)]
pub struct PretrainedModel {
    /// The model.
    pub model: Model,
    /// Its family; none of a run.
    pub family: Option<&'static Family>,
    /// Its `config.json`, or what a GGUF says in that form; none of a run.
    pub config_json: Option<Value>,
    /// Its `generation_config.json`, if it has one.
    pub generation_config: Option<Value>,
}

impl PretrainedModel {
    /// The token that the decoder of an encoder–decoder of others begins with: `decoder_start_token_id`, else
    /// `pad_token_id`, else 0. None of any other model, nor of a run, which begins with its tokenizer's bos.
    pub fn decoder_start_token(&self) -> Option<u32> {
        let json = self.config_json.as_ref().filter(|_| self.model.encoder().is_some())?;
        let id = ["decoder_start_token_id", "pad_token_id"].iter().find_map(|key| json[*key].as_u64());
        Some(id.and_then(|id| u32::try_from(id).ok()).unwrap_or(0))
    }
}

impl From<files::LoadedModel> for PretrainedModel {
    fn from(loaded: files::LoadedModel) -> Self {
        let files::LoadedModel { model, family, config_json, generation_config: generation } = loaded;
        Self { model, family: Some(family), config_json: Some(config_json), generation_config: generation }
    }
}
