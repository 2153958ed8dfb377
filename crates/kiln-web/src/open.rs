//! Call `open`: files that a reader chose.

use crate::{Answer, Session, SessionError};
use kiln_data::{DataConfig, DataError, Dataset, ExampleFormat, FilesConfig, SourceConfig};
use kiln_pretrained::{Pretrained, files::CONFIG_FILE};
use kiln_train::storage::Storage;
use serde_json::json;
use std::{path::Path, sync::Arc};

/// Folder of data that recipes name.
const DATA: &str = "data";

/// First bytes of a zip file, with entries and without.
const ZIP: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];

/// First bytes of a GGUF file.
const GGUF: &[u8] = b"GGUF";

/// A file by its name, with its contents.
type NamedFile = (String, Vec<u8>);

impl Session {
    /// Opens a run as zip file, a GGUF file, the files of a Hugging Face folder, or data: texts and rows.
    pub(crate) fn open(&self, files: Vec<NamedFile>) -> Result<Answer, SessionError> {
        let Some((name, bytes)) = files.first() else {
            return Err(SessionError::usage("no file was given"));
        };
        let begins_with = |start: &&[u8]| bytes.starts_with(start);
        if ZIP.iter().any(begins_with) {
            return self.open_run(name, bytes);
        }
        let is_model = begins_with(&GGUF) || files.iter().any(|(name, _)| base_name(name) == CONFIG_FILE);
        if is_model { self.open_model(&files) } else { self.open_data(files) }
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

    /// Keeps data under the paths that a recipe can name.
    fn open_data(&self, files: Vec<NamedFile>) -> Result<Answer, SessionError> {
        let mut paths = Vec::with_capacity(files.len());
        let mut contents = Vec::with_capacity(files.len());
        for (name, bytes) in files {
            let bytes = Arc::new(bytes);
            check_data(&name, &bytes)?;
            paths.push(format!("{DATA}/{}", base_name(&name)));
            contents.push(bytes);
        }
        let write = |path: &str, bytes: &[u8]| {
            self.storage.create_folder(Path::new(DATA))?;
            self.storage.write_atomic(Path::new(path), bytes)
        };
        for (path, bytes) in paths.iter().zip(&contents) {
            write(path, bytes).map_err(|error| SessionError::new("io", format!("cannot keep {path}: {error}")))?;
        }
        Ok(json!({ "kind": "data", "paths": paths }).into())
    }
}

/// Checks that a file is one of those that a run can read. What its rows are is checked by the recipe that reads them.
fn check_data(name: &str, bytes: &Arc<Vec<u8>>) -> Result<(), SessionError> {
    if bytes.trim_ascii().is_empty() {
        let error = SessionError::new("empty", format!("{name}: expected text or rows, found none"));
        return Err(error.at(name).with_help("choose another file"));
    }
    let source = SourceConfig::Files(FilesConfig::new([name]));
    let config = DataConfig { source, format: ExampleFormat::Text, ..DataConfig::default() };
    let read = |_: &Path| Ok(bytes.clone());
    let checked = Dataset::open_in_memory(&config, &read, &|| false).and_then(|texts| texts.check(None, &|| false));
    match checked {
        Err(error) if is_unreadable(&error) => Err(match error {
            DataError::InvalidUtf8 { .. } => SessionError::from(error).with_help(OPENED_FILES),
            error => error.into(),
        }),
        _ => Ok(()),
    }
}

/// The files that the call `open` reads.
const OPENED_FILES: &str =
    "choose a run (zip), a GGUF file, the files of a Hugging Face folder, texts, or rows as JSON lines, JSON or CSV";

/// Whether no recipe could read the file of this error.
fn is_unreadable(error: &DataError) -> bool {
    use DataError::{CorruptFile, InvalidUtf8, Io, UnsupportedFile};
    // Line 0: the file as a whole, and not one of its rows.
    matches!(error, UnsupportedFile { .. } | CorruptFile { .. } | InvalidUtf8 { line: 0, .. } | Io { .. })
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
