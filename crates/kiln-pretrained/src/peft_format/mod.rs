//! Adapters in PEFT's format: `adapter_config.json` and named tensors, A `[r, in]` and B `[out, r]`.
//!
//! A tensor is named `base_model.model.MODULE.lora_A.weight`, where MODULE is the base model's name of a linear layer, such
//! as `model.layers.0.self_attn.q_proj`. Kiln's parameters are transposed: `a` is `[in, r]`, `b` is `[r, out]`.
//!
//! | contents of a folder | on the model |
//! |---|---|
//! | LoRA and rsLoRA of linear layers, with ranks and α by module (`rank_pattern`, `alpha_pattern`) | adapters |
//! | LoRA of a fused layer, such as GPT-2's `c_attn` | one adapter for each part, with the same A |
//! | LoRA of an embedding or of the output matrix | added to the weight |
//! | biases (`bias`), `modules_to_save`, saved embeddings | weights in place of the model's own |
//! | rows of an embedding (`trainable_token_indices`) | rows in place of the model's own |
//!
//! Everything else that changes the computation is refused by the name of its option. See
//! <https://huggingface.co/docs/peft/developer_guides/checkpoint>.

mod adapter_config;
mod adapter_file;
mod base_modules;
mod base_weights;
mod config_keys;
#[cfg(feature = "files")]
mod files;
mod fused;
mod matrix_change;
mod module_rules;
mod module_values;
mod name_pattern;
mod read;
mod tensor_names;
mod tied;
mod write;
mod write_config;

pub use adapter_config::CONFIG_FILE;
#[cfg(feature = "files")]
pub use files::{WEIGHT_FILES, load_adapters, save_adapters};
pub use read::read_adapters;
pub use write::write_adapters;

use burn::tensor::ExecutionError;
use kiln_models::{WeightMismatch, tensors::TensorError};
use kiln_spec::ValidationError;

/// Why adapters cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum PeftFormatError {
    /// An option of `adapter_config.json` is not supported or has a wrong value.
    #[error("{CONFIG_FILE}: {0}")]
    Config(ValidationError),
    /// An option or a layer has no counterpart in Kiln, or in the format.
    #[error(transparent)]
    Unsupported(#[from] ValidationError),
    /// The tensors do not fit the model.
    #[error(transparent)]
    Mismatch(#[from] WeightMismatch),
    /// A tensor cannot be read.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// Reading weights from the device failed.
    #[error("cannot read results from the device: {0}")]
    Device(ExecutionError),
    /// A file cannot be written.
    #[cfg(feature = "files")]
    #[error(transparent)]
    Save(#[from] crate::files::SaveError),
    /// The weight file cannot be opened.
    #[error(transparent)]
    Weights(Box<crate::files::LoadError>),
    /// A file cannot be read, or has another format.
    #[error("{}: {reason}", file.display())]
    File {
        /// The file.
        file: std::path::PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl PeftFormatError {
    /// What to do about the error, where the message does not say it.
    pub fn help(&self) -> Option<&str> {
        match self {
            Self::Config(error) | Self::Unsupported(error) => error.suggestion.as_deref(),
            Self::Weights(error) => error.help(),
            _ => None,
        }
    }
}
