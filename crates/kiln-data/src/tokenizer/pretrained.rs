//! The tokenizer of a folder as Hugging Face lays it out, or of one file.

use super::{Tokenizer, convert, roles, train::tokenizer_error};
use crate::DataError;
use serde_json::Value;
use std::{fs, io::Read, path::Path};

/// The largest file of a tokenizer that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 28;

/// Opens the tokenizer of a folder: `tokenizer.json`, else a SentencePiece `.model`, else `vocab.txt`, else `vocab.json`
/// with `merges.txt`. The roles of its tokens are what `tokenizer_config.json`, `special_tokens_map.json` and
/// `config.json` say, in this order.
///
/// # Errors
/// If there is none of them, or it can't be read.
pub fn from_folder(folder: &Path) -> Result<Tokenizer, DataError> {
    let config = read_json(folder, "tokenizer_config.json")?.unwrap_or_default();
    let mut file = match read_text(folder, "tokenizer.json")? {
        Some(file) if super::TokenizerJson::is_kiln_trained(&file) => return Tokenizer::from_json(&file),
        Some(file) => serde_json::from_str(&file).map_err(|error| json_error(folder, "tokenizer.json", &error))?,
        None => convert_folder(folder, &config)?,
    };
    if !file.is_object() {
        return Err(tokenizer_error(format!("{}: tokenizer.json holds no object", folder.display())));
    }
    let map = read_json(folder, "special_tokens_map.json")?.unwrap_or_default();
    let model = read_json(folder, "config.json")?;
    let token = |id: u64| token_name(&file, id);
    let files = [config, map];
    let mut names = roles::roles_from_files(&files, model.as_ref(), token);
    if names.is_empty() {
        return Tokenizer::from_json(&file.to_string());
    }
    names.extend(roles::default_roles(&file, &files, &names));
    roles::write_roles(&mut file, &names);
    Tokenizer::from_json(&file.to_string())
}

/// Opens one file: a `tokenizer.json` (with what lies beside it if it is called so), a SentencePiece `.model` or a
/// `vocab.txt`.
///
/// # Errors
/// If it can't be read.
pub fn from_file(path: &Path) -> Result<Tokenizer, DataError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let bytes = read_bytes(folder, &name)?
        .ok_or_else(|| DataError::PathNotFound { path: path.display().to_string(), nearest: None })?;
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("model") => convert::parse_sentencepiece(&bytes)?.to_tokenizer(),
        Some("txt") => Tokenizer::from_json(
            &convert::from_vocab_txt(&decode_utf8(folder, &name, bytes)?, &Value::Null).to_string(),
        ),
        _ if name == "tokenizer.json" => from_folder(folder),
        _ => Tokenizer::from_json(&decode_utf8(folder, &name, bytes)?),
    }
}

fn convert_folder(folder: &Path, config: &Value) -> Result<Value, DataError> {
    for name in ["tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "sentencepiece.model"] {
        if let Some(bytes) = read_bytes(folder, name)? {
            return convert_sentencepiece(&bytes, config);
        }
    }
    if let Some(vocab) = read_text(folder, "vocab.txt")? {
        return Ok(convert::from_vocab_txt(&vocab, config));
    }
    match (read_text(folder, "vocab.json")?, read_text(folder, "merges.txt")?) {
        (Some(vocab), Some(merges)) => {
            let mut file = convert::from_vocab_and_merges(&vocab, &merges, config["add_prefix_space"] == true)?;
            if tokenizer_family(config) == "Roberta" {
                convert::add_template_by_names(&mut file, ["<s>", "</s>"]);
            }
            Ok(file)
        }
        _ => {
            let looked = "tokenizer.json, tokenizer.model, spiece.model, vocab.txt, or vocab.json with merges.txt";
            Err(tokenizer_error(format!("{}: no tokenizer in it: looked for {looked}", folder.display())))
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

pub(crate) fn read_json(folder: &Path, name: &str) -> Result<Option<Value>, DataError> {
    let parsed = |file: String| serde_json::from_str(&file).map_err(|error| json_error(folder, name, &error));
    read_text(folder, name)?.map(parsed).transpose()
}

pub(crate) fn read_text(folder: &Path, name: &str) -> Result<Option<String>, DataError> {
    read_bytes(folder, name)?.map(|bytes| decode_utf8(folder, name, bytes)).transpose()
}

fn decode_utf8(folder: &Path, name: &str, bytes: Vec<u8>) -> Result<String, DataError> {
    String::from_utf8(bytes).map_err(|error| DataError::InvalidUtf8 {
        path: folder.join(name).display().to_string(),
        offset: error.utf8_error().valid_up_to() as u64,
    })
}

fn read_bytes(folder: &Path, name: &str) -> Result<Option<Vec<u8>>, DataError> {
    let path = folder.join(name);
    let io = |error: std::io::Error| DataError::Io {
        path: path.display().to_string(),
        action: "read the file",
        reason: error.to_string(),
    };
    let file = match fs::File::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(io)?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(tokenizer_error(format!("{}: more than {MAX_FILE_BYTES} bytes", path.display())));
    }
    Ok(Some(bytes))
}

fn json_error(folder: &Path, name: &str, error: &serde_json::Error) -> DataError {
    tokenizer_error(format!("{}: {error}", folder.join(name).display()))
}
