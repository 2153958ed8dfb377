//! What stands beside the weights in a folder as Hugging Face lays it out.

use super::Error;
use kiln_models::{
    files::{CONFIG, GENERATION},
    hf::sentence,
};
use kiln_nn::head::EmbeddingConfig;
use serde_json::Value;
use std::{io, path::Path};

/// How texts become vectors: as `modules.json` says, else by the mean of their tokens.
pub(super) fn sentence(folder: &Path) -> Result<EmbeddingConfig, Error> {
    let refused = |refusal| Error::Refused { file: folder.join(sentence::MODULES), refusal };
    let modules = json(&folder.join(sentence::MODULES))?;
    let file = sentence::pooling_file(modules.as_ref()).map_err(refused)?;
    let pooling = file.map(|file| json(&folder.join(file))).transpose()?.flatten();
    sentence::head(modules.as_ref(), pooling.as_ref()).map_err(refused)
}

/// Tokens that end what the model writes: those of `generation_config.json`, else of `config.json`, one or several.
pub(super) fn stop(folder: &Path) -> Result<Vec<u32>, Error> {
    for file in [GENERATION, CONFIG] {
        let ids = json(&folder.join(file))?.unwrap_or_default()["eos_token_id"].take();
        if !ids.is_null() {
            let all = ids.as_array().map_or_else(|| vec![ids.clone()], Clone::clone);
            return Ok(all.iter().filter_map(|id| u32::try_from(id.as_u64()?).ok()).collect());
        }
    }
    Ok(Vec::new())
}

/// A JSON file, if it is there.
pub(super) fn json(path: &Path) -> Result<Option<Value>, Error> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::Io { file: path.to_owned(), error }),
    };
    let broken = |error: serde_json::Error| Error::Io { file: path.to_owned(), error: error.into() };
    serde_json::from_slice(&text).map(Some).map_err(broken)
}
