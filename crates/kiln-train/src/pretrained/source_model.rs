//! A model without its tokenizer, as `kiln export` and `kiln inspect` use it.

use kiln_models::{Model, hf::Family};
use kiln_pretrained::{PretrainedModel, generation::decoder_start_token};
use serde_json::Value;

/// A model without its tokenizer, with its family and the contents of its configuration files. What a run folder does not have is
/// `None`.
#[derive(Debug)]
pub struct SourceModel {
    /// The model.
    pub model: Model,
    /// Its model family.
    pub family: Option<&'static Family>,
    /// The contents of `config.json`; of a GGUF file, its metadata in that form.
    pub config_json: Option<Value>,
    /// The contents of `generation_config.json`.
    pub generation_config: Option<Value>,
}

impl SourceModel {
    /// Returns the decoder start token of an encoder–decoder that was loaded from a Hugging Face folder or a GGUF file. `None`
    /// for other models, and for runs, whose decoders start with the tokenizer's bos.
    pub fn decoder_start_token(&self) -> Option<u32> {
        let config = self.config_json.as_ref().filter(|_| self.model.encoder().is_some());
        config.map(|config| decoder_start_token([config]))
    }
}

impl From<PretrainedModel> for SourceModel {
    fn from(loaded: PretrainedModel) -> Self {
        let PretrainedModel { model, family, config_json, generation_config } = loaded;
        Self { model, family: Some(family), config_json: Some(config_json), generation_config }
    }
}
