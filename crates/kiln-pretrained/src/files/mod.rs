//! Models in folders as Hugging Face lays them out: `config.json` beside `model.safetensors`, or beside several such
//! files and an index of them.

mod error;
mod folder;
mod gguf;
mod mmap;
mod safetensors;
mod save;
mod shards;
#[cfg(test)]
mod tests;

pub use error::LoadError;
pub use folder::{LoadedModel, ModelFolder, load, open_pickle};
pub use gguf::{GgufFile, save_gguf};
pub use mmap::MappedFile;
pub use safetensors::SafeTensorsFiles;
pub use save::{SaveError, SaveOptions, save, save_json, save_tensors};

/// What a model is.
pub const CONFIG_FILE: &str = "config.json";
/// How it writes by default.
pub const GENERATION_CONFIG_FILE: &str = "generation_config.json";
/// Its weights in one file.
pub const SAFETENSORS_FILE: &str = "model.safetensors";
/// Which of several files each of its weights is in.
pub const SAFETENSORS_INDEX_FILE: &str = "model.safetensors.index.json";
/// Its weights as `torch.save` writes them.
pub const PYTORCH_FILE: &str = "pytorch_model.bin";
/// Which of several such files each is in.
pub const PYTORCH_INDEX_FILE: &str = "pytorch_model.bin.index.json";

/// How weights may be laid out, in the order in which they are looked for.
pub const WEIGHT_FILES: [&str; 4] = [SAFETENSORS_FILE, SAFETENSORS_INDEX_FILE, PYTORCH_FILE, PYTORCH_INDEX_FILE];
