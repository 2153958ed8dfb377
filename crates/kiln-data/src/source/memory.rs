//! Text files that are not in the file system, such as those that a page in a browser was given.
//!
//! A file is one document, as a text file on disk is, and gives the same documents. Files with rows and compressed files are
//! refused: their readers belong to the feature `files`.

use super::{Document, Documents, MAX_PART_BYTES, Source, split_text::find_split_point};
use crate::{DataError, FilesConfig};
use std::{
    io,
    path::{Path, PathBuf},
};

/// Reads a file that is not in the file system, by its path.
pub type ReadFile<'a> = &'a (dyn Fn(&Path) -> io::Result<Vec<u8>> + Send + Sync);

/// Endings of names of files with rows, and of compressed files, in lower case.
const OTHER_EXTENSIONS: [&str; 10] =
    [".jsonl", ".ndjson", ".jsonlines", ".ldjson", ".json", ".csv", ".tsv", ".parquet", ".gz", ".zst"];

/// First characters of JSON rows, by which a reader of files recognizes them in a file of any name.
const JSON_STARTS: [char; 2] = ['{', '['];

/// Text files in memory.
#[derive(Debug)]
pub(crate) struct MemoryTexts {
    /// Paths and texts.
    files: Vec<(String, String)>,
}

impl MemoryTexts {
    /// Reads the files of `config`. Its paths must be those of files.
    ///
    /// # Errors
    /// [`DataError::PathNotFound`], [`DataError::InvalidUtf8`], or [`DataError::UnsupportedFile`] for a file with rows.
    pub fn open(config: &FilesConfig, read: ReadFile) -> Result<Self, DataError> {
        let base = config.base.as_ref().map(PathBuf::from).unwrap_or_default();
        let files = config.paths.iter().map(|path| read_text(&base.join(path), read)).collect::<Result<Vec<_>, _>>()?;
        match files.is_empty() {
            true => Err(DataError::NoText { origin: config.paths.join(", ") }),
            false => Ok(Self { files }),
        }
    }
}

/// The path and the text of a file.
fn read_text(path: &Path, read: ReadFile) -> Result<(String, String), DataError> {
    let shown = path.display().to_string();
    let bytes = match read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(DataError::PathNotFound { path: shown, nearest: None });
        }
        Err(error) => {
            return Err(DataError::Io { path: shown, action: "read the file", reason: error.to_string() });
        }
    };
    let text = String::from_utf8(bytes).map_err(|error| DataError::InvalidUtf8 {
        path: shown.clone(),
        line: 0,
        offset: error.utf8_error().valid_up_to() as u64,
    })?;
    let text = text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned);
    let name = shown.to_lowercase();
    let has_rows = OTHER_EXTENSIONS.iter().any(|extension| name.ends_with(extension))
        || text.trim_start().starts_with(JSON_STARTS);
    if has_rows {
        let help = "give plain text, or use a build with the feature `files`";
        return Err(DataError::UnsupportedFile { path: shown, found: "a file with rows", help, is_text: true });
    }
    Ok((shown, text))
}

impl Source for MemoryTexts {
    fn documents(&self) -> Result<Documents<'_>, DataError> {
        Ok(Box::new(self.files.iter().flat_map(|(path, text)| text_parts(path, text).map(Ok))))
    }

    fn describe(&self) -> String {
        self.files.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn size_bytes(&self) -> Option<u64> {
        Some(self.files.iter().map(|(_, text)| text.len() as u64).sum())
    }
}

/// The parts of a document, cut where the reader of files cuts: it reads [`MAX_PART_BYTES`] bytes, and knows the end of the
/// file only if there were fewer.
fn text_parts<'a>(path: &'a str, text: &'a str) -> impl Iterator<Item = Document> + 'a {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = match rest.len() < MAX_PART_BYTES {
            true => rest.len(),
            false => find_split_point(&rest[..rest.floor_char_boundary(MAX_PART_BYTES)]),
        };
        let is_continuation = rest.len() < text.len();
        let (part, after) = rest.split_at(end);
        rest = after;
        (!part.is_empty()).then(|| Document { text: part.into(), origin: path.into(), is_continuation })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn open(files: &[(&str, &[u8])]) -> Result<MemoryTexts, DataError> {
        let by_path: BTreeMap<PathBuf, Vec<u8>> =
            files.iter().map(|(path, bytes)| (PathBuf::from(path), bytes.to_vec())).collect();
        let read = |path: &Path| by_path.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into());
        MemoryTexts::open(&FilesConfig::new(files.iter().map(|(path, _)| *path)), &read)
    }

    #[test]
    fn a_file_is_one_document() {
        let texts = open(&[("a.txt", b"\xef\xbb\xbfone"), ("b", b"two\n")]).unwrap();
        let documents: Vec<_> = texts.documents().unwrap().map(|document| document.unwrap().text).collect();
        assert_eq!(documents, ["one", "two\n"]);
        assert_eq!((texts.describe(), texts.size_bytes()), ("a.txt, b".into(), Some(7)));
    }

    #[test]
    fn what_is_no_plain_text_is_refused() {
        for (path, bytes, kind) in [
            ("a.jsonl", &b"text"[..], "not-text"),
            ("a.TXT.gz", b"text", "not-text"),
            ("a.txt", b" {\"text\": \"a\"}\n", "not-text"),
            ("a.txt", b"\xff\xfe", "not-utf8"),
        ] {
            let error = open(&[(path, bytes)]).unwrap_err();
            assert_eq!(error.kind(), kind, "{path}: {error}");
        }
        let config = FilesConfig::new(["missing.txt"]);
        let error = MemoryTexts::open(&config, &|_| Err(io::ErrorKind::NotFound.into())).unwrap_err();
        assert_eq!(error.to_string(), "missing.txt: no such file or folder");
    }

    #[cfg(feature = "files")]
    #[test]
    fn a_long_text_has_the_parts_of_a_file() {
        use crate::source::files::FileSource;
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("long.txt");
        let config = FilesConfig::new([path.to_str().unwrap()]);
        // Lines, one long line of words, no white space at all, and the very length of a part.
        for text in ["line of text\n".repeat(200_000), "word ".repeat(500_000), "é".repeat(900_000), {
            "x\n".repeat(MAX_PART_BYTES / 2 - 1) + "xx"
        }] {
            std::fs::write(&path, &text).unwrap();
            let parts = |source: &dyn Source| -> Vec<_> { source.documents().unwrap().map(Result::unwrap).collect() };
            let on_disk = parts(&FileSource::open(&config).unwrap());
            let in_memory = parts(&MemoryTexts::open(&config, &|path| std::fs::read(path)).unwrap());
            assert!(on_disk.len() >= 2 && on_disk == in_memory, "{} and {} parts", on_disk.len(), in_memory.len());
        }
    }
}
