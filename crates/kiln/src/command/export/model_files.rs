//! The files of a model besides its configuration and weights, whatever it was read from.

use super::{
    super::error::CliError,
    chat_templates::{DEFAULT_TEMPLATE, chat_templates},
    export_error,
    source_files::{CHAT_TEMPLATE_FILE, Files, read_copied_files, read_optional},
    tokenizer_files,
};
use kiln_data::Tokenizer;
use kiln_models::ModelConfig;
use kiln_nn::head::{EmbeddingHeadConfig, HeadConfig};
use kiln_pretrained::{BaseFiles, files::MappedFile, gguf::GgufFile, source::DEFAULT_EMBEDDING_CONFIG};
use kiln_train::pretrained::{ModelSource, SourceModel};
use serde_json::{Map, Value, json};
use std::path::Path;

/// The whole tokenizer.
const TOKENIZER_FILE: &str = "tokenizer.json";

/// Returns the files of the tokenizer, the chat templates and a sentence encoder's settings: copies of those of a Hugging Face
/// folder, new ones for a run or a GGUF file. The chat template is that of the last adapter folder that has one.
pub(super) fn collect_files(source: &ModelSource, weights: &SourceModel) -> Result<Files, CliError> {
    let mut files = match hf_folder(source) {
        Some(folder) => read_copied_files(folder)?,
        None => tokenizer_files::new_files(source, weights)?,
    };
    for adapter in source.adapters() {
        if let Some(template) = own_template(adapter)? {
            files.insert(CHAT_TEMPLATE_FILE.into(), template);
        }
    }
    if hf_folder(source).is_none() {
        let described = encoder_files(source, weights)?;
        if !described.is_empty() {
            add_text_boundaries(&source.tokenizer()?, &mut files)?;
        }
        files.extend(described);
    }
    Ok(files)
}

/// The configuration of a model whose pooling and normalization are stored in other files than the architecture.
pub(super) fn without_pooling(config: &ModelConfig) -> ModelConfig {
    let mut config = config.clone();
    if let HeadConfig::Embedding(head) = &mut config.head {
        *head = EmbeddingHeadConfig { projection_dim: head.projection_dim, ..DEFAULT_EMBEDDING_CONFIG };
    }
    config
}

/// Lets a `tokenizer.json` that Kiln trained put `<bos>` before each text and `<eos>` after it, as the encoder has read its
/// texts. Other tokenizers say themselves what they add.
fn add_text_boundaries(tokenizer: &Tokenizer, files: &mut Files) -> Result<(), CliError> {
    let Some(file) = files.get_mut(TOKENIZER_FILE).filter(|_| tokenizer.is_kiln_trained()) else { return Ok(()) };
    let mut json: Value = serde_json::from_slice(file).map_err(export_error)?;
    let special = tokenizer.special_tokens();
    let [bos, eos] = [special.bos, special.eos].map(|id| (tokenizer.id_to_token(id), id));
    let around = |sequence: &str, kind: u8| {
        let token = |name: &str| json!({ "SpecialToken": { "id": name, "type_id": kind } });
        [token(&bos.0), json!({ "Sequence": { "id": sequence, "type_id": kind } }), token(&eos.0)]
    };
    let tokens = [&bos, &eos].map(|(name, id)| (name.clone(), json!({ "id": name, "ids": [id], "tokens": [name] })));
    let pair = [around("A", 0), around("B", 1)].concat();
    json["post_processor"] = json!({
        "type": "TemplateProcessing", "single": around("A", 0), "pair": pair,
        "special_tokens": Map::from_iter(tokens),
    });
    *file = serde_json::to_vec(&json).map_err(export_error)?;
    Ok(())
}

/// The folder that the base model was read from, if it is a Hugging Face folder.
pub(super) fn hf_folder(source: &ModelSource) -> Option<&Path> {
    let ModelSource::Pretrained(source) = source else { return None };
    if let BaseFiles::Folder(folder) = source.base() { Some(folder) } else { None }
}

/// The GGUF file that the base model was read from.
pub(super) fn gguf_file(source: &ModelSource) -> Option<&GgufFile<MappedFile>> {
    let ModelSource::Pretrained(source) = source else { return None };
    if let BaseFiles::Gguf(file) = source.base() { Some(file) } else { None }
}

/// The default chat template of a folder; `None` if it has none.
fn own_template(folder: &Path) -> Result<Option<Vec<u8>>, CliError> {
    let mut files = Files::new();
    for name in [CHAT_TEMPLATE_FILE, super::chat_templates::TOKENIZER_CONFIG_FILE] {
        files.extend(read_optional(&folder.join(name))?.map(|bytes| (name.to_owned(), bytes)));
    }
    Ok(chat_templates(&files)?.remove(DEFAULT_TEMPLATE).map(String::into_bytes))
}

/// The files of a sentence encoder: pooling, modules after it, length of texts, prompts. None for other models.
fn encoder_files(source: &ModelSource, weights: &SourceModel) -> Result<Files, CliError> {
    let is_encoder = match gguf_file(source) {
        Some(file) => file.pooling()?.is_some(),
        None => source.is_embedding_run()?,
    };
    if !is_encoder {
        return Ok(Files::new());
    }
    let config = source.sentence_config_of(&weights.model)?;
    Ok(config.to_files(weights.model.config().hidden).map_err(export_error)?.into_iter().collect())
}
