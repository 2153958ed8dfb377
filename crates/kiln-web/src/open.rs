//! Call `open`: files that a reader chose.

use crate::{Answer, Session, SessionError};
use kiln_data::{DataConfig, Dataset, FilesConfig, SourceConfig};
use kiln_pretrained::{Pretrained, files::CONFIG_FILE};
use kiln_train::storage::Storage;
use serde_json::json;
use std::path::Path;

/// Folder of texts that recipes name.
const DATA: &str = "data";

/// First bytes of a zip file, with entries and without.
const ZIP: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];

/// First bytes of a GGUF file.
const GGUF: &[u8] = b"GGUF";

/// A file by its name, with its contents.
type NamedFile = (String, Vec<u8>);

impl Session {
    /// Opens a run as zip file, a GGUF file, the files of a Hugging Face folder, or texts.
    pub(crate) fn open(&self, files: Vec<NamedFile>) -> Result<Answer, SessionError> {
        let Some((name, bytes)) = files.first() else {
            return Err(SessionError::usage("no file was given"));
        };
        let begins_with = |start: &&[u8]| bytes.starts_with(start);
        if ZIP.iter().any(begins_with) {
            return self.open_run(name, bytes);
        }
        let is_model = begins_with(&GGUF) || files.iter().any(|(name, _)| base_name(name) == CONFIG_FILE);
        if is_model { self.open_model(&files) } else { self.open_texts(files) }
    }

    /// Opens a model of another program.
    fn open_model(&self, files: &[NamedFile]) -> Result<Answer, SessionError> {
        if let [(name, _)] = files
            && base_name(name) == CONFIG_FILE
        {
            let error =
                SessionError::new("model", format!("{name}: expected all files of a Hugging Face folder, found one"));
            return Err(error
                .at(name.as_str())
                .with_help("choose config.json, the weights and the tokenizer together"));
        }
        let contents = files.iter().map(|(name, bytes)| (base_name(name), bytes.as_slice()));
        let pretrained = Pretrained::from_bytes(contents, &self.device)?;
        let model = self.models.borrow_mut().add(model_name(files), None, pretrained);
        let mut answer = model.to_json();
        answer["kind"] = "model".into();
        Ok(answer.into())
    }

    /// Keeps texts under the paths that a recipe can name.
    fn open_texts(&self, files: Vec<NamedFile>) -> Result<Answer, SessionError> {
        files.iter().try_for_each(|(name, bytes)| check_text(name, bytes))?;
        let path = |name: &str| format!("{DATA}/{}", base_name(name));
        let paths: Vec<String> = files.iter().map(|(name, _)| path(name)).collect();
        let config = DataConfig {
            source: SourceConfig::Files(FilesConfig::new(paths.iter().map(String::as_str))),
            ..DataConfig::default()
        };
        let read = |wanted: &Path| {
            let found = files.iter().zip(&paths).find(|(_, path)| Path::new(path) == wanted);
            found.map(|((_, bytes), _)| bytes.clone()).ok_or_else(|| std::io::ErrorKind::NotFound.into())
        };
        Dataset::open_in_memory(&config, &read, &|| false)?;
        let write = |path: &str, bytes: &[u8]| {
            self.storage.create_folder(Path::new(DATA))?;
            self.storage.write_atomic(Path::new(path), bytes)
        };
        for (path, (_, bytes)) in paths.iter().zip(&files) {
            write(path, bytes).map_err(|error| SessionError::new("io", format!("cannot keep {path}: {error}")))?;
        }
        Ok(json!({ "kind": "data", "paths": paths }).into())
    }
}

/// Checks that a file is a text.
fn check_text(name: &str, bytes: &[u8]) -> Result<(), SessionError> {
    let (kind, message) = match std::str::from_utf8(bytes) {
        Ok(text) if text.trim().is_empty() => ("empty", format!("{name}: expected a text, found none")),
        Ok(_) => return Ok(()),
        Err(_) => {
            let expected = "a run (zip), a GGUF file, the files of a Hugging Face folder, or texts";
            ("not-text", format!("{name}: expected {expected}, found other bytes"))
        }
    };
    Err(SessionError::new(kind, message).at(name).with_help("choose another file"))
}

/// The last part of a path.
fn base_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// The folder of the files, or the name of a single file without its extension.
fn model_name(files: &[NamedFile]) -> String {
    let path = Path::new(&files[0].0);
    let folder = path.parent().and_then(Path::file_name).filter(|_| files.len() > 1);
    folder.or(path.file_stem()).unwrap_or_default().to_string_lossy().into_owned()
}
