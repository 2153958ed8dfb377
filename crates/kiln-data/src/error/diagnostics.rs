//! Kind, location and help of a [`DataError`], for `--json` output and for the lines below an error message.

use super::{DataError, path_and_line};

/// Ending of the help for a bad row.
const SKIP_HELP: &str = ", or leave bad rows out with --skip-bad-rows (recipe: data.source.files.skip_bad_rows = true)";

impl DataError {
    /// Whether the error concerns one row only, so that the rows after it can be read. A text file is one row.
    pub fn is_bad_row(&self) -> bool {
        match self {
            Self::InvalidUtf8 { .. }
            | Self::InvalidJsonLine { .. }
            | Self::InvalidCsvRow { .. }
            | Self::LineTooLong { .. }
            | Self::LoneSurrogate { .. }
            | Self::BadExample { .. } => true,
            Self::UnsupportedFile { is_text, .. } => *is_text,
            Self::MissingTextField { line, .. }
            | Self::WrongFieldType { line, .. }
            | Self::Conversations { line, .. } => *line > 0,
            _ => false,
        }
    }

    /// Whether the error concerns the field that is read, and not the validity of the file.
    pub(crate) fn is_field_error(&self) -> bool {
        matches!(self, Self::MissingTextField { .. } | Self::WrongFieldType { .. } | Self::Conversations { .. })
    }

    /// Whether the text of a source is at fault: a file, a row, or the amount of text. False for errors of the operating
    /// system, interruptions, and errors of tokenizers and batches.
    pub fn is_text_error(&self) -> bool {
        self.is_bad_row()
            || matches!(
                self,
                Self::PathNotFound { .. }
                    | Self::NotAFile { .. }
                    | Self::NoText { .. }
                    | Self::NoReadableFile { .. }
                    | Self::CorruptFile { .. }
                    | Self::CompressedParquet { .. }
                    | Self::UnsupportedFile { .. }
                    | Self::MissingTextField { .. }
                    | Self::WrongFieldType { .. }
                    | Self::Conversations { .. }
                    | Self::BadRows { .. }
                    | Self::AmbiguousFormat { .. }
                    | Self::MixedFormats { .. }
                    | Self::NoRows { .. }
                    | Self::NoChatTemplate { .. }
                    | Self::NoExamples { .. }
                    | Self::WrongKind { .. }
                    | Self::TooFewExamples { .. }
                    | Self::TooShort { .. }
            )
    }

    /// Machine-readable kind: a stable word in kebab case, the value of `error.kind` in `--json` output.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::PathNotFound { .. } => "missing",
            Self::NotAFile { .. } => "not-a-file",
            Self::NoText { .. } | Self::NoReadableFile { .. } => "empty",
            Self::InvalidUtf8 { .. } => "not-utf8",
            Self::CorruptFile { .. } => "broken-archive",
            Self::CompressedParquet { .. } => "compressed-parquet",
            Self::UnsupportedFile { .. } => "not-text",
            Self::InvalidJsonLine { .. } => "json-line",
            Self::InvalidCsvRow { .. } => "csv-row",
            Self::LineTooLong { .. } => "json-long-line",
            Self::LoneSurrogate { .. } => "lone-surrogate",
            Self::Conversations { .. } => "conversations",
            Self::BadRows { .. } => "bad-rows",
            Self::BadExample { .. } => "bad-example",
            Self::AmbiguousFormat { .. } => "ambiguous-format",
            Self::MixedFormats { .. } => "mixed-formats",
            Self::NoRows { .. } => "no-rows",
            Self::NoChatTemplate { .. } => "no-chat-template",
            Self::NoExamples { .. } => "no-examples",
            Self::WrongKind { .. } => "wrong-kind",
            Self::TooFewExamples { .. } => "too-few-examples",
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
            | Self::CorruptFile { path, .. }
            | Self::CompressedParquet { path }
            | Self::UnsupportedFile { path, .. }
            | Self::AmbiguousFormat { path, .. }
            | Self::MixedFormats { path, .. }
            | Self::NoRows { path, .. }
            | Self::Io { path, .. } => Some(path.clone()),
            Self::InvalidUtf8 { path, line, .. }
            | Self::InvalidJsonLine { path, line, .. }
            | Self::InvalidCsvRow { path, line, .. }
            | Self::LineTooLong { path, line, .. }
            | Self::LoneSurrogate { path, line, .. }
            | Self::Conversations { path, line, .. }
            | Self::BadExample { path, line, .. }
            | Self::MissingTextField { path, line, .. }
            | Self::WrongFieldType { path, line, .. } => Some(path_and_line(path, *line)),
            Self::NoText { origin }
            | Self::NoReadableFile { origin, .. }
            | Self::BadRows { origin, .. }
            | Self::TooShort { origin, .. }
            | Self::NoChatTemplate { origin, .. }
            | Self::NoExamples { origin, .. }
            | Self::WrongKind { origin, .. }
            | Self::TooFewExamples { origin }
            | Self::Stopped { origin } => Some(origin.clone()),
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
        let help = self.correction();
        let is_skippable = self.is_bad_row() && !matches!(self, Self::Conversations { .. });
        if is_skippable || matches!(self, Self::BadRows { .. }) { help + SKIP_HELP } else { help }
    }

    /// How to correct the cause of the error.
    fn correction(&self) -> String {
        match self {
            Self::PathNotFound { nearest: Some(name), .. } => format!("did you mean `{name}`?"),
            Self::PathNotFound { nearest: None, .. } | Self::NotAFile { .. } => {
                "check the path; text can be a text, JSON, CSV, TSV or Parquet file, or a folder of them".into()
            }
            Self::NoText { .. } => "give files with text in them".into(),
            Self::NoReadableFile { .. } => {
                "give files with text in them, or set `data.source.files.field` (or --field) to their field".into()
            }
            Self::UnsupportedFile { help, .. } => (*help).into(),
            Self::InvalidUtf8 { .. } => {
                "convert the file to UTF-8, for example with `iconv -t UTF-8`, or leave it out".into()
            }
            Self::CorruptFile { .. } => "download or compress the file again".into(),
            Self::CompressedParquet { .. } => {
                "decompress it with gunzip or unzstd; a .parquet file is compressed internally".into()
            }
            Self::InvalidJsonLine { .. } => "write one JSON object on each line, or a list of objects".into(),
            Self::InvalidCsvRow { .. } => {
                "write as many fields as in the header; put text with delimiters, line ends or quotes in double quotes, and \
                 double the quotes inside"
                    .into()
            }
            Self::LineTooLong { .. } => "split the document over several rows, or save it as a text file".into(),
            Self::LoneSurrogate { .. } => "write the whole character, such as \\ud83d\\ude00".into(),
            Self::Conversations { .. } => {
                "set `data.format` to the format of the rows, or write the text into one field, and name it with --field"
                    .into()
            }
            Self::BadExample { help, .. } => (*help).into(),
            Self::AmbiguousFormat { known, .. } => format!("name one with `data.format`; formats: {known}"),
            Self::MixedFormats { .. } => {
                "give the files as several sources (`data.sources`), or name the format with `data.format`".into()
            }
            Self::NoRows { .. } => "leave the file out, or name another format with `data.format`".into(),
            Self::NoChatTemplate { .. } => {
                "set `data.template` to `chatml` or to the path of a Jinja template, or start from a model that has one".into()
            }
            Self::NoExamples { .. } => {
                "give examples with answers that fit into a row (`sequence_length`), in the format `data.format`".into()
            }
            Self::TooFewExamples { .. } => "give more examples, or a validation source (`data.validation_source`)".into(),
            Self::WrongKind { .. } => "choose another objective, or name another format with `data.format`".into(),
            Self::BadRows { .. } => "correct the rows".into(),
            Self::MissingTextField { .. } => {
                "set `data.source.files.field` (or --field) to the field that holds the text, or name the format of the rows \
                 with `data.format`"
                    .into()
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
