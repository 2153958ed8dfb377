//! What a program and a person are told about an error besides its message.

use super::DataError;

impl DataError {
    /// A short machine-readable word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::PathNotFound { .. } => "missing",
            Self::NotAFile { .. } => "not-a-file",
            Self::NoText { .. } => "empty",
            Self::InvalidUtf8 { .. } => "not-utf8",
            Self::CorruptFile { .. } => "broken-archive",
            Self::CompressedParquet { .. } => "packed-table",
            Self::InvalidJsonLine { .. } => "json-line",
            Self::LineTooLong { .. } => "json-long-line",
            Self::MissingTextField { .. } => "json-field",
            Self::WrongFieldType { .. } => "json-type",
            Self::Io { .. } => "io",
            Self::Stopped { .. } => "stopped",
            Self::TooShort { .. } => "too-short",
            Self::Config { .. } => "config",
            Self::Tokenizer { .. } => "tokenizer",
            Self::UnsupportedByGguf { .. } => "uncarried",
            Self::MissingSpecialTokens { .. } => "special-tokens",
            Self::ChatTemplate { .. } => "chat-template",
            Self::TokenId { .. } => "token-id",
            Self::Batch { .. } => "batch",
        }
    }

    /// Where it is: a file, with its line where there is one, or a key.
    pub fn location(&self) -> Option<String> {
        match self {
            Self::PathNotFound { path, .. }
            | Self::NotAFile { path }
            | Self::InvalidUtf8 { path, .. }
            | Self::CorruptFile { path, .. }
            | Self::CompressedParquet { path }
            | Self::Io { path, .. } => Some(path.clone()),
            Self::InvalidJsonLine { path, line, .. }
            | Self::LineTooLong { path, line, .. }
            | Self::MissingTextField { path, line, .. }
            | Self::WrongFieldType { path, line, .. } => Some(format!("{path}:{line}")),
            Self::NoText { origin } | Self::TooShort { origin, .. } | Self::Stopped { origin } => Some(origin.clone()),
            Self::Config { key, .. } => Some((*key).into()),
            Self::Tokenizer { .. }
            | Self::UnsupportedByGguf { .. }
            | Self::MissingSpecialTokens { .. }
            | Self::ChatTemplate { .. }
            | Self::TokenId { .. }
            | Self::Batch { .. } => None,
        }
    }

    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            Self::PathNotFound { nearest: Some(name), .. } => format!("did you mean `{name}`?"),
            Self::PathNotFound { nearest: None, .. } | Self::NotAFile { .. } => {
                "give a text file, a .jsonl or a folder".into()
            }
            Self::NoText { .. } => "give files with text in them".into(),
            Self::InvalidUtf8 { .. } => {
                "convert it to UTF-8, for example with `iconv -t UTF-8`, or leave it out".into()
            }
            Self::CorruptFile { .. } => "fetch or compress the file again".into(),
            Self::CompressedParquet { .. } => "unpack it with gunzip or unzstd: a .parquet is compressed within".into(),
            Self::InvalidJsonLine { .. } => "a .jsonl holds one JSON object a line".into(),
            Self::LineTooLong { .. } => "split the document over several lines, or save it as a text file".into(),
            Self::MissingTextField { .. } => {
                "name the field that holds the text: `data.source.files.field`, or --field".into()
            }
            Self::WrongFieldType { .. } => "name another field, or turn its values into strings".into(),
            Self::Io { .. } => "check the permissions and the space left on the disk".into(),
            Self::Stopped { .. } => "start again to read on".into(),
            Self::TooShort { .. } => "give more text: at least two different passages of 2 KiB".into(),
            Self::Config { key, expected, .. } => format!("set `{key}` to {expected}"),
            Self::Tokenizer { .. } => {
                "use the tokenizer files that came with the model, or were saved with the run".into()
            }
            Self::UnsupportedByGguf { .. } => {
                "keep it as a tokenizer.json: a folder (`--format hf`) holds any tokenizer".into()
            }
            Self::MissingSpecialTokens { .. } => {
                "choose something that does without, or a tokenizer that has it, such as one that Kiln trained".into()
            }
            Self::ChatTemplate { .. } => "give another conversation, or mend the template".into(),
            Self::TokenId { .. } => "model and tokenizer must come from the same run".into(),
            Self::Batch { .. } => "check the objective that made the batch".into(),
        }
    }
}
