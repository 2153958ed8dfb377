//! Which of a model's files are needed.

use serde_json::Value;
use std::collections::BTreeSet;

/// Small files that say what a model is and how its text is written.
const SMALL: [&str; 14] = [
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
    "chat_template.json",
    "modules.json",
    "sentence_bert_config.json",
    "adapter_config.json",
];

/// How the index of weights in several files ends.
const INDEX: &str = ".index.json";

/// The small files among those of a model, and the indices that say which weights are needed.
pub(super) fn small(files: &[String]) -> Vec<&str> {
    let root = files.iter().map(String::as_str).filter(|file| !file.contains('/'));
    let index = |file: &str| weights_index(files).is_some_and(|index| index == file);
    root.filter(|file| SMALL.contains(file) || file.ends_with(".model") || index(file)).collect()
}

/// The index of a model's weights, if they are in several files.
pub(super) fn weights_index(files: &[String]) -> Option<&str> {
    let has = |name: &str| files.iter().any(|file| file == name);
    if has("model.safetensors") {
        return None;
    }
    let safe = files.iter().any(|file| !file.contains('/') && file.ends_with(".safetensors"));
    let stem = if safe { "model.safetensors" } else { "pytorch_model.bin" };
    files.iter().find(|file| file.strip_suffix(INDEX) == Some(stem)).map(String::as_str)
}

/// The weights among the files of a model: those of the index, else one file, else all that look like weights;
/// safetensors before pickles.
pub(super) fn weights<'f>(files: &'f [String], index: Option<&Value>) -> Vec<&'f str> {
    let root: Vec<&str> = files.iter().map(String::as_str).filter(|file| !file.contains('/')).collect();
    if let Some(map) = index.and_then(|index| index.get("weight_map")).and_then(Value::as_object) {
        let named: BTreeSet<&str> = map.values().filter_map(Value::as_str).collect();
        return root.into_iter().filter(|file| named.contains(file)).collect();
    }
    for only in ["model.safetensors", "adapter_model.safetensors"] {
        if root.contains(&only) {
            return vec![only];
        }
    }
    let ending = |ending: &str| root.iter().copied().filter(|file| file.ends_with(ending)).collect::<Vec<_>>();
    let safe = ending(".safetensors");
    if !safe.is_empty() {
        return safe;
    }
    if root.contains(&"pytorch_model.bin") {
        return vec!["pytorch_model.bin"];
    }
    ending(".bin").into_iter().filter(|file| file.starts_with("pytorch_model")).collect()
}

/// The files in the folders that `modules.json` lists (pooling, normalisation, dense layers of a sentence encoder).
pub(super) fn modules<'f>(files: &'f [String], modules: &Value) -> Vec<&'f str> {
    let folders = modules.as_array().into_iter().flatten().filter_map(|module| module.get("path")?.as_str());
    let folders: Vec<String> = folders.filter(|path| !path.is_empty()).map(|path| format!("{path}/")).collect();
    let below = |file: &&str| folders.iter().any(|folder| file.starts_with(folder));
    let read = |file: &&str| [".json", ".safetensors", ".txt"].iter().any(|ending| file.ends_with(ending));
    files.iter().map(String::as_str).filter(below).filter(read).collect()
}
