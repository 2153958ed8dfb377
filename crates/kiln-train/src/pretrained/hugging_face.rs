//! What stands beside the weights in a folder as Hugging Face lays it out.

use super::PretrainedError;
use kiln_models::hf::sentence_transformers;
use kiln_nn::head::EmbeddingHeadConfig;
use kiln_pretrained::files::{CONFIG_FILE, GENERATION_CONFIG_FILE};
use serde_json::Value;
use std::{io, path::Path};

/// How texts become vectors: as `modules.json` says, else by the mean of their tokens.
pub(super) fn embedding_config(folder: &Path) -> Result<EmbeddingHeadConfig, PretrainedError> {
    let refused =
        |refusal| PretrainedError::Unsupported { file: folder.join(sentence_transformers::MODULES_FILE), refusal };
    let modules = read_json(&folder.join(sentence_transformers::MODULES_FILE))?;
    let file = sentence_transformers::pooling_file(modules.as_ref()).map_err(refused)?;
    let pooling = file.map(|file| read_json(&folder.join(file))).transpose()?.flatten();
    sentence_transformers::embedding_head(modules.as_ref(), pooling.as_ref()).map_err(refused)
}

/// Tokens that end what the model writes: those of `generation_config.json`, else of `config.json`, one or several.
pub(super) fn stop_tokens(folder: &Path) -> Result<Vec<u32>, PretrainedError> {
    for file in [GENERATION_CONFIG_FILE, CONFIG_FILE] {
        let ids = read_json(&folder.join(file))?.unwrap_or_default()["eos_token_id"].take();
        if !ids.is_null() {
            let all = ids.as_array().map_or_else(|| vec![ids.clone()], Clone::clone);
            return Ok(all.iter().filter_map(|id| u32::try_from(id.as_u64()?).ok()).collect());
        }
    }
    Ok(Vec::new())
}

/// A JSON file, if it is there.
pub(super) fn read_json(path: &Path) -> Result<Option<Value>, PretrainedError> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(PretrainedError::Io { file: path.to_owned(), error }),
    };
    let broken = |error: serde_json::Error| PretrainedError::Io { file: path.to_owned(), error: error.into() };
    serde_json::from_slice(&text).map(Some).map_err(broken)
}
