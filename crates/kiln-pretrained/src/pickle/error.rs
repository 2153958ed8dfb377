//! Why a file of PyTorch's can't be read.

use kiln_models::tensors::TensorError;

/// Why a file of PyTorch's can't be read.
#[derive(Debug, thiserror::Error)]
pub enum PickleError {
    /// It isn't what `torch.save` writes.
    #[error("this is no file of weights as `torch.save` writes it: {0}")]
    NotTorchSave(String),
    /// It asks for code.
    #[error(
        "the file asks for `{0}`: Kiln runs nothing that a file names and knows only what tensors need. Save the \
         weights alone, `torch.save(model.state_dict(), …)`, or as safetensors"
    )]
    UnsupportedGlobal(String),
    /// Its pickle contradicts itself or uses what Kiln doesn't read.
    #[error("the file's pickle is broken at byte {offset}: {reason}")]
    Broken {
        /// Where in the pickle, in bytes.
        offset: usize,
        /// What is wrong there.
        reason: String,
    },
    /// What it says of a storage isn't so.
    #[error("storage `{key}` of the file {reason}")]
    Storage {
        /// The storage's key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What it says of a tensor isn't so.
    #[error(transparent)]
    Tensor(#[from] TensorError),
}

impl PickleError {
    pub(super) fn not_torch_save(reason: impl Into<String>) -> Self {
        Self::NotTorchSave(reason.into())
    }
}
