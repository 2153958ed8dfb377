//! Models in folders as Hugging Face lays them out: `config.json` beside `model.safetensors`, or beside several such
//! files and an index of them.

mod error;
mod folder;
mod gguf;
mod map;
mod safetensors;
mod save;
mod shards;
#[cfg(test)]
mod tests;

pub use error::LoadError;
pub use folder::{Folder, Loaded, load, pickle};
pub use gguf::{GgufFile, save_gguf};
pub use map::Map;
pub use safetensors::SafeTensorsFiles;
pub use save::{Layout, SaveError, save, save_json, save_tensors};

/// What a model is.
pub const CONFIG: &str = "config.json";
/// How it writes by default.
pub const GENERATION: &str = "generation_config.json";
/// Its weights in one file.
pub const WEIGHTS: &str = "model.safetensors";
/// Which of several files each of its weights is in.
pub const INDEX: &str = "model.safetensors.index.json";
/// Its weights as `torch.save` writes them.
pub const PICKLE: &str = "pytorch_model.bin";
/// Which of several such files each is in.
pub const PICKLE_INDEX: &str = "pytorch_model.bin.index.json";

/// How weights may be laid out, in the order in which they are looked for.
pub const LAYOUTS: [&str; 4] = [WEIGHTS, INDEX, PICKLE, PICKLE_INDEX];
