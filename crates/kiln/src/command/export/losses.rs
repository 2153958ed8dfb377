//! What an export does not keep, by name.

use super::{
    super::{error::CliError, output::print_message},
    chat_templates::TOKENIZER_CONFIG_FILE,
    export_error,
    model_files::{gguf_file, hf_folder},
    source_files::{CHAT_TEMPLATES_FOLDER, Files, unexported_names},
};
use kiln_models::hf::sentence_transformers::MODULES_FILE;
use kiln_pretrained::{files::ModelBytes, gguf::GgufFile};
use kiln_train::pretrained::ModelSource;
use serde_json::Value;

/// Prints what is lost of a model, on one line.
pub(super) fn report(source: &ModelSource, losses: &[String]) {
    if !losses.is_empty() {
        print_message(&format!("not exported from {}: {}", source.base_path().display(), losses.join(", ")));
    }
}

/// What a Hugging Face folder with these files does not keep: other files of the source folder, or metadata of a GGUF file.
pub(super) fn of_folder(source: &ModelSource, files: &Files) -> Result<Vec<String>, CliError> {
    match (hf_folder(source), gguf_file(source)) {
        (Some(folder), _) => unexported_names(folder, files),
        (None, Some(file)) => Ok(unexported_keys(file)),
        (None, None) => Ok(Vec::new()),
    }
}

/// Files whose contents a GGUF file has a place for, and those that only describe other files of this list.
const STORED_FILES: [&str; 15] = [
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
    "chat_template.jinja",
    "chat_template.json",
    CHAT_TEMPLATES_FOLDER,
    MODULES_FILE,
];

/// What a GGUF file does not keep of a model with these files: settings of the tokenizer, prompts and lengths of a sentence
/// encoder, other files. `context_length` is that of the file.
pub(super) fn of_gguf(source: &ModelSource, files: &Files, context_length: usize) -> Result<Vec<String>, CliError> {
    let mut lost = lost_settings(files, context_length)?;
    if let Some(folder) = hf_folder(source) {
        let modules = files.keys().filter_map(|file| file.split_once('/')).map(|(folder, _)| folder);
        let stored: Vec<&str> = STORED_FILES.into_iter().chain(modules).collect();
        lost.extend(
            unexported_names(folder, &Files::new())?.into_iter().filter(|name| !stored.contains(&name.as_str())),
        );
    }
    Ok(lost)
}

/// Settings of a tokenizer that GGUF has no key for: sides other than the right one, a maximum length below the context length,
/// and spaces that an added token removes around itself.
fn lost_settings(files: &Files, context_length: usize) -> Result<Vec<String>, CliError> {
    let config = read_json(files, TOKENIZER_CONFIG_FILE)?;
    let tokenizer = read_json(files, "tokenizer.json")?;
    let mut lost = Vec::new();
    for key in ["padding_side", "truncation_side"].into_iter().filter(|key| config[*key] == "left") {
        lost.push(format!("{key} = left"));
    }
    if let Some(length) = config["model_max_length"].as_u64().filter(|length| *length < context_length as u64) {
        lost.push(format!("model_max_length = {length}"));
    }
    for token in tokenizer["added_tokens"].as_array().into_iter().flatten() {
        for key in ["lstrip", "rstrip", "single_word"].into_iter().filter(|key| token[*key] == true) {
            lost.push(format!("{key} of {}", token["content"]));
        }
    }
    Ok(lost)
}

/// A file as JSON; null if there is none.
fn read_json(files: &Files, name: &str) -> Result<Value, CliError> {
    let Some(bytes) = files.get(name) else { return Ok(Value::Null) };
    serde_json::from_slice(bytes).map_err(|error| export_error(format!("{name}: {error}")))
}

/// Keys of tokens that a Hugging Face folder has no place for begin and end like this.
const TOKEN_ID_AFFIXES: (&str, &str) = ("tokenizer.ggml.", "_token_id");
/// Keys of a GGUF file that describe the file itself.
const FILE_KEYS: [&str; 6] = [
    "general.architecture",
    "general.name",
    "general.type",
    "general.file_type",
    "general.quantization_version",
    "general.alignment",
];

/// The metadata of a GGUF file that a Hugging Face folder has no place for: descriptions, and tokens with a role that
/// tokenizers do not have.
pub(super) fn unexported_keys<B: ModelBytes>(file: &GgufFile<B>) -> Vec<String> {
    let other_ids = file.tokenizer_metadata().map(|tokenizer| &tokenizer.other_token_ids);
    let is_unexported = |key: &&String| {
        let (prefix, suffix) = TOKEN_ID_AFFIXES;
        let role = key.strip_prefix(prefix).and_then(|key| key.strip_suffix(suffix));
        let is_other_role = role
            .is_some_and(|role| !["eot", "eom"].contains(&role) && other_ids.is_some_and(|ids| ids.contains_key(role)));
        let is_description =
            key.starts_with("general.") && !key.starts_with("general.sampling.") && !FILE_KEYS.contains(&key.as_str());
        is_description || is_other_role
    };
    file.metadata().0.keys().filter(is_unexported).cloned().collect()
}
