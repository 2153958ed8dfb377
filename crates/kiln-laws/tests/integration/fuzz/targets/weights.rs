//! Readers of weights in one file.

use kiln_models::{hf, tensors::TensorSource};
use kiln_pretrained::{gguf as format, pickle::PickleFile};

/// Reads every tensor of a file.
pub fn read_all_tensors(tensors: &dyn TensorSource) -> bool {
    tensors.entries().keys().all(|name| tensors.read(name).is_ok())
}

pub fn pickle(file: &[u8]) -> bool {
    PickleFile::open(file).is_ok_and(|pickle| read_all_tensors(&pickle))
}

pub fn gguf(file: &[u8]) -> bool {
    // The file as a whole model, and as two parts of one.
    let model = format::GgufFile::from_bytes("x.gguf".as_ref(), file);
    let _ = model.map(|model| (model.config().is_ok(), model.pooling().is_ok(), model.chat_template().is_ok()));
    let _ = format::GgufFile::from_parts([("x.gguf".as_ref(), file), ("y.gguf".as_ref(), file)]);
    let Ok(file) = format::GgufReader::open(file) else { return false };
    let carried = format::read_tokenizer(file.metadata());
    let model = format::read_model(file.metadata(), &file).ok();
    let config = model.map(|model| hf::read_config(&model.config_json).is_ok());
    read_all_tensors(&file) && carried.is_ok() && config != Some(false)
}
