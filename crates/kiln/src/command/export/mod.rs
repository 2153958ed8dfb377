//! `export`: a model in other programs' files.

mod adapters;
mod gguf;
mod gguf_tokenizer;
mod hf_folder;

use super::{
    device_args::DeviceArgs,
    error::CliError,
    model_args::ModelArgs,
    output::{CommandOutput, print_message},
};
use clap::ValueEnum;
use kiln_models::tensors::WeightDtype;
use serde_json::json;
use std::path::PathBuf;

/// The files of which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// A folder with config.json, model.safetensors and tokenizer.json.
    Hf,
    /// One file, as llama.cpp reads it.
    Gguf,
    /// A folder with the adapters alone, as peft reads it.
    Peft,
}

/// How numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportDtype {
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

impl From<ExportDtype> for WeightDtype {
    fn from(stored: ExportDtype) -> Self {
        match stored {
            ExportDtype::F32 => Self::F32,
            ExportDtype::F16 => Self::F16,
            ExportDtype::Bf16 => Self::BF16,
            ExportDtype::Q8 => Self::Q8_0,
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
    format: ExportFormat,
    /// The folder, or the .gguf file, that is written.
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// How weights are stored in a folder (f32 if not said), matrices in a .gguf (f16).
    #[arg(long, value_enum)]
    dtype: Option<ExportDtype>,
    /// Weights of more megabytes than this go into several files of a folder; 5000 if not said.
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u64).range(1..))]
    shard: Option<u64>,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Writes it.
pub fn run(args: &Args) -> Result<CommandOutput, CliError> {
    match args.format {
        ExportFormat::Hf if args.dtype == Some(ExportDtype::Q8) => {
            return Err(CliError::usage("only a .gguf has 8 bits").with_location("--numbers"));
        }
        ExportFormat::Peft if args.dtype.is_some() => {
            return Err(CliError::usage("adapters are stored as they are").with_location("--numbers"));
        }
        ExportFormat::Gguf if args.shard.is_some() => {
            return Err(CliError::usage("a .gguf is one file").with_location("--shard"));
        }
        ExportFormat::Peft if args.shard.is_some() => {
            return Err(CliError::usage("adapters are one file").with_location("--shard"));
        }
        _ => {}
    }
    let place = args.model.source()?;
    let device = args.device.open()?;
    let mut weights = place.load_model(&device)?;
    if args.format != ExportFormat::Peft && !weights.model.adapters().is_empty() {
        print_message("the adapters are merged into the weights");
        weights.model = kiln_peft::merge(&weights.model);
    }
    let family = match args.format {
        ExportFormat::Hf => hf_folder::write_folder(args, &place, &weights)?,
        ExportFormat::Gguf => gguf::write_gguf(args, &place, &weights)?,
        ExportFormat::Peft => adapters::write_adapters(args, &place, &weights, &device)?,
    };
    let text = format!("{} as {family}", args.out.display());
    Ok(CommandOutput::new(json!({ "out": args.out, "family": family }), text))
}
