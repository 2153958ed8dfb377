//! A folder as Hugging Face lays it out.

use super::{super::error::CliError, Args};
use kiln_data::{Tokenizer, tokenizer::TokenRoles};
use kiln_models::{ModelTensors, tensors::WeightDtype};
use kiln_pretrained::files::{CONFIG_FILE, SaveOptions, save};
use kiln_train::{
    pretrained::{ModelSource, PretrainedModel},
    run_folder::write_atomic,
};
use serde_json::{Map, Value};
use std::path::Path;

/// Writes it: the name of its family.
pub(super) fn write_folder(
    args: &Args,
    place: &ModelSource,
    weights: &PretrainedModel,
) -> Result<&'static str, CliError> {
    let (config, tokenizer, chat) = (weights.model.config(), place.tokenizer()?, place.chat()?);
    let layout = SaveOptions {
        config_json: weights.config_json.as_ref(),
        generation_config: weights.generation_config.as_ref(),
        max_shard_size: usize::try_from(args.max_shard_size.unwrap_or(5000).saturating_mul(1_000_000))
            .unwrap_or(usize::MAX),
        dtype: args.dtype.map_or(WeightDtype::F32, WeightDtype::from),
    };
    let family = save(&args.out, config, &ModelTensors::new(&weights.model), layout)
        .map_err(|e| CliError::failed("export", e.to_string()))?;
    if weights.family.is_none() {
        write_special_token_ids(&args.out.join(CONFIG_FILE), &tokenizer, weights.model.encoder().is_some())?;
    }
    write_atomic(&args.out.join("tokenizer.json"), tokenizer.to_json().as_bytes())?;
    let TokenRoles { bos, eos, pad, mask, unk, sep, cls } = tokenizer.token_roles();
    let roles = [("bos", bos), ("eos", eos), ("pad", pad), ("mask", mask), ("unk", unk), ("sep", sep), ("cls", cls)];
    let named =
        roles.into_iter().filter_map(|(role, id)| Some((format!("{role}_token"), tokenizer.id_to_token(id?).into())));
    let mut said: Map<String, Value> = named.collect();
    said.extend(chat.iter().flat_map(|chat| chat.special_tokens().clone()));
    let config = Value::Object(said);
    write_atomic(&args.out.join("tokenizer_config.json"), format!("{config:#}\n").as_bytes())?;
    if let Some(chat) = chat {
        write_atomic(&args.out.join("chat_template.jinja"), chat.template().as_bytes())?;
    }
    Ok(family.name)
}

/// Writes into a run's `config.json` which tokens begin, end and fill a text.
fn write_special_token_ids(path: &Path, tokenizer: &Tokenizer, begins: bool) -> Result<(), CliError> {
    let unread =
        |error: &dyn std::fmt::Display| CliError::failed("export", format!("cannot read {}: {error}", path.display()));
    let text = std::fs::read(path).map_err(|error| unread(&error))?;
    let mut config: Value = serde_json::from_slice(&text).map_err(|error| unread(&error))?;
    let TokenRoles { bos, eos, pad, .. } = tokenizer.token_roles();
    // The decoder of an encoder–decoder of Kiln's begins with bos.
    let start = bos.filter(|_| begins);
    for (role, id) in [("bos", bos), ("eos", eos), ("pad", pad), ("decoder_start", start)] {
        if let Some(id) = id {
            config[format!("{role}_token_id")] = id.into();
        }
    }
    Ok(write_atomic(path, format!("{config:#}\n").as_bytes())?)
}
