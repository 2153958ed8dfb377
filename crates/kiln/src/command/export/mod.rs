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

/// File format of an exported model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Hugging Face folder: config.json, model.safetensors, tokenizer.json.
    Hf,
    /// GGUF file for llama.cpp.
    Gguf,
    /// PEFT folder with the adapters only.
    Peft,
}

/// Data type of exported weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportDtype {
    /// 32-bit floating point.
    F32,
    /// 16-bit floating point; values above 65504 are refused.
    F16,
    /// bfloat16.
    Bf16,
    /// 8-bit quantization in blocks of 32 (.gguf only).
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
    /// Output format.
    #[arg(long, value_enum)]
    format: ExportFormat,
    /// Output folder, or output .gguf file.
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// Data type of the weights (default: f32), or of the matrices in a .gguf file (default: f16).
    #[arg(long, alias = "numbers", value_enum)]
    dtype: Option<ExportDtype>,
    /// Maximum size of a weight file in MB; larger models are split (default: 5000).
    #[arg(long, alias = "shard", value_name = "MB", value_parser = clap::value_parser!(u64).range(1..))]
    max_shard_size: Option<u64>,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Writes it.
pub fn run(args: &Args) -> Result<CommandOutput, CliError> {
    match args.format {
        ExportFormat::Hf if args.dtype == Some(ExportDtype::Q8) => {
            return Err(CliError::usage("only a .gguf has 8 bits").with_location("--dtype"));
        }
        ExportFormat::Peft if args.dtype.is_some() => {
            return Err(CliError::usage("adapters are stored as they are").with_location("--dtype"));
        }
        ExportFormat::Gguf if args.max_shard_size.is_some() => {
            return Err(CliError::usage("a .gguf is one file").with_location("--max-shard-size"));
        }
        ExportFormat::Peft if args.max_shard_size.is_some() => {
            return Err(CliError::usage("adapters are one file").with_location("--max-shard-size"));
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
