//! The files of a model besides its configuration and weights, whatever it was read from.

use super::{
    super::error::CliError,
    chat_templates::{DEFAULT_TEMPLATE, chat_templates},
    export_error,
    source_files::{CHAT_TEMPLATE_FILE, Files, read_copied_files, read_optional},
    tokenizer_files,
};
use kiln_pretrained::{BaseFiles, files::MappedFile, gguf::GgufFile};
use kiln_train::pretrained::{ModelSource, SourceModel};
use std::path::Path;

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
        files.extend(encoder_files(source, weights)?);
    }
    Ok(files)
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
