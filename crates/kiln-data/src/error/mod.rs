//! What can go wrong with data: where, what was found, what to do.

mod diagnostics;

use thiserror::Error;

/// Why text could not become batches.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum DataError {
    /// A path leads nowhere.
    #[error("{path}: no such file or folder")]
    PathNotFound {
        /// The path as given.
        path: String,
        /// The name in that folder which was probably meant.
        nearest: Option<String>,
    },
    /// Neither a file nor a folder.
    #[error("{path}: neither a file nor a folder")]
    NotAFile {
        /// The path as given.
        path: String,
    },
    /// There is no text at all.
    #[error("{origin}: no text in it")]
    NoText {
        /// What was read.
        origin: String,
    },
    /// Bytes that are not UTF-8.
    #[error("{path}: not UTF-8 text at byte {offset}")]
    InvalidUtf8 {
        /// The file.
        path: String,
        /// Where the first wrong byte stands, counted after decompression from 0.
        offset: u64,
    },
    /// A `.gz` or `.zst` that cannot be decompressed.
    #[error("{path}: broken archive: {reason}")]
    CorruptFile {
        /// The file.
        path: String,
        /// What the decompressor says.
        reason: String,
    },
    /// A `.parquet` that was compressed as a whole: it is read from its end.
    #[error("{path}: a compressed .parquet, which can't be read from its end")]
    CompressedParquet {
        /// The file.
        path: String,
    },
    /// A line of a `.jsonl` that is not a JSON object.
    #[error("{path}:{line}: expected a JSON object: {reason}")]
    InvalidJsonLine {
        /// The file.
        path: String,
        /// The line, from 1.
        line: u64,
        /// What the parser says.
        reason: String,
    },
    /// A line of a `.jsonl` longer than a line may be.
    #[error("{path}:{line}: the line is longer than {limit} bytes")]
    LineTooLong {
        /// The file.
        path: String,
        /// The line, from 1.
        line: u64,
        /// The most bytes a line may have.
        limit: usize,
    },
    /// A JSON object without the field that holds the text.
    #[error("{path}:{line}: no field `{field}`, but {}", list_fields(.found))]
    MissingTextField {
        /// The file.
        path: String,
        /// The line, from 1.
        line: u64,
        /// The field that was asked for.
        field: String,
        /// The fields there are.
        found: Vec<String>,
    },
    /// A field that holds no text.
    #[error("{path}:{line}: field `{field}` is {found}, expected a string")]
    WrongFieldType {
        /// The file.
        path: String,
        /// The line, from 1.
        line: u64,
        /// The field.
        field: String,
        /// What it is.
        found: &'static str,
    },
    /// The system refused.
    #[error("{path}: cannot {action}: {reason}")]
    Io {
        /// The file or folder.
        path: String,
        /// What was tried.
        action: &'static str,
        /// What the system says.
        reason: String,
    },
    /// Reading ended because it was asked to.
    #[error("{origin}: asked to stop while it was read")]
    Stopped {
        /// What was read.
        origin: String,
    },
    /// Too little text for training and validation.
    #[error("{origin}: {bytes} bytes are too short to be split into training and validation text")]
    TooShort {
        /// What was read.
        origin: String,
        /// Bytes of text in it.
        bytes: u64,
    },
    /// A number in the configuration that cannot be.
    #[error("`{key}` is {found}, expected {expected}")]
    Config {
        /// The key, with its path from `[data]` or `[tokenizer]` on.
        key: &'static str,
        /// What it is.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// A `tokenizer.json` that cannot be used.
    #[error("tokenizer: {reason}")]
    Tokenizer {
        /// What is wrong.
        reason: String,
    },
    /// A tokenizer for which a format has no words.
    #[error("a GGUF file can't carry this tokenizer: {reason}")]
    UnsupportedByGguf {
        /// What it has no words for.
        reason: String,
    },
    /// A tokenizer without the special tokens that objectives need.
    #[error("tokenizer: no special token {}", .missing.join(", "))]
    MissingSpecialTokens {
        /// The names that were looked for.
        missing: Vec<String>,
    },
    /// A chat template that can't be read, or objects to a conversation.
    #[error("chat template: {reason}")]
    ChatTemplate {
        /// What is wrong.
        reason: String,
    },
    /// A token id beyond the vocabulary.
    #[error("token id {token_id} is beyond the vocabulary of {vocab_size}")]
    TokenId {
        /// The id.
        token_id: u32,
        /// Size of the vocabulary.
        vocab_size: usize,
    },
    /// A batch that does not fit together.
    #[error("batch, row {row}: {reason}")]
    Batch {
        /// The row, from 0.
        row: usize,
        /// What is wrong.
        reason: String,
    },
}

fn list_fields(fields: &[String]) -> String {
    if fields.is_empty() { "the object is empty".into() } else { fields.join(", ") }
}
