//! Errors of a run.

use crate::RunFolderError;
use kiln_data::DataError;
use kiln_models::WeightMismatch;
use kiln_spec::config::ConfigError;
use std::path::PathBuf;

/// Error of a run: why it could not start, continue or end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The recipe is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The files of the run cannot be read or written.
    #[error(transparent)]
    RunFolder(#[from] RunFolderError),
    /// The model cannot generate.
    #[error(transparent)]
    Generate(#[from] kiln_infer::GenerateError),
    /// The model to start from cannot be loaded.
    #[error(transparent)]
    Pretrained(#[from] kiln_pretrained::PretrainedError),
    /// The device failed.
    #[error("cannot read results from the device: {0}")]
    Device(#[from] burn::tensor::ExecutionError),
    /// The weights in a file do not match the model.
    #[error("{}: {mismatch}", file.display())]
    WeightMismatch {
        /// The file.
        file: PathBuf,
        /// The first mismatch.
        mismatch: WeightMismatch,
    },
    /// A tensor in a file has another type or shape than expected.
    #[error("{}: tensor `{tensor}`: expected floats of 32 or 16 bits, or packed rows, in the shape of the model", file.display())]
    InvalidTensor {
        /// The file.
        file: PathBuf,
        /// Name of the tensor.
        tensor: String,
    },
    /// The loss or a gradient is NaN or infinite.
    #[error("step {step}: the {quantity} is not finite; it first appeared at {origin}")]
    NotFinite {
        /// The step, from 1, counted over the whole run.
        step: u64,
        /// `loss` or `gradient`.
        quantity: &'static str,
        /// The first weight, activation or gradient that is not finite.
        origin: String,
        /// The step of the last checkpoint, counted over the whole run. Absent: no checkpoint yet.
        last_saved_step: Option<u64>,
    },
}

impl TrainError {
    /// Short code for machines, such as `not-finite`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Config(e) => e.code(),
            Self::Data(e) => e.kind(),
            Self::RunFolder(e) => e.kind(),
            Self::Generate(_) => "generate",
            Self::Pretrained(_) => "model",
            Self::Device(_) => "device",
            Self::WeightMismatch { .. } => "weights",
            Self::InvalidTensor { .. } => "tensor",
            Self::NotFinite { .. } => "not-finite",
        }
    }

    /// Location of the error: file, key, or step.
    pub fn location(&self) -> Option<String> {
        match self {
            Self::Config(e) => e.location(),
            Self::Data(e) => e.location(),
            Self::RunFolder(e) => Some(e.location().display().to_string()),
            Self::WeightMismatch { file, .. } | Self::InvalidTensor { file, .. } => Some(file.display().to_string()),
            Self::Generate(_) | Self::Pretrained(_) | Self::Device(_) => None,
            Self::NotFinite { step, .. } => Some(format!("step {step}")),
        }
    }

    /// What to do about the error, if something is known.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Config(e) => e.help(),
            Self::Data(e) => Some(e.help()),
            Self::RunFolder(e) => e.help(),
            Self::Generate(_) | Self::Pretrained(_) | Self::Device(_) => None,
            Self::WeightMismatch { .. } | Self::InvalidTensor { .. } => {
                Some("use the recipe that the weights were trained with".into())
            }
            Self::NotFinite { last_saved_step: saved, .. } => {
                let saved = saved
                    .map_or("there is no checkpoint yet".into(), |s| format!("the checkpoint of step {s} is good"));
                Some(format!("{saved}; try a lower learning_rate, a longer warmup or a lower max_grad_norm"))
            }
        }
    }
}
