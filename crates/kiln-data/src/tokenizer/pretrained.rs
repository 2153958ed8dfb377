//! Tokenizers from files: a Hugging Face folder, or a single file.
//!
//! | file | contents | algorithm |
//! |---|---|---|
//! | `tokenizer.json` | the whole tokenizer | any |
//! | `tokenizer.model`, `spiece.model`, `sentencepiece.bpe.model`, `sentencepiece.model` | SentencePiece model | BPE or Unigram |
//! | `vocab.txt` | one token on each line (BERT) | WordPiece |
//! | `vocab.json`, `merges.txt` | ids and merges (GPT-2) | byte-level BPE |
//! | `tokenizer_config.json` | settings and roles of tokens, the class of the tokenizer | – |
//! | `special_tokens_map.json`, `config.json` | roles of tokens | – |

#[cfg(all(test, feature = "files"))]
mod tests;

use super::{Tokenizer, convert, roles};
use crate::{
    DataError,
    file_set::{FileSet, parse_json, read_json, read_text},
};
use serde_json::Value;
#[cfg(feature = "files")]
use std::path::Path;

/// Names of SentencePiece models, in the order in which they are tried.
const SENTENCEPIECE_FILES: [&str; 4] =
    ["tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "sentencepiece.model"];

/// Loads the tokenizer of a folder: from `tokenizer.json`, else a SentencePiece model, else `vocab.txt`, else
/// `vocab.json` with `merges.txt`.
///
/// The roles of its tokens are those that `tokenizer_config.json`, `special_tokens_map.json` and `config.json` declare,
/// in this order of precedence; roles that none of them mentions go to added tokens with usual names.
///
/// # Errors
/// [`DataError::Tokenizer`] if the folder has none of these files or one is invalid; [`DataError::Io`] if a file cannot
/// be read.
#[cfg(feature = "files")]
pub fn from_folder(folder: &Path) -> Result<Tokenizer, DataError> {
    from_files(folder)
}

/// Loads the tokenizer of the files of a folder, on disk or in memory, as `from_folder` does.
///
/// # Errors
/// [`DataError::Tokenizer`] if there is no tokenizer or a file is invalid; [`DataError::Io`] if a file cannot be read.
pub fn from_files<F: FileSet + ?Sized>(files: &F) -> Result<Tokenizer, DataError> {
    load_files(files).map_err(|error| error.with_path(&files.folder()))
}

fn load_files<F: FileSet + ?Sized>(files: &F) -> Result<Tokenizer, DataError> {
    let config = read_json(files, "tokenizer_config.json")?.unwrap_or_default();
    let mut file = match read_text(files, "tokenizer.json")? {
        Some(file) if super::TokenizerJson::is_kiln_trained(&file) => return Tokenizer::from_json(&file),
        Some(file) => parse_json(files, "tokenizer.json", &file)?,
        None => convert_files(files, &config)?,
    };
    if !file.is_object() {
        return Err(DataError::tokenizer("expected a JSON object").with_path(&files.location("tokenizer.json")));
    }
    let special_tokens_map = read_json(files, "special_tokens_map.json")?.unwrap_or_default();
    let model = read_json(files, "config.json")?;
    let configs = [config, special_tokens_map];
    let mut names = roles::roles_from_files(&configs, model.as_ref(), |id| token_name(&file, id));
    if names.is_empty() {
        return Tokenizer::from_json(&file.to_string());
    }
    names.extend(roles::default_roles(&file, &configs, &names));
    roles::write_roles(&mut file, &names);
    Tokenizer::from_json(&file.to_string())
}

/// Loads a tokenizer from one file: a SentencePiece `.model`, a `vocab.txt` or another `.txt` of its form, or a
/// `tokenizer.json`. A file of exactly this name is loaded together with the other files of its folder
/// ([`from_folder`]).
///
/// # Errors
/// [`DataError::PathNotFound`], or those of [`from_folder`].
#[cfg(feature = "files")]
pub fn from_file(path: &Path) -> Result<Tokenizer, DataError> {
    load_file(path).map_err(|error| error.with_path(path))
}

#[cfg(feature = "files")]
fn load_file(path: &Path) -> Result<Tokenizer, DataError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let missing = || DataError::PathNotFound { path: path.display().to_string(), nearest: None };
    if path.extension().is_some_and(|extension| extension == "model") {
        let bytes = folder.read(&name)?.ok_or_else(missing)?;
        return convert::parse_sentencepiece(&bytes)?.to_tokenizer();
    }
    let text = read_text(folder, &name)?.ok_or_else(missing)?;
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("txt") => Tokenizer::from_json(&convert::from_vocab_txt(&text, &Value::Null).to_string()),
        _ if name == "tokenizer.json" => from_folder(folder),
        _ => Tokenizer::from_json(&text),
    }
}

/// The `tokenizer.json` of a folder that has none, converted from its other files.
fn convert_files<F: FileSet + ?Sized>(files: &F, config: &Value) -> Result<Value, DataError> {
    for name in SENTENCEPIECE_FILES {
        if let Some(bytes) = files.read(name)? {
            return convert_sentencepiece(&bytes, config);
        }
    }
    if let Some(vocab) = read_text(files, "vocab.txt")? {
        return Ok(convert::from_vocab_txt(&vocab, config));
    }
    let (Some(vocab), Some(merges)) = (read_text(files, "vocab.json")?, read_text(files, "merges.txt")?) else {
        let names = SENTENCEPIECE_FILES.join(", ");
        let reason =
            format!("found no tokenizer.json, {names}, vocab.txt, or vocab.json with merges.txt in the folder");
        return Err(DataError::tokenizer(reason));
    };
    let mut file = convert::from_vocab_and_merges(&vocab, &merges, config["add_prefix_space"] == true)?;
    if tokenizer_family(config) == "Roberta" {
        convert::add_template_by_names(&mut file, ["<s>", "</s>"]);
    }
    Ok(file)
}

/// The `tokenizer.json` of a SentencePiece model. The model does not say which special tokens are added to a text: the
/// configuration does (`add_bos_token`, `add_eos_token`), or else the class of the tokenizer.
fn convert_sentencepiece(bytes: &[u8], config: &Value) -> Result<Value, DataError> {
    let mut model = convert::parse_sentencepiece(bytes)?;
    let (add_bos, add_eos) = match tokenizer_family(config).as_str() {
        "Llama" | "CodeLlama" | "Gemma" => (true, false),
        "T5" | "MT5" => (false, true),
        _ => (false, false),
    };
    model.add_bos = Some(config["add_bos_token"].as_bool().unwrap_or(add_bos));
    model.add_eos = Some(config["add_eos_token"].as_bool().unwrap_or(add_eos));
    serde_json::from_str(model.to_tokenizer()?.to_json()).map_err(DataError::tokenizer)
}

/// The family of the tokenizer's class: `Llama` of `LlamaTokenizerFast`.
fn tokenizer_family(config: &Value) -> String {
    let class = config["tokenizer_class"].as_str().unwrap_or_default();
    class.split("Tokenizer").next().unwrap_or_default().to_string()
}

/// Name of a token by its id, among the added tokens first.
fn token_name(file: &Value, id: u64) -> Option<String> {
    let added = file["added_tokens"].as_array().into_iter().flatten().find(|token| token["id"] == id);
    let name = added.and_then(|token| token["content"].as_str()).or_else(|| match &file["model"]["vocab"] {
        Value::Object(vocab) => vocab.iter().find(|(_, token_id)| **token_id == id).map(|(name, _)| name.as_str()),
        pieces => pieces[usize::try_from(id).ok()?][0].as_str(),
    });
    name.map(str::to_string)
}
