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
use kiln_infer::block_on;
use kiln_models::values;
use kiln_train::pretrained::Weights;
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
    #[command(flatten)]
    model: ModelArgs,
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
        Format::Hf | Format::Peft if args.numbers.is_some() => {
            return Err(Trouble::asked("only a .gguf has them").at("--numbers"));
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

fn read(weights: &Weights) -> Result<kiln_models::Values, Trouble> {
    block_on(values(&weights.model)).map_err(|error| Trouble::failed("device", error.to_string()))
}
