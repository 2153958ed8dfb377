//! [`DataError`]: errors of sources, tokenizers, chat templates, corpora and batches.
//!
//! The message (`Display`) says what is wrong and where, and what was found and expected. The methods in `diagnostics`
//! add a machine-readable kind, the location alone, and what to do.

mod diagnostics;

use crate::source::report::{Omissions, group_digits};
use thiserror::Error;

/// Error of reading, tokenizing or batching text.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum DataError {
    /// A path that does not exist.
    #[error("{path}: no such file or folder")]
    PathNotFound {
        /// The path as given.
        path: String,
        /// The most similar name in the same folder, if one is similar.
        nearest: Option<String>,
    },
    /// A path to something else than a file or a folder, such as a device.
    #[error("{path}: neither a file nor a folder")]
    NotAFile {
        /// The path as given.
        path: String,
    },
    /// A source without any text.
    #[error("{origin}: no text found")]
    NoText {
        /// Description of the source.
        origin: String,
    },
    /// A source in which no file has text.
    #[error("{origin}: no text found; the files have no text:{skipped}")]
    NoReadableFile {
        /// Description of the source.
        origin: String,
        /// The files, each with its error.
        skipped: Omissions,
    },
    /// Bytes that are not UTF-8.
    #[error("{}: invalid UTF-8 at byte {offset}", path_and_line(.path, *.line))]
    InvalidUtf8 {
        /// The file.
        path: String,
        /// The line or row, from 1. 0: the file has none.
        line: u64,
        /// Offset of the first invalid byte in the decompressed file, from 0.
        offset: u64,
    },
    /// A `.gz`, `.zst` or `.parquet` file that cannot be decompressed or decoded.
    #[error("{path}: corrupt file: {reason}")]
    CorruptFile {
        /// The file.
        path: String,
        /// Message of the decompressor.
        reason: String,
    },
    /// A `.parquet` file compressed as a whole (`.parquet.gz`). Parquet's index is at the end of the file, so that it
    /// cannot be read while it is decompressed.
    #[error("{path}: a .parquet file that is compressed as a whole cannot be read")]
    CompressedParquet {
        /// The file.
        path: String,
    },
    /// A file in a format that is not text, or in an encoding other than UTF-8, recognized by its first bytes.
    #[error("{path}: expected UTF-8 text, found {found}")]
    UnsupportedFile {
        /// The file.
        path: String,
        /// The format, with an article: `a zip archive`.
        found: &'static str,
        /// What to do.
        help: &'static str,
        /// Whether the file holds text in another encoding.
        is_text: bool,
    },
    /// A row of a JSON file that is not a JSON object.
    #[error("{path}:{line}: expected a JSON object: {reason}")]
    InvalidJsonLine {
        /// The file.
        path: String,
        /// The line, from 1.
        line: u64,
        /// Message of the JSON parser.
        reason: String,
    },
    /// A row that is not valid CSV or TSV, or has another number of fields than the header.
    #[error("{path}:{line}: {reason}")]
    InvalidCsvRow {
        /// The file.
        path: String,
        /// The line on which the row begins, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// A row of a JSON or CSV file above the size limit.
    #[error("{path}:{line}: the row is longer than {limit} bytes")]
    LineTooLong {
        /// The file.
        path: String,
        /// The line, from 1.
        line: u64,
        /// Maximum length of a row, in bytes.
        limit: usize,
    },
    /// A text with half of a surrogate pair, such as `\ud83d` in JSON.
    #[error("{path}:{line}: field `{field}` has half of a surrogate pair (such as \\ud83d), which is no character")]
    LoneSurrogate {
        /// The file.
        path: String,
        /// The line or row, from 1.
        line: u64,
        /// Name of the text field.
        field: String,
    },
    /// Rows that hold conversations, where plain text was expected.
    #[error("{}: no field `{field}`; found `{found}`, which is no plain text", path_and_line(.path, *.line))]
    Conversations {
        /// The file.
        path: String,
        /// The line or row, from 1. 0: all rows.
        line: u64,
        /// Name of the text field.
        field: String,
        /// The field that holds the conversation.
        found: String,
    },
    /// A row that is no valid example of its format, or that the chat template refuses.
    #[error("{path}:{line}: {reason}")]
    BadExample {
        /// The file.
        path: String,
        /// The line or row, from 1.
        line: u64,
        /// What was found and what was expected.
        reason: String,
        /// What to do.
        help: &'static str,
    },
    /// Rows with the fields of several formats.
    #[error("{path}: the fields belong to several formats: {}; found {}", join(.formats), list_fields(.found))]
    AmbiguousFormat {
        /// The file.
        path: String,
        /// Fields of the first rows.
        found: Vec<String>,
        /// Formats that have these fields.
        formats: Vec<crate::example::ExampleFormat>,
        /// All formats with their fields.
        known: String,
    },
    /// Files of one source with different formats.
    #[error("{path}: found the format {}, but {other} has the format {}", .formats[1], .formats[0])]
    MixedFormats {
        /// A file.
        path: String,
        /// An earlier file.
        other: String,
        /// Formats of the earlier and of the later file.
        formats: Box<[crate::example::ExampleFormat; 2]>,
    },
    /// A file without rows, in a source of examples.
    #[error("{path}: expected {expected}")]
    NoRows {
        /// The file.
        path: String,
        /// What was expected.
        expected: String,
    },
    /// Conversations for a model without a chat template.
    #[error("{origin}: {} need a chat template, and the model has none", .kind.name())]
    NoChatTemplate {
        /// The source.
        origin: String,
        /// Kind of the examples.
        kind: crate::ExampleKind,
    },
    /// A source of which no example is left.
    #[error("{origin}: no example is left to train on{left_out}")]
    NoExamples {
        /// Description of the source.
        origin: String,
        /// Examples that were left out, each with the reason.
        left_out: Omissions,
    },
    /// Examples of a kind that the objective does not read.
    #[error("{origin} holds {} (format {format}), but the objective `{objective}` reads {}", .found.name(), join_kinds(.expected))]
    WrongKind {
        /// The source.
        origin: String,
        /// Its format.
        format: crate::example::ExampleFormat,
        /// Kind of its examples.
        found: crate::ExampleKind,
        /// Name of the objective.
        objective: String,
        /// Kinds that the objective reads.
        expected: &'static [crate::ExampleKind],
    },
    /// Several rows without valid text.
    #[error("{} bad rows among the first {} rows of each file:{rows}", group_digits(.rows.count), group_digits(*.checked))]
    BadRows {
        /// Description of the source.
        origin: String,
        /// Maximum number of rows that were checked in each file.
        checked: u64,
        /// The rows, each with its error.
        rows: Omissions,
    },
    /// A row without the field that holds the text.
    #[error("{}: no field `{field}`; {}", path_and_line(.path, *.line), list_fields(.found))]
    MissingTextField {
        /// The file.
        path: String,
        /// The line or row, from 1. 0: all rows.
        line: u64,
        /// Name of the text field.
        field: String,
        /// Fields of the row.
        found: Vec<String>,
    },
    /// A text field that is not a string.
    #[error("{}: field `{field}` is {found}, expected a string", path_and_line(.path, *.line))]
    WrongFieldType {
        /// The file.
        path: String,
        /// The line or row, from 1. 0: all rows.
        line: u64,
        /// Name of the text field.
        field: String,
        /// JSON type of its value, with an article: `a number`.
        found: &'static str,
    },
    /// An error of the operating system.
    #[error("{path}: cannot {action}: {reason}")]
    Io {
        /// The file or folder.
        path: String,
        /// The operation, as an infinitive: `read the file`.
        action: &'static str,
        /// Message of the operating system.
        reason: String,
    },
    /// Reading was interrupted by a [`StopSignal`](crate::StopSignal).
    #[error("{origin}: reading was interrupted")]
    Stopped {
        /// Description of the source.
        origin: String,
    },
    /// Too little text to split into a training and a validation subset.
    #[error("{origin}: {bytes} bytes of text are too few for a training and a validation subset")]
    TooShort {
        /// Description of the source.
        origin: String,
        /// Bytes of text in it.
        bytes: u64,
    },
    /// A source with too few different examples for a training and a validation set.
    #[error("{origin}: training and validation need at least two different examples")]
    TooFewExamples {
        /// Description of the source.
        origin: String,
    },
    /// A configuration value outside its range.
    #[error("`{key}` is {found}, expected {expected}")]
    Config {
        /// The key, with its path from `[data]` or `[tokenizer]` on.
        key: &'static str,
        /// The value.
        found: String,
        /// The allowed values.
        expected: String,
    },
    /// An invalid or unsupported tokenizer file.
    #[error("{}tokenizer: {reason}", path.as_deref().map(|path| format!("{path}: ")).unwrap_or_default())]
    Tokenizer {
        /// The file or folder; absent if the tokenizer does not come from a file.
        path: Option<String>,
        /// What is wrong, with the key in the file.
        reason: String,
    },
    /// A tokenizer that GGUF metadata cannot describe.
    #[error("this tokenizer cannot be written to a GGUF file: {reason}")]
    UnsupportedByGguf {
        /// The part of the tokenizer that GGUF cannot describe.
        reason: String,
    },
    /// A tokenizer without the special tokens that an objective needs.
    #[error("the tokenizer lacks the special tokens {}", .missing.join(", "))]
    MissingSpecialTokens {
        /// Names of the missing special tokens.
        missing: Vec<String>,
    },
    /// An invalid chat template, or a conversation that a chat template rejects.
    #[error("chat template: {reason}")]
    ChatTemplate {
        /// What is wrong; for errors inside the template, with its line.
        reason: String,
    },
    /// A token id outside the vocabulary.
    #[error("token id {token_id} is out of range for a vocabulary of {vocab_size} tokens")]
    TokenId {
        /// The id.
        token_id: u32,
        /// Size of the vocabulary: valid ids are below it.
        vocab_size: usize,
    },
    /// A token for which the model has no row of embeddings.
    #[error("the token `{token}` (id {token_id}) has no row in the model, which has {rows}: ids 0 to {}", rows.saturating_sub(1))]
    TokenWithoutRow {
        /// The token.
        token: String,
        /// Its id.
        token_id: u32,
        /// Number of rows of the model.
        rows: usize,
    },
    /// Sequences that do not form a valid batch.
    #[error("batch, sequence {row}: {reason}")]
    Batch {
        /// The row, from 0.
        row: usize,
        /// What is wrong.
        reason: String,
    },
}

impl DataError {
    /// A [`DataError::Tokenizer`] without a path. `pretrained` adds the path with [`with_path`](Self::with_path).
    pub(crate) fn tokenizer(reason: impl std::fmt::Display) -> Self {
        Self::Tokenizer { path: None, reason: reason.to_string() }
    }

    /// The same error with the path of the tokenizer file, if it is a [`DataError::Tokenizer`] without one.
    pub(crate) fn with_path(self, path: &std::path::Path) -> Self {
        match self {
            Self::Tokenizer { path: None, reason } => {
                Self::Tokenizer { path: Some(path.display().to_string()), reason }
            }
            other => other,
        }
    }
}

/// Names of formats with commas.
fn join(formats: &[crate::example::ExampleFormat]) -> String {
    formats.iter().map(|format| format.name()).collect::<Vec<_>>().join(", ")
}

/// Names of kinds with commas.
fn join_kinds(kinds: &[crate::ExampleKind]) -> String {
    kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ")
}

/// Maximum number of fields that a message lists.
const MAX_LISTED_FIELDS: usize = 12;

/// The fields of a row for the message of [`DataError::MissingTextField`].
fn list_fields(fields: &[String]) -> String {
    match fields {
        [] => "the object is empty".into(),
        _ if fields.len() > MAX_LISTED_FIELDS => {
            let more = fields.len() - MAX_LISTED_FIELDS;
            format!("found {} and {more} more", fields[..MAX_LISTED_FIELDS].join(", "))
        }
        _ => format!("found {}", fields.join(", ")),
    }
}

/// `path:line`; the path alone for line 0.
fn path_and_line(path: &str, line: u64) -> String {
    if line == 0 { path.into() } else { format!("{path}:{line}") }
}
