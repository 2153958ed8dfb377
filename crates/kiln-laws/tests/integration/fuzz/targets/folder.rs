//! Readers of model folders, of which one file is damaged. The files are on disk, because weights are memory-mapped.

use super::super::seeds;
use super::{
    text::{can_render, check_tokenizer},
    weights::read_all_tensors,
};
use burn::tensor::Device;
use kiln_data::{
    ChatTemplate, DataError, FilesConfig, Source,
    example::{ExampleFiles, ExampleFormat, ExampleSource},
    source::files::FileSource,
    tokenizer,
};
use kiln_models::Model;
use kiln_pretrained::files;
use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// A model folder in a temporary folder.
struct TempModelFolder {
    parent: TempDir,
}

impl TempModelFolder {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let home = Self { parent: tempfile::tempdir().unwrap() };
        fs::create_dir(home.path()).unwrap();
        for (name, bytes) in files {
            fs::write(home.path().join(name), bytes).unwrap();
        }
        home
    }

    fn path(&self) -> PathBuf {
        self.parent.path().join("model")
    }

    /// Replaces a file. The old one is removed first, because it may be memory-mapped.
    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let (path, fresh) = (self.path().join(name), self.path().join("fresh"));
        fs::write(&fresh, bytes).and_then(|()| fs::rename(&fresh, &path)).unwrap();
        path
    }
}

/// Creates the folder of a thread once, with the files that are not damaged.
macro_rules! temp_model_folder {
    ($($name:literal = $bytes:expr),* $(,)?) => {{
        thread_local! { static HOME: TempModelFolder = TempModelFolder::new(&[$(($name, &$bytes)),*]); }
        &HOME
    }};
}

fn can_load(folder: &Path) -> bool {
    files::ModelFolder::open(folder).is_ok_and(|folder| read_all_tensors(folder.tensors()))
}

pub fn safetensors(file: &[u8]) -> bool {
    temp_model_folder!("config.json" = *b"{}").with(|home| {
        home.write("model.safetensors", file);
        can_load(&home.path())
    })
}

/// The parent folder has a file with a tensor that must not be found.
pub fn safetensors_index(file: &[u8]) -> bool {
    temp_model_folder!("config.json" = *b"{}", "weights.safetensors" = seeds::safetensors()[0]).with(|home| {
        fs::write(home.parent.path().join("outside.safetensors"), seeds::outside_file()).unwrap();
        home.write("model.safetensors.index.json", file);
        let found = files::ModelFolder::open(&home.path());
        let Ok(folder) = found else { return false };
        assert!(!folder.tensors().entries().contains_key(seeds::OUTSIDE_TENSOR), "the index leads out of its folder");
        read_all_tensors(folder.tensors())
    })
}

pub fn tokenizer_config(file: &[u8]) -> bool {
    temp_model_folder!("tokenizer.json" = seeds::tokenizers()[0]).with(|home| {
        home.write("tokenizer_config.json", file);
        let chat = ChatTemplate::from_folder(&home.path());
        let chat = chat.is_ok_and(|chat| chat.is_none_or(|chat| can_render(&chat)));
        chat && tokenizer::pretrained::from_folder(&home.path()).is_ok_and(|tokenizer| check_tokenizer(&tokenizer))
    })
}

/// `adapter_config.json`, with the tensors and the base model that it was written for.
pub fn adapter(file: &[u8]) -> bool {
    thread_local! { static MODEL: Model = files::load(&seeds::model(), &Device::flex()).unwrap().model; }
    temp_model_folder!("adapter_model.safetensors" = seeds::adapter_tensors()).with(|home| {
        home.write("adapter_config.json", file);
        MODEL.with(|model| kiln_pretrained::peft_format::load_adapters(model, None, &home.path()).is_ok())
    })
}

pub fn parquet(file: &[u8]) -> bool {
    temp_model_folder!().with(|home| can_read_texts(&home.write("texts.parquet", file)))
}

pub fn json_rows(file: &[u8]) -> bool {
    temp_model_folder!().with(|home| can_read_texts(&home.write("texts.json", file)))
}

pub fn csv_rows(file: &[u8]) -> bool {
    temp_model_folder!().with(|home| can_read_texts(&home.write("texts.csv", file)))
}

/// A file in a folder, whose format is recognized by its content alone.
pub fn data_file(file: &[u8]) -> bool {
    temp_model_folder!().with(|home| {
        home.write("texts", file);
        can_read_texts(&home.path())
    })
}

/// Whether all texts of a file or a folder can be read. Bad rows that are left out must not change the other rows of a file
/// without bad rows, and must not end the pass.
fn can_read_texts(path: &Path) -> bool {
    let config = FilesConfig::new([path.display().to_string()]);
    let count = |config: &FilesConfig| -> Result<usize, DataError> {
        let files = FileSource::open(config)?;
        files.check(&|| false)?;
        let documents: Result<Vec<_>, _> = files.documents()?.collect();
        documents.map(|documents| documents.len())
    };
    let strict = count(&config);
    match count(&FilesConfig { skip_bad_rows: true, ..config }) {
        Ok(documents) => assert!(strict.as_ref().is_ok_and(|strict| *strict == documents) || strict.is_err()),
        Err(error) => assert!(strict.is_err(), "{error}"),
    }
    let has_examples = read_examples(path).is_ok_and(|count| count > 0);
    strict.is_ok() || has_examples
}

/// Number of examples of a file or a folder: those of the format that is recognized, or as many of a chat as there are.
fn read_examples(path: &Path) -> Result<usize, DataError> {
    let config = FilesConfig { skip_bad_rows: true, ..FilesConfig::new([path.display().to_string()]) };
    let format = match ExampleFiles::detect(&config)?.format {
        ExampleFormat::Text => ExampleFormat::Messages,
        format => format,
    };
    let files = ExampleFiles::open(&config, format)?;
    files.examples()?.try_fold(0, |count, example| example.map(|_| count + 1))
}
