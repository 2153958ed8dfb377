//! `export`: a model in other programs' files.

mod adapters;
mod carried;
mod folder;
mod gguf;

use super::{
    host::HostArgs,
    output::{Answer, say},
    place::ModelArgs,
    trouble::Trouble,
};
use clap::ValueEnum;
use kiln_models::tensors::Numbers;
use serde_json::json;
use std::path::PathBuf;

/// The files of which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A folder with config.json, model.safetensors and tokenizer.json.
    Hf,
    /// One file, as llama.cpp reads it.
    Gguf,
    /// A folder with the adapters alone, as peft reads it.
    Peft,
}

/// How numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Stored {
    /// 32-bit floats.
    F32,
    /// 16-bit floats, up to 65504.
    F16,
    /// 16-bit floats with the range of 32-bit ones.
    Bf16,
    /// 8 bits, 32 of them under a scale; of a .gguf alone.
    #[value(name = "q8_0")]
    Q8,
}

impl From<Stored> for Numbers {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::F32 => Self::F32,
            Stored::F16 => Self::F16,
            Stored::Bf16 => Self::BF16,
            Stored::Q8 => Self::Q8_0,
        }
    }
}

/// Arguments of `export`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// What is written.
    #[arg(long, value_enum)]
    format: Format,
    /// The folder, or the .gguf file, that is written.
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// How weights are stored in a folder (f32 if not said), matrices in a .gguf (f16).
    #[arg(long, value_enum)]
    numbers: Option<Stored>,
    /// Weights of more megabytes than this go into several files of a folder; 5000 if not said.
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u64).range(1..))]
    shard: Option<u64>,
    #[command(flatten)]
    host: HostArgs,
}

/// Writes it.
pub fn run(args: &Args) -> Result<Answer, Trouble> {
    match args.format {
        Format::Hf if args.numbers == Some(Stored::Q8) => {
            return Err(Trouble::asked("only a .gguf has 8 bits").at("--numbers"));
        }
        Format::Peft if args.numbers.is_some() => {
            return Err(Trouble::asked("adapters are stored as they are").at("--numbers"));
        }
        Format::Gguf if args.shard.is_some() => return Err(Trouble::asked("a .gguf is one file").at("--shard")),
        Format::Peft if args.shard.is_some() => return Err(Trouble::asked("adapters are one file").at("--shard")),
        _ => {}
    }
    let place = args.model.place()?;
    let device = args.host.device()?;
    let mut weights = place.weights(&device)?;
    if args.format != Format::Peft && !weights.model.adapters().is_empty() {
        say("the adapters are merged into the weights");
        weights.model = kiln_peft::merge(&weights.model);
    }
    let family = match args.format {
        Format::Hf => folder::write(args, &place, &weights)?,
        Format::Gguf => gguf::write(args, &place, &weights)?,
        Format::Peft => adapters::write(args, &place, &weights, &device)?,
    };
    let text = format!("{} as {family}", args.out.display());
    Ok(Answer::new(json!({ "out": args.out, "family": family }), text))
}
