//! Which of a model's files are needed.

use crate::files::WEIGHT_FILES;
use serde_json::Value;
use std::collections::BTreeSet;

/// Small files that say what a model is and how its text is written.
const CONFIG_FILES: [&str; 12] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "modules.json",
    "sentence_bert_config.json",
];

/// Of these, what a tokenizer is made of, with `.model` files.
const TOKENIZER_FILES: [&str; 7] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
];

/// How the index of weights in several files ends.
const INDEX_SUFFIX: &str = ".index.json";

/// The small files among those of a model, and the indices that say which weights are needed.
pub(super) fn config_files(files: &[String]) -> Vec<&str> {
    let root = files.iter().map(String::as_str).filter(|file| !file.contains('/'));
    let index = |file: &str| weights_index(files).is_some_and(|index| index == file);
    root.filter(|file| CONFIG_FILES.contains(file) || file.ends_with(".model") || index(file)).collect()
}

/// The files of the tokenizer among those of a model, with its configuration, which says what its tokens are for. None
/// if it has no tokenizer.
pub(super) fn tokenizer_files(files: &[String]) -> Vec<&str> {
    let root = files.iter().map(String::as_str).filter(|file| !file.contains('/'));
    let words = |file: &str| file.ends_with(".model") || TOKENIZER_FILES.contains(&file);
    let found: Vec<&str> = root.filter(|file| words(file) || *file == "config.json").collect();
    let whole = |file: &&str| file.ends_with(".model") || ["tokenizer.json", "vocab.json", "vocab.txt"].contains(file);
    if found.iter().any(whole) { found } else { Vec::new() }
}

/// The first layout of weights that is there: one file, or an index of several.
fn find_weights_file(files: &[String]) -> Option<&'static str> {
    WEIGHT_FILES.into_iter().find(|name| files.iter().any(|file| file == name))
}

/// The index of a model's weights, if they are in several files.
pub(super) fn weights_index(files: &[String]) -> Option<&'static str> {
    find_weights_file(files).filter(|name| name.ends_with(INDEX_SUFFIX))
}

/// The weights among the files of a model: one file, or those of the index.
pub(super) fn weight_files<'f>(files: &'f [String], index: Option<&Value>) -> Vec<&'f str> {
    let one = find_weights_file(files).filter(|name| !name.ends_with(INDEX_SUFFIX));
    let map = index.and_then(|index| index.get("weight_map")).and_then(Value::as_object);
    let several = map.into_iter().flat_map(|map| map.values()).filter_map(Value::as_str);
    let named: BTreeSet<&str> = one.into_iter().chain(several).collect();
    let root = files.iter().map(String::as_str).filter(|file| !file.contains('/'));
    root.filter(|file| named.contains(file)).collect()
}

/// The files in the folders that `modules.json` lists (pooling, normalisation, dense layers of a sentence encoder).
pub(super) fn module_files<'f>(files: &'f [String], modules: &Value) -> Vec<&'f str> {
    let folders = modules.as_array().into_iter().flatten().filter_map(|module| module.get("path")?.as_str());
    let folders: Vec<String> = folders.filter(|path| !path.is_empty()).map(|path| format!("{path}/")).collect();
    let below = |file: &&str| folders.iter().any(|folder| file.starts_with(folder));
    let read = |file: &&str| [".json", ".safetensors", ".txt"].iter().any(|ending| file.ends_with(ending));
    files.iter().map(String::as_str).filter(below).filter(read).collect()
}
