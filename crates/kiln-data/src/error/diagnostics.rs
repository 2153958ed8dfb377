//! Kind, location and help of a [`DataError`], for `--json` output and for the lines below an error message.

use super::DataError;

impl DataError {
    /// Machine-readable kind: a stable word in kebab case, the value of `error.kind` in `--json` output.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::PathNotFound { .. } => "missing",
            Self::NotAFile { .. } => "not-a-file",
            Self::NoText { .. } => "empty",
            Self::InvalidUtf8 { .. } => "not-utf8",
            Self::CorruptFile { .. } => "broken-archive",
            Self::CompressedParquet { .. } => "compressed-parquet",
            Self::InvalidJsonLine { .. } => "json-line",
            Self::LineTooLong { .. } => "json-long-line",
            Self::MissingTextField { .. } => "json-field",
            Self::WrongFieldType { .. } => "json-type",
            Self::Io { .. } => "io",
            Self::Stopped { .. } => "stopped",
            Self::TooShort { .. } => "too-short",
            Self::Config { .. } => "config",
            Self::Tokenizer { .. } => "tokenizer",
            Self::UnsupportedByGguf { .. } => "unsupported-by-gguf",
            Self::MissingSpecialTokens { .. } => "special-tokens",
            Self::ChatTemplate { .. } => "chat-template",
            Self::TokenId { .. } => "token-id",
            Self::TokenWithoutRow { .. } => "token-row",
            Self::Batch { .. } => "batch",
        }
    }

    /// Location of the error: `path`, `path:line`, a configuration key, or the description of a source.
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
            Self::Tokenizer { path, .. } => path.clone(),
            Self::UnsupportedByGguf { .. }
            | Self::MissingSpecialTokens { .. }
            | Self::ChatTemplate { .. }
            | Self::TokenId { .. }
            | Self::TokenWithoutRow { .. }
            | Self::Batch { .. } => None,
        }
    }

    /// What to do about the error, as an imperative without a full stop.
    pub fn help(&self) -> String {
        match self {
            Self::PathNotFound { nearest: Some(name), .. } => format!("did you mean `{name}`?"),
            Self::PathNotFound { nearest: None, .. } | Self::NotAFile { .. } => {
                "check the path; text can be a text file, a .jsonl, a .parquet or a folder of them".into()
            }
            Self::NoText { .. } => "give files with text in them".into(),
            Self::InvalidUtf8 { .. } => {
                "convert the file to UTF-8, for example with `iconv -t UTF-8`, or leave it out".into()
            }
            Self::CorruptFile { .. } => "download or compress the file again".into(),
            Self::CompressedParquet { .. } => {
                "decompress it with gunzip or unzstd; a .parquet file is compressed internally".into()
            }
            Self::InvalidJsonLine { .. } => "write one JSON object on each line of a .jsonl file".into(),
            Self::LineTooLong { .. } => "split the document over several lines, or save it as a text file".into(),
            Self::MissingTextField { .. } => {
                "set `data.source.files.field` (or --field) to the field that holds the text".into()
            }
            Self::WrongFieldType { .. } => "choose another field with --field, or store its values as strings".into(),
            Self::Io { .. } => "check the permissions and the free disk space".into(),
            Self::Stopped { .. } => "run the command again to read the rest".into(),
            Self::TooShort { .. } => "give more text: at least two different passages of 2 KiB".into(),
            Self::Config { key, expected, .. } => format!("set `{key}` to {expected}"),
            Self::Tokenizer { .. } => {
                "use the tokenizer files that belong to the model, or those that were saved with the run".into()
            }
            Self::UnsupportedByGguf { .. } => {
                "export the model as a folder (`--format hf`): its tokenizer.json can describe any tokenizer".into()
            }
            Self::MissingSpecialTokens { .. } => {
                "choose an objective that does not need it, or a tokenizer that has it, such as one trained by Kiln"
                    .into()
            }
            Self::ChatTemplate { .. } => "change the conversation, or correct the template".into(),
            Self::TokenWithoutRow { .. } => {
                "leave the token out of the text, or use a model that has a row for it (in transformers: \
                 resize_token_embeddings)"
                    .into()
            }
            Self::TokenId { .. } => "use a model and a tokenizer of the same run".into(),
            Self::Batch { .. } => "check the objective that built the batch".into(),
        }
    }
}
