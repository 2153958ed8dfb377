//! Model folders in the Hugging Face layout, on disk or in memory.
//!
//! ```text
//! config.json  generation_config.json
//! model.safetensors | model.safetensors.index.json + shards | pytorch_model.bin | pytorch_model.bin.index.json + shards
//! ```
//! [`ModelFolder`] reads such a folder, [`save`] writes one (feature `files`).

#[cfg(feature = "files")]
mod atomic_write;
mod bytes;
mod error;
mod folder;
#[cfg(feature = "files")]
mod mmap;
mod safetensors;
#[cfg(feature = "files")]
mod save;
#[cfg(all(test, feature = "files"))]
mod tests;

#[cfg(feature = "files")]
pub(crate) use atomic_write::write_atomically;
#[cfg(feature = "files")]
pub use atomic_write::{check_writable, save_bytes, save_json};
pub use bytes::{ModelBytes, ModelFiles};
pub use error::LoadError;
pub use folder::ModelFolder;
#[cfg(feature = "files")]
pub(crate) use folder::read_json;
#[cfg(feature = "files")]
pub use folder::{load, open_pickle};
#[cfg(feature = "files")]
pub use mmap::MappedFile;
pub use safetensors::SafeTensorsFiles;
#[cfg(feature = "files")]
pub use save::{SaveError, SaveOptions, save, save_tensors};

/// The model's configuration.
pub const CONFIG_FILE: &str = "config.json";
/// Generation settings, such as the tokens that end a text.
pub const GENERATION_CONFIG_FILE: &str = "generation_config.json";
/// All weights in one safetensors file.
pub const SAFETENSORS_FILE: &str = "model.safetensors";
/// The index of weights in several safetensors files: tensor name → file name.
pub const SAFETENSORS_INDEX_FILE: &str = "model.safetensors.index.json";
/// All weights in one file of `torch.save`.
pub const PYTORCH_FILE: &str = "pytorch_model.bin";
/// The index of weights in several files of `torch.save`.
pub const PYTORCH_INDEX_FILE: &str = "pytorch_model.bin.index.json";

/// File names of weights, in the order in which they are looked for.
pub const WEIGHT_FILES: [&str; 4] = [SAFETENSORS_FILE, SAFETENSORS_INDEX_FILE, PYTORCH_FILE, PYTORCH_INDEX_FILE];

/// Whether a file of a model folder holds weights, or the index of weights, in a format that Kiln reads.
pub fn is_weight_file(name: &str) -> bool {
    let is_shard = |prefix: &str, suffix: &str| {
        name.strip_prefix(prefix).and_then(|name| name.strip_suffix(suffix)).is_some_and(|name| name.contains("-of-"))
    };
    WEIGHT_FILES.contains(&name) || is_shard("model-", ".safetensors") || is_shard("pytorch_model-", ".bin")
}
