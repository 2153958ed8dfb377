//! Files of a Hugging Face folder that an export copies: those of the tokenizer and of a sentence encoder.
//!
//! The copies are byte-identical, so that other programs see the same tokenizer, special tokens, padding side, maximum length,
//! chat templates, prompts and pooling as in the original folder.

use super::{super::error::CliError, export_error};
use kiln_models::hf::sentence_transformers::MODULES_FILE;
use kiln_pretrained::files::{CONFIG_FILE, GENERATION_CONFIG_FILE, is_weight_file};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Component, Path},
};

/// Contents of files, by their paths below the folder. The separator is `/`.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// Files of a tokenizer, its chat template and a sentence encoder's settings.
pub(super) const COPIED_FILES: [&str; 20] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "sentencepiece.model",
    CHAT_TEMPLATE_FILE,
    "chat_template.json",
    MODULES_FILE,
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// The chat template, if it is not in `tokenizer_config.json`.
pub(super) const CHAT_TEMPLATE_FILE: &str = "chat_template.jinja";
/// Folder of further chat templates, by name.
pub(super) const CHAT_TEMPLATES_FOLDER: &str = "additional_chat_templates";

/// Reads the copied files of a folder: [`COPIED_FILES`], the chat templates, and the folders that `modules.json` lists.
///
/// # Errors
/// If a file cannot be read, or `modules.json` lists a path outside the folder.
pub(super) fn read_copied_files(folder: &Path) -> Result<Files, CliError> {
    let mut files = Files::new();
    for name in COPIED_FILES {
        if let Some(bytes) = read_optional(&folder.join(name))? {
            files.insert(name.into(), bytes);
        }
    }
    let modules = files.get(MODULES_FILE).map(|bytes| module_folders(folder, bytes)).transpose()?;
    for subfolder in modules.unwrap_or_default().into_iter().chain([CHAT_TEMPLATES_FOLDER.into()]) {
        files.extend(read_subfolder(folder, &subfolder)?);
    }
    Ok(files)
}

/// The contents of a file; `None` if there is none.
pub(super) fn read_optional(file: &Path) -> Result<Option<Vec<u8>>, CliError> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(export_error(format!("cannot read {}: {error}", file.display()))),
    }
}

/// The folders that `modules.json` lists, without the model's folder itself.
fn module_folders(folder: &Path, modules: &[u8]) -> Result<Vec<String>, CliError> {
    let file = folder.join(MODULES_FILE);
    let invalid = |reason: String| export_error(format!("{}: {reason}", file.display()));
    let modules: Value = serde_json::from_slice(modules).map_err(|error| invalid(error.to_string()))?;
    let paths = modules.as_array().into_iter().flatten().filter_map(|module| module["path"].as_str());
    let paths: Vec<String> = paths.filter(|path| !path.is_empty()).map(str::to_owned).collect();
    let is_inside = |path: &String| Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    match paths.iter().find(|path| !is_inside(path)) {
        Some(path) => Err(invalid(format!("expected a folder inside the model's folder, found {path:?}"))),
        None => Ok(paths),
    }
}

/// The files of a subfolder, without those of its own subfolders. Empty if there is no such subfolder.
fn read_subfolder(folder: &Path, name: &str) -> Result<Files, CliError> {
    let mut files = Files::new();
    for file in entry_names(&folder.join(name))? {
        let path = folder.join(name).join(&file);
        if path.is_file() {
            files.extend(read_optional(&path)?.map(|bytes| (format!("{name}/{file}"), bytes)));
        }
    }
    Ok(files)
}

/// The names in a folder, sorted. Empty if there is no such folder. Names that are not Unicode are shown with �.
fn entry_names(folder: &Path) -> Result<Vec<String>, CliError> {
    let unreadable = |error: io::Error| export_error(format!("cannot read {}: {error}", folder.display()));
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<io::Result<Vec<String>>>().map_err(unreadable)?;
    names.sort();
    Ok(names)
}

/// The names in a source folder that have no counterpart in the export. Not counted: hidden files, and files that hold the
/// configuration or the weights in any format.
pub(super) fn unexported_names(source: &Path, files: &Files) -> Result<Vec<String>, CliError> {
    let is_exported = |name: &String| {
        let prefix = format!("{name}/");
        name.starts_with('.')
            || name == CONFIG_FILE
            || name == GENERATION_CONFIG_FILE
            || is_weight_file(name)
            || files.keys().any(|file| file == name || file.starts_with(&prefix))
    };
    Ok(entry_names(source)?.into_iter().filter(|name| !is_exported(name)).collect())
}
