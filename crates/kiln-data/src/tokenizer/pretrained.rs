//! The tokenizer of a folder as Hugging Face lays it out, or of one file.

use super::{Tokenizer, convert, roles, train::tokenizer_error};
use crate::{
    DataError,
    file_set::{FileSet, parse_json, read_json, read_text},
};
use serde_json::Value;
#[cfg(feature = "files")]
use std::path::Path;

/// Opens the tokenizer of a folder: `tokenizer.json`, else a SentencePiece `.model`, else `vocab.txt`, else `vocab.json`
/// with `merges.txt`. The roles of its tokens are what `tokenizer_config.json`, `special_tokens_map.json` and
/// `config.json` say, in this order.
///
/// # Errors
/// If there is none of them, or it can't be read.
#[cfg(feature = "files")]
pub fn from_folder(folder: &Path) -> Result<Tokenizer, DataError> {
    from_files(folder)
}

/// Opens the tokenizer of the files of a Hugging Face folder, on disk or in memory: the first of `tokenizer.json`,
/// a SentencePiece `.model`, `vocab.txt`, `vocab.json` with `merges.txt`, with roles as [`from_folder`] reads them.
///
/// # Errors
/// If there is none of these files, or it can't be read.
pub fn from_files<F: FileSet + ?Sized>(files: &F) -> Result<Tokenizer, DataError> {
    let config = read_json(files, "tokenizer_config.json")?.unwrap_or_default();
    let mut file = match read_text(files, "tokenizer.json")? {
        Some(file) if super::TokenizerJson::is_kiln_trained(&file) => return Tokenizer::from_json(&file),
        Some(file) => parse_json(files, "tokenizer.json", &file)?,
        None => convert_files(files, &config)?,
    };
    if !file.is_object() {
        let path = files.location("tokenizer.json");
        return Err(tokenizer_error(format!("{} holds no object", path.display())));
    }
    let map = read_json(files, "special_tokens_map.json")?.unwrap_or_default();
    let model = read_json(files, "config.json")?;
    let token = |id: u64| token_name(&file, id);
    let configs = [config, map];
    let mut names = roles::roles_from_files(&configs, model.as_ref(), token);
    if names.is_empty() {
        return Tokenizer::from_json(&file.to_string());
    }
    names.extend(roles::default_roles(&file, &configs, &names));
    roles::write_roles(&mut file, &names);
    Tokenizer::from_json(&file.to_string())
}

/// Opens one file: a `tokenizer.json` (with what lies beside it if it is called so), a SentencePiece `.model` or a
/// `vocab.txt`.
///
/// # Errors
/// If it can't be read.
#[cfg(feature = "files")]
pub fn from_file(path: &Path) -> Result<Tokenizer, DataError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let missing = || DataError::PathNotFound { path: path.display().to_string(), nearest: None };
    if path.extension().is_some_and(|ending| ending == "model") {
        let bytes = folder.read(&name)?.ok_or_else(missing)?;
        return convert::parse_sentencepiece(&bytes)?.to_tokenizer();
    }
    let text = read_text(folder, &name)?.ok_or_else(missing)?;
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("txt") => Tokenizer::from_json(&convert::from_vocab_txt(&text, &Value::Null).to_string()),
        _ if name == "tokenizer.json" => from_folder(folder),
        _ => Tokenizer::from_json(&text),
    }
}

/// Converts a tokenizer without a `tokenizer.json`.
fn convert_files<F: FileSet + ?Sized>(files: &F, config: &Value) -> Result<Value, DataError> {
    for name in ["tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "sentencepiece.model"] {
        if let Some(bytes) = files.read(name)? {
            return convert_sentencepiece(&bytes, config);
        }
    }
    if let Some(vocab) = read_text(files, "vocab.txt")? {
        return Ok(convert::from_vocab_txt(&vocab, config));
    }
    match (read_text(files, "vocab.json")?, read_text(files, "merges.txt")?) {
        (Some(vocab), Some(merges)) => {
            let mut file = convert::from_vocab_and_merges(&vocab, &merges, config["add_prefix_space"] == true)?;
            if tokenizer_family(config) == "Roberta" {
                convert::add_template_by_names(&mut file, ["<s>", "</s>"]);
            }
            Ok(file)
        }
        _ => {
            let folder = files.folder();
            let names = "tokenizer.json, tokenizer.model, spiece.model, vocab.txt, or vocab.json with merges.txt";
            Err(tokenizer_error(format!("{}: no tokenizer found; expected {names}", folder.display())))
        }
    }
}

fn convert_sentencepiece(bytes: &[u8], config: &Value) -> Result<Value, DataError> {
    let mut found = convert::parse_sentencepiece(bytes)?;
    let (bos, eos) = match tokenizer_family(config).as_str() {
        "Llama" | "CodeLlama" | "Gemma" => (true, false),
        "T5" | "MT5" => (false, true),
        _ => (false, false),
    };
    found.add_bos = Some(config["add_bos_token"].as_bool().unwrap_or(bos));
    found.add_eos = Some(config["add_eos_token"].as_bool().unwrap_or(eos));
    serde_json::from_str(found.to_tokenizer()?.to_json()).map_err(tokenizer_error)
}

/// The family in the class's name, such as `Llama` of `LlamaTokenizerFast`.
fn tokenizer_family(config: &Value) -> String {
    let class = config["tokenizer_class"].as_str().unwrap_or_default();
    class.split("Tokenizer").next().unwrap_or_default().to_string()
}

/// The name of a token by its id.
fn token_name(file: &Value, id: u64) -> Option<String> {
    let added = file["added_tokens"].as_array().into_iter().flatten();
    let added = added.into_iter().find(|token| token["id"] == id).and_then(|token| token["content"].as_str());
    let name = added.or_else(|| match &file["model"]["vocab"] {
        Value::Object(vocab) => vocab.iter().find(|(_, found)| **found == id).map(|(name, _)| name.as_str()),
        pieces => pieces[usize::try_from(id).ok()?][0].as_str(),
    });
    name.map(str::to_string)
}
