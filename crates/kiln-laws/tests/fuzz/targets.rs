//! What reads a file: true if all of it is read, false if it is refused.

use kiln_data::{Tokenizer, tokenizer::convert};
use kiln_models::{files, gguf, hf, pickle::Pickle, tensors::Tensors};
use std::fs;
use tempfile::TempDir;

/// Reads every tensor.
fn all(tensors: &dyn Tensors) -> bool {
    tensors.entries().keys().all(|name| tensors.read(name).is_ok())
}

pub fn pickle(file: &[u8]) -> bool {
    Pickle::open(file).is_ok_and(|pickle| all(&pickle))
}

pub fn gguf(file: &[u8]) -> bool {
    let Ok(file) = gguf::File::open(file) else { return false };
    let carried = gguf::Carried::read(file.metadata());
    let config = gguf::read(file.metadata(), &file).ok().map(|(config, _)| hf::read(&config).is_ok());
    all(&file) && carried.is_ok() && config != Some(false)
}

pub fn config(file: &[u8]) -> bool {
    serde_json::from_slice(file).is_ok_and(|json| hf::read(&json).is_ok())
}

/// A text with what tokenizers find hard.
const TEXT: &str = "ab a\u{0301}b 🙂👨‍👩‍👧 <s> 漢字\r\n  x";

pub fn tokenizer(file: &[u8]) -> bool {
    let Some(Ok(tokenizer)) = std::str::from_utf8(file).ok().map(Tokenizer::from_json) else { return false };
    tokenizer.decode(&tokenizer.encode(TEXT)).is_ok()
}

pub fn sentencepiece(file: &[u8]) -> bool {
    let Some(tokenizer) = convert::sentencepiece(file).and_then(|carried| carried.tokenizer()).ok() else {
        return false;
    };
    tokenizer.decode(&tokenizer.encode(TEXT)).is_ok()
}

/// A folder of which one file is damaged.
pub struct Folder {
    home: TempDir,
    file: &'static str,
}

impl Folder {
    pub fn new(file: &'static str) -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("config.json"), "{}").unwrap();
        fs::write(home.path().join("weights.safetensors"), &super::seeds::safetensors()[0]).unwrap();
        Self { home, file }
    }

    /// Writes and reads it.
    pub fn target(self) -> impl Fn(&[u8]) -> bool {
        move |bytes| {
            // Written anew, not over what may be mapped.
            let (path, fresh) = (self.home.path().join(self.file), self.home.path().join("fresh"));
            fs::write(&fresh, bytes).and_then(|()| fs::rename(&fresh, &path)).unwrap();
            files::Folder::open(self.home.path()).is_ok_and(|folder| all(folder.tensors()))
        }
    }
}
