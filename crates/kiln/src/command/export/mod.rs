//! `kiln export MODEL --format F --out PATH`: Hugging Face folder, GGUF file or PEFT adapter folder.
//!
//! ```console
//! kiln export runs/stories --format hf --out hf --dtype bf16
//! kiln export runs/stories --format gguf --out stories.gguf --dtype q8_0
//! kiln export runs/fine-tuned --format peft --out adapters
//! ```
//!
//! JSON: `{"out","family"}`.

mod adapters;
mod chat_templates;
mod gguf;
mod gguf_tokenizer;
mod hf_folder;
mod losses;
mod model_files;
mod source_files;
mod tokenizer_files;

use super::{
    device_args::DeviceArgs,
    error::CliError,
    model_args::ModelArgs,
    out_path,
    output::{CommandOutput, print_message},
};
use clap::ValueEnum;
use kiln_models::tensors::WeightDtype;
use serde_json::json;
use std::{fmt::Display, path::PathBuf};

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
    /// 16-bit floating point; an error if a weight exceeds ±65504 (use bf16 or f32).
    F16,
    /// bfloat16.
    Bf16,
    /// 8-bit quantization in blocks of 32 (.gguf only).
    #[value(name = "q8_0")]
    Q8,
}

impl From<ExportDtype> for WeightDtype {
    /// The same type in the writers.
    fn from(dtype: ExportDtype) -> Self {
        match dtype {
            ExportDtype::F32 => Self::F32,
            ExportDtype::F16 => Self::F16,
            ExportDtype::Bf16 => Self::BF16,
            ExportDtype::Q8 => Self::Q8_0,
        }
    }
}

/// Arguments of `kiln export`.
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
    /// Replace an existing file, or the model files in a folder that is not empty.
    #[arg(long)]
    force: bool,
    /// Data type of the weights. Default for --format hf: bf16 or f16 if all weights of the model have that type, else
    /// f32. Default for --format gguf: f16, where it applies to matrices only (vectors stay f32). Not for --format peft.
    #[arg(long, alias = "numbers", value_enum)]
    dtype: Option<ExportDtype>,
    /// Maximum size of a weight file in MB; larger models are split (default: 5000).
    #[arg(long, alias = "shard", value_name = "MB", value_parser = clap::value_parser!(u64).range(1..))]
    max_shard_size: Option<u64>,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Writes the model. Adapters are merged into the weights, except for PEFT format.
pub fn run(args: &Args) -> Result<CommandOutput, CliError> {
    args.check()?;
    match args.format {
        ExportFormat::Gguf => out_path::check_file(&args.out, args.force)?,
        ExportFormat::Hf | ExportFormat::Peft => out_path::check_folder(&args.out, args.force)?,
    }
    let source = args.model.source()?;
    let device = args.device.open()?;
    let mut weights = source.load_model(&device)?;
    if args.format != ExportFormat::Peft && !weights.model.adapters().is_empty() {
        print_message("merging the adapters into the weights");
        weights.model = kiln_peft::merge(&weights.model).map_err(export_error)?;
    }
    let family = match args.format {
        ExportFormat::Hf => hf_folder::write_folder(args, &source, &weights)?,
        ExportFormat::Gguf => gguf::write_gguf(args, &source, &weights)?,
        ExportFormat::Peft => adapters::write_adapters(args, &source, &weights, &device)?,
    };
    let text = format!("{} ({family})", args.out.display());
    Ok(CommandOutput::new(json!({ "out": args.out, "family": family }), text))
}

impl Args {
    /// Refuses options that the format does not have.
    fn check(&self) -> Result<(), CliError> {
        let unsupported = |flag: &str, message: &str| Err(CliError::usage(message).with_location(flag));
        match self.format {
            ExportFormat::Hf if self.dtype == Some(ExportDtype::Q8) => {
                unsupported("--dtype", "q8_0 weights need --format gguf")
            }
            ExportFormat::Peft if self.dtype.is_some() => {
                unsupported("--dtype", "--format peft keeps the data type of the adapters")
            }
            ExportFormat::Gguf if self.max_shard_size.is_some() => {
                unsupported("--max-shard-size", "--format gguf writes one file")
            }
            ExportFormat::Peft if self.max_shard_size.is_some() => {
                unsupported("--max-shard-size", "--format peft writes one weight file")
            }
            _ => Ok(()),
        }
    }
}

/// An error of the export.
///
/// Exit code 1, kind `export`.
fn export_error(reason: impl Display) -> CliError {
    CliError::failed("export", reason.to_string())
}
