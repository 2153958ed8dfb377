//! Why a run could not start, go on or end.

use crate::RunFolderError;
use kiln_data::DataError;
use kiln_models::WeightMismatch;
use kiln_spec::config::ConfigError;
use std::path::PathBuf;

/// Why a run could not start, go on or end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A recipe that says what can't be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Text that can't be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Files of the run.
    #[error(transparent)]
    RunFolder(#[from] RunFolderError),
    /// A model that can't write.
    #[error(transparent)]
    Generate(#[from] kiln_infer::GenerateError),
    /// A model to start from that can't be loaded.
    #[error(transparent)]
    Pretrained(#[from] crate::pretrained::PretrainedError),
    /// The device failed.
    #[error("reading from the device: {0}")]
    Device(#[from] burn::tensor::ExecutionError),
    /// Weights that don't fit the model.
    #[error("{}: {mismatch}", file.display())]
    WeightMismatch {
        /// The file.
        file: PathBuf,
        /// What doesn't fit.
        mismatch: WeightMismatch,
    },
    /// Tensors of a file that aren't what they should be.
    #[error("{}: expected 32-bit floats that fit the model, found `{tensor}`", file.display())]
    InvalidTensor {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// A loss or a gradient is not a number any more.
    #[error("step {step}: the {quantity} is not finite; it first appeared at {origin}")]
    NotFinite {
        /// The step, from 1, counted over the whole run.
        step: u64,
        /// `loss` or `gradient`.
        quantity: &'static str,
        /// The first place whose values aren't finite.
        origin: String,
        /// The last step that was saved, if any, counted likewise.
        last_saved_step: Option<u64>,
    },
}

impl TrainError {
    /// A short word for machines.
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

    /// Where it is.
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

    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Config(e) => e.help(),
            Self::Data(e) => Some(e.help()),
            Self::RunFolder(e) => e.help(),
            Self::Generate(_) | Self::Pretrained(_) | Self::Device(_) => None,
            Self::WeightMismatch { .. } | Self::InvalidTensor { .. } => {
                Some("use the recipe that these weights were trained with".into())
            }
            Self::NotFinite { last_saved_step: saved, .. } => {
                let saved = saved.map_or("nothing was saved yet".into(), |s| format!("step {s} is saved and good"));
                Some(format!("{saved}; try a lower learning_rate, a longer warmup or a lower max_grad_norm"))
            }
        }
    }
}
