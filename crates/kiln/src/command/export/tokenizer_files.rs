//! Tokenizer files of a model that did not come from a Hugging Face folder: a run, or a GGUF file.
//!
//! `tokenizer.json` is the whole tokenizer. `tokenizer_config.json` has the tokens by role, the class and the maximum length;
//! a run that started from a Hugging Face folder keeps the keys of that folder's file.

use super::{
    super::error::CliError,
    chat_templates::{DEFAULT_TEMPLATE, TOKENIZER_CONFIG_FILE, templates_of_json},
    model_files::gguf_file,
    source_files::{CHAT_TEMPLATE_FILE, CHAT_TEMPLATES_FOLDER, Files},
};
use kiln_data::{Tokenizer, tokenizer::TokenRoles};
use kiln_pretrained::{files::ModelBytes, gguf::GgufFile};
use kiln_train::pretrained::{ModelSource, SourceModel};
use serde_json::{Map, Value};

/// The class of `transformers` that reads any `tokenizer.json`.
const TOKENIZER_CLASS: &str = "PreTrainedTokenizerFast";
/// Prefix of the GGUF keys of named chat templates.
pub(super) const GGUF_TEMPLATE_PREFIX: &str = "tokenizer.chat_template.";

/// The tokenizer files of a run or a GGUF file.
pub(super) fn new_files(source: &ModelSource, weights: &SourceModel) -> Result<Files, CliError> {
    let tokenizer = source.tokenizer()?;
    let mut config = match source.tokenizer_config()? {
        Some(Value::Object(saved)) => saved,
        _ => Map::new(),
    };
    let mut files = Files::from([("tokenizer.json".to_owned(), tokenizer.to_json().as_bytes().to_vec())]);
    for (name, template) in config.remove("chat_template").iter().flat_map(templates_of_json) {
        files.extend(template_file(&name).map(|file| (file, template.into_bytes())));
    }
    let mut defaults = default_config(&tokenizer, weights);
    if let Some(file) = gguf_file(source) {
        files.extend(gguf_templates(file));
        // GGUF names BERT's [CLS] and [SEP] as the tokens that begin and end a text; Hugging Face does not.
        if file.tokenizer_metadata().is_some_and(|tokenizer| tokenizer.model == "bert") {
            defaults.retain(|key, _| key != "bos_token" && key != "eos_token");
        }
    }
    for (key, value) in defaults {
        config.entry(key).or_insert(value);
    }
    files.insert(TOKENIZER_CONFIG_FILE.into(), format!("{:#}\n", Value::Object(config)).into_bytes());
    Ok(files)
}

/// The settings that follow from tokenizer and model.
fn default_config(tokenizer: &Tokenizer, weights: &SourceModel) -> Map<String, Value> {
    let TokenRoles { bos, eos, pad, mask, unk, sep, cls } = tokenizer.token_roles();
    let roles = [("bos", bos), ("eos", eos), ("pad", pad), ("mask", mask), ("unk", unk), ("sep", sep), ("cls", cls)];
    let mut config = Map::new();
    for (role, id) in roles {
        config.extend(id.map(|id| (format!("{role}_token"), tokenizer.id_to_token(id).into())));
    }
    config.insert("tokenizer_class".into(), TOKENIZER_CLASS.into());
    config.insert("clean_up_tokenization_spaces".into(), false.into());
    let stated = weights.config_json.as_ref().and_then(|config| config["max_position_embeddings"].as_u64());
    let learned = weights.model.config().position.max_positions().and_then(|count| u64::try_from(count).ok());
    config.extend(stated.or(learned).map(|length| ("model_max_length".into(), length.into())));
    config
}

/// The file of a chat template by its name; `None` for a name that cannot be that of a file.
fn template_file(name: &str) -> Option<String> {
    match name {
        DEFAULT_TEMPLATE => Some(CHAT_TEMPLATE_FILE.into()),
        name => is_plain_name(name).then(|| format!("{CHAT_TEMPLATES_FOLDER}/{name}.jinja")),
    }
}

/// The chat templates of a GGUF file, unchanged.
fn gguf_templates<B: ModelBytes>(file: &GgufFile<B>) -> Files {
    let default = file.tokenizer_metadata().and_then(|tokenizer| tokenizer.chat_template.as_ref());
    let default = default.map(|template| (CHAT_TEMPLATE_FILE.to_owned(), template.clone().into_bytes()));
    let named = file.metadata().0.iter().filter_map(|(key, value)| {
        let name = key.strip_prefix(GGUF_TEMPLATE_PREFIX)?;
        Some((template_file(name)?, value.as_str()?.as_bytes().to_vec()))
    });
    default.into_iter().chain(named).collect()
}

/// Whether a name from a file can be a file name on every system.
fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// The settings of a model without settings, which is sampled from its own distribution. A file without these keys would mean
/// greedy decoding.
fn sampling_defaults() -> Map<String, Value> {
    [("do_sample".into(), true.into()), ("top_k".into(), 0.into())].into_iter().collect()
}

/// The contents of `generation_config.json`: `given`, and for a GGUF file the ids of the tokens that begin, end and pad a text.
pub(super) fn generation_config(source: &ModelSource, given: Option<&Value>) -> Option<Value> {
    let Some(file) = gguf_file(source) else { return given.cloned() };
    // An encoder generates nothing.
    if given.is_none() && file.metadata().string("general.architecture") == Ok(Some("bert")) {
        return None;
    }
    let mut config = given.and_then(Value::as_object).cloned().unwrap_or_else(sampling_defaults);
    let stops = match &file.stop_token_ids()[..] {
        [] => None,
        [one] => Some(Value::from(*one)),
        several => Some(Value::from(several)),
    };
    let roles = file.tokenizer_metadata().map(|tokenizer| &tokenizer.roles);
    let [bos, pad] =
        [roles.and_then(|roles| roles.bos), roles.and_then(|roles| roles.pad)].map(|id| id.map(Value::from));
    for (key, value) in [("bos_token_id", bos), ("eos_token_id", stops), ("pad_token_id", pad)] {
        if let Some(value) = value {
            config.entry(key).or_insert(value);
        }
    }
    Some(Value::Object(config))
}
