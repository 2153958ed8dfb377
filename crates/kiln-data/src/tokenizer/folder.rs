//! The tokenizer of a folder as Hugging Face lays it out, or of one file.

use super::{Tokenizer, convert, roles, train::broken};
use crate::DataError;
use serde_json::Value;
use std::{fs, io::Read, path::Path};

/// The largest file of a tokenizer that is read, in bytes.
const LARGEST: u64 = 1 << 28;

/// Opens the tokenizer of a folder: `tokenizer.json`, else a SentencePiece `.model`, else `vocab.txt`, else `vocab.json`
/// with `merges.txt`. The roles of its tokens are what `tokenizer_config.json`, `special_tokens_map.json` and
/// `config.json` say, in this order.
///
/// # Errors
/// If there is none of them, or it can't be read.
pub fn open(folder: &Path) -> Result<Tokenizer, DataError> {
    let config = json(folder, "tokenizer_config.json")?.unwrap_or_default();
    let mut file = match text(folder, "tokenizer.json")? {
        Some(file) if super::Saved::is_ours(&file) => return Tokenizer::from_json(&file),
        Some(file) => serde_json::from_str(&file).map_err(|error| wrong(folder, "tokenizer.json", &error))?,
        None => converted(folder, &config)?,
    };
    if !file.is_object() {
        return Err(broken(format!("{}: tokenizer.json holds no object", folder.display())));
    }
    let map = json(folder, "special_tokens_map.json")?.unwrap_or_default();
    let model = json(folder, "config.json")?;
    let token = |id: u64| token(&file, id);
    let files = [config, map];
    let mut names = roles::named(&files, model.as_ref(), token);
    if names.is_empty() {
        return Tokenizer::from_json(&file.to_string());
    }
    names.extend(roles::usual(&file, &files, &names));
    roles::mark(&mut file, &names);
    Tokenizer::from_json(&file.to_string())
}

/// Opens one file: a `tokenizer.json` (with what lies beside it if it is called so), a SentencePiece `.model` or a
/// `vocab.txt`.
///
/// # Errors
/// If it can't be read.
pub fn open_file(path: &Path) -> Result<Tokenizer, DataError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let bytes =
        bytes(folder, &name)?.ok_or_else(|| DataError::Missing { path: path.display().to_string(), nearest: None })?;
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("model") => convert::sentencepiece(&bytes)?.tokenizer(),
        Some("txt") => {
            Tokenizer::from_json(&convert::vocab_txt(&utf8(folder, &name, bytes)?, &Value::Null).to_string())
        }
        _ if name == "tokenizer.json" => open(folder),
        _ => Tokenizer::from_json(&utf8(folder, &name, bytes)?),
    }
}

fn converted(folder: &Path, config: &Value) -> Result<Value, DataError> {
    for name in ["tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "sentencepiece.model"] {
        if let Some(bytes) = bytes(folder, name)? {
            return pieces(&bytes, config);
        }
    }
    if let Some(vocab) = text(folder, "vocab.txt")? {
        return Ok(convert::vocab_txt(&vocab, config));
    }
    match (text(folder, "vocab.json")?, text(folder, "merges.txt")?) {
        (Some(vocab), Some(merges)) => {
            let mut file = convert::vocab_and_merges(&vocab, &merges, config["add_prefix_space"] == true)?;
            if class(config) == "Roberta" {
                convert::around(&mut file, ["<s>", "</s>"]);
            }
            Ok(file)
        }
        _ => {
            let looked = "tokenizer.json, tokenizer.model, spiece.model, vocab.txt, or vocab.json with merges.txt";
            Err(broken(format!("{}: no tokenizer in it: looked for {looked}", folder.display())))
        }
    }
}

fn pieces(bytes: &[u8], config: &Value) -> Result<Value, DataError> {
    let mut found = convert::sentencepiece(bytes)?;
    let (bos, eos) = match class(config).as_str() {
        "Llama" | "CodeLlama" | "Gemma" => (true, false),
        "T5" | "MT5" => (false, true),
        _ => (false, false),
    };
    found.add_bos = Some(config["add_bos_token"].as_bool().unwrap_or(bos));
    found.add_eos = Some(config["add_eos_token"].as_bool().unwrap_or(eos));
    serde_json::from_str(found.tokenizer()?.to_json()).map_err(broken)
}

/// The family in the class's name, such as `Llama` of `LlamaTokenizerFast`.
fn class(config: &Value) -> String {
    let class = config["tokenizer_class"].as_str().unwrap_or_default();
    class.split("Tokenizer").next().unwrap_or_default().to_string()
}

/// The name of a token by its id.
fn token(file: &Value, id: u64) -> Option<String> {
    let added = file["added_tokens"].as_array().into_iter().flatten();
    let added = added.into_iter().find(|token| token["id"] == id).and_then(|token| token["content"].as_str());
    let name = added.or_else(|| match &file["model"]["vocab"] {
        Value::Object(vocab) => vocab.iter().find(|(_, found)| **found == id).map(|(name, _)| name.as_str()),
        pieces => pieces[usize::try_from(id).ok()?][0].as_str(),
    });
    name.map(str::to_string)
}

pub(crate) fn json(folder: &Path, name: &str) -> Result<Option<Value>, DataError> {
    let parsed = |file: String| serde_json::from_str(&file).map_err(|error| wrong(folder, name, &error));
    text(folder, name)?.map(parsed).transpose()
}

pub(crate) fn text(folder: &Path, name: &str) -> Result<Option<String>, DataError> {
    bytes(folder, name)?.map(|bytes| utf8(folder, name, bytes)).transpose()
}

fn utf8(folder: &Path, name: &str, bytes: Vec<u8>) -> Result<String, DataError> {
    String::from_utf8(bytes).map_err(|error| DataError::NotText {
        path: folder.join(name).display().to_string(),
        offset: error.utf8_error().valid_up_to() as u64,
    })
}

fn bytes(folder: &Path, name: &str) -> Result<Option<Vec<u8>>, DataError> {
    let path = folder.join(name);
    let io = |error: std::io::Error| DataError::Io {
        path: path.display().to_string(),
        action: "read the file",
        what: error.to_string(),
    };
    let file = match fs::File::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(io)?,
    };
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > LARGEST {
        return Err(broken(format!("{}: more than {LARGEST} bytes", path.display())));
    }
    Ok(Some(bytes))
}

fn wrong(folder: &Path, name: &str, error: &serde_json::Error) -> DataError {
    broken(format!("{}: {error}", folder.join(name).display()))
}
