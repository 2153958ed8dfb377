//! Which of a model's files are downloaded.

use crate::{files::WEIGHT_FILES, gguf::split_part_names};
use serde_json::Value;
use std::collections::BTreeSet;

/// Small files of a model, besides those of its tokenizer: configuration, chat template, modules of a sentence encoder.
const CONFIG_FILES: [&str; 11] = [
    "config.json",
    "generation_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "modules.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// Folder of the chat templates with names.
const CHAT_TEMPLATES_FOLDER: &str = "additional_chat_templates/";

/// Files of a tokenizer, besides SentencePiece's `.model` files.
const TOKENIZER_FILES: [&str; 7] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
];

/// Files that a tokenizer can be built from, besides `.model` files.
const VOCABULARY_FILES: [&str; 3] = ["tokenizer.json", "vocab.json", "vocab.txt"];

/// The end of the name of an index of weight files.
const INDEX_SUFFIX: &str = ".index.json";

/// The files that are not in a subfolder.
fn root_files(files: &[String]) -> impl Iterator<Item = &str> {
    files.iter().map(String::as_str).filter(|file| !file.contains('/'))
}

/// Returns the small files of a model, and the index of its weights.
pub(super) fn config_files(files: &[String]) -> Vec<&str> {
    let index = weights_index(files);
    let is_config = |file: &&str| {
        CONFIG_FILES.contains(file)
            || TOKENIZER_FILES.contains(file)
            || file.ends_with(".model")
            || index == Some(*file)
    };
    // Further chat templates are the only small files in a folder of their own; modules.json names the other folders.
    let templates = files.iter().map(String::as_str).filter(|file| file.starts_with(CHAT_TEMPLATES_FOLDER));
    root_files(files).filter(is_config).chain(templates).collect()
}

/// Returns the files of a tokenizer, and `config.json`, which has the roles of its tokens. Empty if there is no tokenizer.
pub(super) fn tokenizer_files(files: &[String]) -> Vec<&str> {
    if !root_files(files).any(|file| file.ends_with(".model") || VOCABULARY_FILES.contains(&file)) {
        return Vec::new();
    }
    let is_part = |file: &&str| file.ends_with(".model") || TOKENIZER_FILES.contains(file) || *file == "config.json";
    root_files(files).filter(is_part).collect()
}

/// The first of [`WEIGHT_FILES`] that exists: a file of weights, or an index of several.
fn find_weights_file(files: &[String]) -> Option<&'static str> {
    WEIGHT_FILES.into_iter().find(|name| files.iter().any(|file| file == name))
}

/// Returns the index of a model's weights, if they are in several files.
pub(super) fn weights_index(files: &[String]) -> Option<&'static str> {
    find_weights_file(files).filter(|name| name.ends_with(INDEX_SUFFIX))
}

/// Returns the weight files of a model: a single file, or those of `index`, the contents of the index.
pub(super) fn weight_files<'f>(files: &'f [String], index: Option<&Value>) -> Vec<&'f str> {
    let single = find_weights_file(files).filter(|name| !name.ends_with(INDEX_SUFFIX));
    let weight_map = index.and_then(|index| index.get("weight_map")).and_then(Value::as_object);
    let shards = weight_map.into_iter().flat_map(|map| map.values()).filter_map(Value::as_str);
    let names: BTreeSet<&str> = single.into_iter().chain(shards).collect();
    root_files(files).filter(|file| names.contains(file)).collect()
}

/// Returns the files of a GGUF model: the file itself, or all parts of the split model that it belongs to.
pub(super) fn gguf_files(file: &str) -> Vec<String> {
    split_part_names(file).unwrap_or_else(|| vec![file.into()])
}

/// Returns the files in the folders that `modules.json` lists: pooling, normalization and dense layers of a sentence
/// encoder.
pub(super) fn module_files<'f>(files: &'f [String], modules: &Value) -> Vec<&'f str> {
    let paths = modules.as_array().into_iter().flatten().filter_map(|module| module.get("path")?.as_str());
    let folders: Vec<String> = paths.filter(|path| !path.is_empty()).map(|path| format!("{path}/")).collect();
    let is_inside = |file: &&str| folders.iter().any(|folder| file.starts_with(folder));
    let is_needed = |file: &&str| [".json", ".safetensors", ".bin", ".txt"].iter().any(|suffix| file.ends_with(suffix));
    files.iter().map(String::as_str).filter(is_inside).filter(is_needed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_a_reader_opens_is_downloaded() {
        let names = ["added_tokens.json", "additional_chat_templates/tool_use.jinja", "config.json", "notes/a.json"];
        let names = [&names[..], &["sentence_roberta_config.json", "spiece.model", "README.md"]].concat();
        let files: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut found = config_files(&files);
        found.sort_unstable();
        let expected = ["added_tokens.json", "additional_chat_templates/tool_use.jinja", "config.json"];
        assert_eq!(found, [&expected[..], &["sentence_roberta_config.json", "spiece.model"]].concat());
    }
}
