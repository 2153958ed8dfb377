//! A folder as Hugging Face lays it out.

use super::{super::trouble::Trouble, Args};
use kiln_data::{Tokenizer, tokenizer::Roles};
use kiln_models::{
    Reader,
    files::{CONFIG, Layout, save},
    tensors::Numbers,
};
use kiln_train::{
    folder::write_atomic,
    pretrained::{Place, Weights},
};
use serde_json::{Map, Value};
use std::path::Path;

/// Writes it: the name of its family.
pub(super) fn write(args: &Args, place: &Place, weights: &Weights) -> Result<&'static str, Trouble> {
    let (config, tokenizer, chat) = (weights.model.config(), place.tokenizer()?, place.chat()?);
    let layout = Layout {
        config_json: weights.config_json.as_ref(),
        generation: weights.generation.as_ref(),
        shard: usize::try_from(args.shard.unwrap_or(5000).saturating_mul(1_000_000)).unwrap_or(usize::MAX),
        numbers: args.numbers.map_or(Numbers::F32, Numbers::from),
    };
    let family = save(&args.out, config, &Reader::of(&weights.model), layout)
        .map_err(|e| Trouble::failed("export", e.to_string()))?;
    if weights.family.is_none() {
        say_roles(&args.out.join(CONFIG), &tokenizer, weights.model.encoder().is_some())?;
    }
    write_atomic(&args.out.join("tokenizer.json"), tokenizer.to_json().as_bytes())?;
    let Roles { bos, eos, pad, mask, unk, sep, cls } = tokenizer.roles();
    let roles = [("bos", bos), ("eos", eos), ("pad", pad), ("mask", mask), ("unk", unk), ("sep", sep), ("cls", cls)];
    let named = roles.into_iter().filter_map(|(role, id)| Some((format!("{role}_token"), tokenizer.token(id?).into())));
    let mut said: Map<String, Value> = named.collect();
    said.extend(chat.iter().flat_map(|chat| chat.tokens().clone()));
    let config = Value::Object(said);
    write_atomic(&args.out.join("tokenizer_config.json"), format!("{config:#}\n").as_bytes())?;
    if let Some(chat) = chat {
        write_atomic(&args.out.join("chat_template.jinja"), chat.template().as_bytes())?;
    }
    Ok(family.name)
}

/// Writes into a run's `config.json` which tokens begin, end and fill a text.
fn say_roles(path: &Path, tokenizer: &Tokenizer, begins: bool) -> Result<(), Trouble> {
    let unread =
        |error: &dyn std::fmt::Display| Trouble::failed("export", format!("cannot read {}: {error}", path.display()));
    let text = std::fs::read(path).map_err(|error| unread(&error))?;
    let mut config: Value = serde_json::from_slice(&text).map_err(|error| unread(&error))?;
    let Roles { bos, eos, pad, .. } = tokenizer.roles();
    // The decoder of an encoder–decoder of Kiln's begins with bos.
    let start = bos.filter(|_| begins);
    for (role, id) in [("bos", bos), ("eos", eos), ("pad", pad), ("decoder_start", start)] {
        if let Some(id) = id {
            config[format!("{role}_token_id")] = id.into();
        }
    }
    Ok(write_atomic(path, format!("{config:#}\n").as_bytes())?)
}
