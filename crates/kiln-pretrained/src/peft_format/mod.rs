//! Adapters in PEFT's format: `adapter_config.json` and named tensors.
//!
//! A tensor is named `base_model.model.MODULE.lora_A.weight`, where MODULE is the base model's name of a module, such
//! as `model.layers.0.self_attn.q_proj`. Each method has a table of its keys and tensors (`method/`); Kiln's parameters are
//! transposed: LoRA's `a` is `[in, r]`, `b` is `[r, out]`.
//!
//! | contents of a folder | on the model |
//! |---|---|
//! | LoRA, rsLoRA and DoRA of linear layers and embeddings, with ranks and α by module | adapters |
//! | LoRA of stacked experts and routers (`target_parameters`) | adapters |
//! | (IA)³, VeRA and AdaLoRA of linear layers, prompt tuning | adapters |
//! | an adapter of a fused layer, such as GPT-2's `c_attn` | one adapter for each part, with the same A |
//! | LoRA of the output matrix | added to the weight |
//! | biases (`bias`), `modules_to_save`, saved embeddings | weights in place of the model's own; written as `modules_to_save` |
//! | rows of an embedding (`trainable_token_indices`) | rows in place of the model's own |
//!
//! Everything else that changes the computation is refused by the name of its option. See
//! <https://huggingface.co/docs/peft/developer_guides/checkpoint>.

mod adapted;
mod adapter_config;
mod adapter_file;
mod axes;
mod base_modules;
mod base_weights;
#[cfg(feature = "files")]
mod files;
mod fused;
mod keys;
mod matrix_change;
mod method;
mod module_rules;
mod module_values;
mod name_pattern;
mod rank_masks;
mod read;
mod saved_modules;
mod tensor_names;
mod tied;
mod torch_random;
mod write;
mod write_config;

pub use adapter_config::CONFIG_FILE;
#[cfg(feature = "files")]
pub use files::{WEIGHT_FILES, load_adapters, load_named_adapters, save_adapters, save_adapters_with};
pub use read::{read_adapters, read_named_adapters};
pub use write::{AdapterExport, write_adapters, write_adapters_with};

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
