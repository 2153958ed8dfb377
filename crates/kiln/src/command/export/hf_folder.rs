//! Export as a Hugging Face folder.
//!
//! The folder has `config.json`, the weights as safetensors (in several files with an index if they exceed
//! `--max-shard-size`), `tokenizer.json`, `tokenizer_config.json` and, if the model has one, `chat_template.jinja`. A model that
//! came from a Hugging Face folder keeps the unknown keys of its `config.json`.

use super::{super::error::CliError, Args, export_error};
use kiln_data::{Tokenizer, chat::ChatTemplate, tokenizer::TokenRoles};
use kiln_models::{ModelTensors, tensors::WeightDtype};
use kiln_pretrained::files::{CONFIG_FILE, SaveOptions, save};
use kiln_train::{
    pretrained::{ModelSource, SourceModel},
    run_folder::write_atomic,
};
use serde_json::{Map, Value};
use std::{fmt::Display, path::Path};

/// Default of `--max-shard-size`, in MB.
const DEFAULT_SHARD_MEGABYTES: u64 = 5000;

/// Writes the folder and returns the family of the model.
///
/// Fails before it writes anything if no model family has the architecture.
pub(super) fn write_folder(args: &Args, source: &ModelSource, weights: &SourceModel) -> Result<&'static str, CliError> {
    let config = weights.model.config();
    let tokenizer = source.tokenizer()?;
    let chat = source.chat_template()?;
    let shard_bytes = args.max_shard_size.unwrap_or(DEFAULT_SHARD_MEGABYTES).saturating_mul(1_000_000);
    let options = SaveOptions {
        config_json: weights.config_json.as_ref(),
        generation_config: weights.generation_config.as_ref(),
        max_shard_size: usize::try_from(shard_bytes).unwrap_or(usize::MAX),
        dtype: args.dtype.map_or(WeightDtype::F32, WeightDtype::from),
    };
    let family = save(&args.out, config, &ModelTensors::new(&weights.model), options).map_err(export_error)?;
    if weights.family.is_none() {
        write_special_token_ids(&args.out.join(CONFIG_FILE), &tokenizer, weights.model.encoder().is_some())?;
    }
    write_atomic(&args.out.join("tokenizer.json"), tokenizer.to_json().as_bytes())?;
    let tokenizer_config = tokenizer_config(&tokenizer, chat.as_ref());
    write_atomic(&args.out.join("tokenizer_config.json"), format!("{tokenizer_config:#}\n").as_bytes())?;
    if let Some(chat) = chat {
        write_atomic(&args.out.join("chat_template.jinja"), chat.template().as_bytes())?;
    }
    Ok(family.name)
}

/// `tokenizer_config.json`: the special tokens by role, and those of the chat template.
fn tokenizer_config(tokenizer: &Tokenizer, chat: Option<&ChatTemplate>) -> Value {
    let TokenRoles { bos, eos, pad, mask, unk, sep, cls } = tokenizer.token_roles();
    let roles = [("bos", bos), ("eos", eos), ("pad", pad), ("mask", mask), ("unk", unk), ("sep", sep), ("cls", cls)];
    let mut config = Map::new();
    for (role, id) in roles {
        config.extend(id.map(|id| (format!("{role}_token"), tokenizer.id_to_token(id).into())));
    }
    config.extend(chat.iter().flat_map(|chat| chat.special_tokens().clone()));
    Value::Object(config)
}

/// Adds the special token ids to the `config.json` of a model trained by Kiln.
///
/// Other programs read bos, eos and pad from there. A model from a Hugging Face folder has them already.
fn write_special_token_ids(path: &Path, tokenizer: &Tokenizer, has_encoder: bool) -> Result<(), CliError> {
    let read_error = |error: &dyn Display| export_error(format!("cannot read {}: {error}", path.display()));
    let text = std::fs::read(path).map_err(|error| read_error(&error))?;
    let mut config: Value = serde_json::from_slice(&text).map_err(|error| read_error(&error))?;
    let TokenRoles { bos, eos, pad, .. } = tokenizer.token_roles();
    // In Kiln's encoder-decoders the decoder starts with bos.
    let decoder_start = bos.filter(|_| has_encoder);
    for (role, id) in [("bos", bos), ("eos", eos), ("pad", pad), ("decoder_start", decoder_start)] {
        if let Some(id) = id {
            config[format!("{role}_token_id")] = id.into();
        }
    }
    Ok(write_atomic(path, format!("{config:#}\n").as_bytes())?)
}
