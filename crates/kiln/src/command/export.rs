//! `export`: a model in other programs' files.

use super::{
    host::HostArgs,
    output::{Answer, say},
    place::place,
    trouble::Trouble,
};
use clap::ValueEnum;
use kiln_data::{Tokenizer, chat::Chat, tokenizer::Roles};
use kiln_infer::block_on;
use kiln_models::{
    files::{CONFIG, Layout, save, save_gguf},
    gguf::{Carried, Export, Matrices},
    hf, values,
};
use kiln_train::folder::write_atomic;
use kiln_train::pretrained::{Place, Weights};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The files of which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A folder with config.json, model.safetensors and tokenizer.json.
    Hf,
    /// One file, as llama.cpp reads it.
    Gguf,
}

/// How numbers of matrices are written in a .gguf.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Numbers {
    /// 16-bit floats.
    #[default]
    F16,
    /// 8 bits, 32 of them under a scale.
    #[value(name = "q8_0")]
    Q8,
}

/// Arguments of `export`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A run, a folder with a config.json, or a .gguf file.
    model: PathBuf,
    /// What is written.
    #[arg(long, value_enum)]
    format: Format,
    /// The folder, or the .gguf file, that is written.
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// How matrices are written in a .gguf.
    #[arg(long, value_enum)]
    numbers: Option<Numbers>,
    /// Weights of more megabytes than this go into several files of a folder; 5000 if not said.
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u64).range(1..))]
    shard: Option<u64>,
    #[command(flatten)]
    host: HostArgs,
}

/// Writes it.
pub fn run(args: &Args) -> Result<Answer, Trouble> {
    match args.format {
        Format::Hf if args.numbers.is_some() => return Err(Trouble::asked("only a .gguf has them").at("--numbers")),
        Format::Gguf if args.shard.is_some() => return Err(Trouble::asked("a .gguf is one file").at("--shard")),
        _ => {}
    }
    let place = place(&args.model)?;
    let mut weights = place.weights(&args.host.device()?)?;
    if !weights.model.adapters().is_empty() {
        say("the adapters are merged into the weights");
        weights.model = kiln_peft::merge(&weights.model);
    }
    let tokenizer = place.tokenizer()?;
    let family = match args.format {
        Format::Hf => folder(args, weights, &tokenizer, place.chat()?)?,
        Format::Gguf => file(args, weights, &tokenizer, carried_by(&place))?,
    };
    let text = format!("{} as {family}", args.out.display());
    Ok(Answer::new(json!({ "out": args.out, "family": family }), text))
}

/// The tokenizer that a .gguf carries, as it stands there.
fn carried_by(place: &Place) -> Option<Carried> {
    if let Place::Gguf(gguf) = place { gguf.carried().cloned() } else { None }
}

fn folder(args: &Args, weights: Weights, tokenizer: &Tokenizer, chat: Option<Chat>) -> Result<&'static str, Trouble> {
    let config = weights.model.config().clone();
    let numbers = read(&weights)?;
    let layout = Layout {
        config_json: weights.config_json.as_ref(),
        generation: weights.generation.as_ref(),
        shard: usize::try_from(args.shard.unwrap_or(5000).saturating_mul(1_000_000)).unwrap_or(usize::MAX),
    };
    let family = save(&args.out, &config, numbers, layout).map_err(|e| Trouble::failed("export", e.to_string()))?;
    if weights.family.is_none() {
        say_roles(&args.out.join(CONFIG), tokenizer, weights.model.encoder().is_some())?;
    }
    write_atomic(&args.out.join("tokenizer.json"), tokenizer.to_json().as_bytes())?;
    let Roles { bos, eos, pad, mask, unk, sep, cls } = tokenizer.roles();
    let roles = [("bos", bos), ("eos", eos), ("pad", pad), ("mask", mask), ("unk", unk), ("sep", sep), ("cls", cls)];
    let named = roles.into_iter().filter_map(|(role, id)| Some((format!("{role}_token"), tokenizer.token(id?).into())));
    let config = Value::Object(named.collect());
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

fn file(args: &Args, weights: Weights, tokenizer: &Tokenizer, known: Option<Carried>) -> Result<&'static str, Trouble> {
    let config = weights.model.config().clone();
    let failed = |error: String| Trouble::failed("export", error);
    let (family, config_json) = match (weights.family, weights.config_json.clone()) {
        (Some(family), Some(json)) => (family, json),
        _ => hf::matching(&config).map_err(|e| failed(format!("no family can hold this model: {e}")))?,
    };
    let tensors = hf::disassemble(&config, family, read(&weights)?).map_err(|e| failed(e.to_string()))?;
    let carried = known.map_or_else(|| carried(tokenizer), Ok)?;
    let name = args.out.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let matrices = if args.numbers.unwrap_or_default() == Numbers::Q8 { Matrices::Q8_0 } else { Matrices::F16 };
    let context = config.position.limit().unwrap_or(2048);
    let export = Export {
        name: &name,
        config_json: &config_json,
        tensors: &tensors,
        matrices,
        context,
        tokenizer: Some(&carried),
    };
    save_gguf(&args.out, &export).map_err(|e| failed(format!("cannot write {}: {e}", args.out.display())))?;
    Ok(family.name)
}

fn read(weights: &Weights) -> Result<kiln_models::Values, Trouble> {
    block_on(values(&weights.model)).map_err(|error| Trouble::failed("device", error.to_string()))
}

/// A byte-level BPE as a .gguf carries it.
fn carried(tokenizer: &Tokenizer) -> Result<Carried, Trouble> {
    let json: Value = serde_json::from_str(tokenizer.to_json()).unwrap_or_default();
    let (model, pre) = (&json["model"], &json["pre_tokenizer"]);
    let gpt2 = model["type"] == "BPE" && pre["type"] == "ByteLevel" && pre["use_regex"] != false;
    let vocab = model["vocab"].as_object().filter(|_| gpt2).ok_or_else(|| {
        let reason = "a .gguf can carry a byte-level BPE that cuts words as GPT-2's; this tokenizer is another";
        Trouble::failed("export", reason).help("--format hf keeps any tokenizer")
    })?;
    let mut tokens = vec![String::new(); tokenizer.vocab()];
    let mut types = vec![UNUSED; tokens.len()];
    for (token, id) in vocab {
        if let Some(id) = id.as_u64().map(|id| id as usize).filter(|id| *id < tokens.len()) {
            (tokens[id], types[id]) = (token.clone(), NORMAL);
        }
    }
    for added in json["added_tokens"].as_array().into_iter().flatten() {
        if let Some(id) = added["id"].as_u64().map(|id| id as usize).filter(|id| *id < tokens.len()) {
            tokens[id] = added["content"].as_str().unwrap_or_default().into();
            types[id] = if added["special"] == true { CONTROL } else { USER };
        }
    }
    let merge = |merge: &Value| match merge {
        Value::Array(pair) => pair.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        merge => merge.as_str().unwrap_or_default().to_string(),
    };
    let roles = tokenizer.roles();
    let role = |name: &str, id: Option<u32>| id.map(|id| (name.to_string(), id));
    let special = [role("bos", roles.bos), role("eos", roles.eos), role("padding", roles.pad)];
    Ok(Carried {
        model: "gpt2".into(),
        pre: Some("gpt-2".into()),
        tokens,
        types,
        merges: model["merges"].as_array().into_iter().flatten().map(merge).collect(),
        special: special.into_iter().flatten().collect(),
        // A document of Kiln's begins with bos.
        added: [("bos".to_string(), tokenizer.is_own())].into(),
        ..Carried::default()
    })
}

const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const USER: i32 = 4;
const UNUSED: i32 = 5;
