//! Folders and tables, of which one file is damaged. They lie on a disk: a map needs one.

use super::{
    text::{renders, works},
    weights::all,
};
use crate::seeds;
use burn::tensor::Device;
use kiln_data::{Chat, FilesConfig, Source, source::files::Files, tokenizer};
use kiln_models::{Model, files};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// A folder within another one.
struct Home {
    around: TempDir,
}

impl Home {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let home = Self { around: tempfile::tempdir().unwrap() };
        fs::create_dir(home.path()).unwrap();
        for (name, bytes) in files {
            fs::write(home.path().join(name), bytes).unwrap();
        }
        home
    }

    fn path(&self) -> PathBuf {
        self.around.path().join("model")
    }

    /// Puts a file there: written anew, not over what may be mapped.
    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let (path, fresh) = (self.path().join(name), self.path().join("fresh"));
        fs::write(&fresh, bytes).and_then(|()| fs::rename(&fresh, &path)).unwrap();
        path
    }
}

/// A thread's own folder, made once, of the files that aren't damaged.
macro_rules! home {
    ($($name:literal = $bytes:expr),* $(,)?) => {{
        thread_local! { static HOME: Home = Home::new(&[$(($name, &$bytes)),*]); }
        &HOME
    }};
}

fn reads(folder: &Path) -> bool {
    files::Folder::open(folder).is_ok_and(|folder| all(folder.tensors()))
}

pub fn safetensors(file: &[u8]) -> bool {
    home!("config.json" = *b"{}").with(|home| {
        home.put("model.safetensors", file);
        reads(&home.path())
    })
}

/// Beside the folder lies a file with a tensor that must not be found.
pub fn safetensors_index(file: &[u8]) -> bool {
    home!("config.json" = *b"{}", "weights.safetensors" = seeds::safetensors()[0]).with(|home| {
        fs::write(home.around.path().join("outside.safetensors"), seeds::outside()).unwrap();
        home.put("model.safetensors.index.json", file);
        let found = files::Folder::open(&home.path());
        let Ok(folder) = found else { return false };
        assert!(!folder.tensors().entries().contains_key(seeds::OUTSIDE), "the index leads out of its folder");
        all(folder.tensors())
    })
}

pub fn tokenizer_config(file: &[u8]) -> bool {
    home!("tokenizer.json" = seeds::tokenizers()[0]).with(|home| {
        home.put("tokenizer_config.json", file);
        let chat = Chat::open(&home.path());
        let chat = chat.is_ok_and(|chat| chat.is_none_or(|chat| renders(&chat)));
        chat && tokenizer::folder::open(&home.path()).is_ok_and(|tokenizer| works(&tokenizer))
    })
}

/// `adapter_config.json`, beside the tensors and the model that it was written for.
pub fn adapter(file: &[u8]) -> bool {
    thread_local! { static MODEL: Model = files::load(&seeds::model(), &Device::flex()).unwrap().model; }
    home!("adapter_model.safetensors" = seeds::adapter_tensors()).with(|home| {
        home.put("adapter_config.json", file);
        MODEL.with(|model| kiln_peft::folder::load(model, None, &home.path()).is_ok())
    })
}

pub fn parquet(file: &[u8]) -> bool {
    home!().with(|home| {
        let path = home.put("texts.parquet", file);
        let Ok(files) = Files::open(&FilesConfig::new([path.display().to_string()])) else { return false };
        files.documents().is_ok_and(|mut documents| documents.all(|document| document.is_ok()))
    })
}
