//! Weights in one piece.

use kiln_models::{gguf as format, hf, pickle::Pickle, tensors::Tensors};

/// Reads every tensor.
pub fn all(tensors: &dyn Tensors) -> bool {
    tensors.entries().keys().all(|name| tensors.read(name).is_ok())
}

pub fn pickle(file: &[u8]) -> bool {
    Pickle::open(file).is_ok_and(|pickle| all(&pickle))
}

pub fn gguf(file: &[u8]) -> bool {
    let Ok(file) = format::File::open(file) else { return false };
    let carried = format::Carried::read(file.metadata());
    let config = format::read(file.metadata(), &file).ok().map(|(config, _)| hf::read(&config).is_ok());
    all(&file) && carried.is_ok() && config != Some(false)
}
