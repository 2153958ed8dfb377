//! What a program and a person are told about an error besides its message.

use super::DataError;

impl DataError {
    /// A short machine-readable word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "missing",
            Self::NotAFile { .. } => "not-a-file",
            Self::Empty { .. } => "empty",
            Self::NotText { .. } => "not-utf8",
            Self::Archive { .. } => "broken-archive",
            Self::Packed { .. } => "packed-table",
            Self::JsonLine { .. } => "json-line",
            Self::LongLine { .. } => "json-long-line",
            Self::JsonField { .. } => "json-field",
            Self::JsonType { .. } => "json-type",
            Self::Io { .. } => "io",
            Self::Stopped { .. } => "stopped",
            Self::Short { .. } => "too-short",
            Self::Config { .. } => "config",
            Self::Tokenizer { .. } => "tokenizer",
            Self::Uncarried { .. } => "uncarried",
            Self::Specials { .. } => "special-tokens",
            Self::Chat { .. } => "chat-template",
            Self::Id { .. } => "token-id",
            Self::Batch { .. } => "batch",
        }
    }

    /// Where it is: a file, with its line where there is one, or a key.
    pub fn place(&self) -> Option<String> {
        match self {
            Self::Missing { path, .. }
            | Self::NotAFile { path }
            | Self::NotText { path, .. }
            | Self::Archive { path, .. }
            | Self::Packed { path }
            | Self::Io { path, .. } => Some(path.clone()),
            Self::JsonLine { path, line, .. }
            | Self::LongLine { path, line, .. }
            | Self::JsonField { path, line, .. }
            | Self::JsonType { path, line, .. } => Some(format!("{path}:{line}")),
            Self::Empty { origin } | Self::Short { origin, .. } | Self::Stopped { origin } => Some(origin.clone()),
            Self::Config { key, .. } => Some((*key).into()),
            Self::Tokenizer { .. }
            | Self::Uncarried { .. }
            | Self::Specials { .. }
            | Self::Chat { .. }
            | Self::Id { .. }
            | Self::Batch { .. } => None,
        }
    }

    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            Self::Missing { nearest: Some(name), .. } => format!("did you mean `{name}`?"),
            Self::Missing { nearest: None, .. } | Self::NotAFile { .. } => {
                "give a text file, a .jsonl or a folder".into()
            }
            Self::Empty { .. } => "give files with text in them".into(),
            Self::NotText { .. } => "convert it to UTF-8, for example with `iconv -t UTF-8`, or leave it out".into(),
            Self::Archive { .. } => "fetch or compress the file again".into(),
            Self::Packed { .. } => "unpack it with gunzip or unzstd: a .parquet is compressed within".into(),
            Self::JsonLine { .. } => "a .jsonl holds one JSON object a line".into(),
            Self::LongLine { .. } => "split the document over several lines, or save it as a text file".into(),
            Self::JsonField { .. } => {
                "name the field that holds the text: `data.source.files.field`, or --field".into()
            }
            Self::JsonType { .. } => "name another field, or turn its values into strings".into(),
            Self::Io { .. } => "check the permissions and the space left on the disk".into(),
            Self::Stopped { .. } => "start again to read on".into(),
            Self::Short { .. } => "give more text: at least two different passages of 2 KiB".into(),
            Self::Config { key, expected, .. } => format!("set `{key}` to {expected}"),
            Self::Tokenizer { .. } => {
                "use the tokenizer files that came with the model, or were saved with the run".into()
            }
            Self::Uncarried { .. } => {
                "keep it as a tokenizer.json: a folder (`--format hf`) holds any tokenizer".into()
            }
            Self::Specials { .. } => {
                "choose something that does without, or a tokenizer that has it, such as one that Kiln trained".into()
            }
            Self::Chat { .. } => "give another conversation, or mend the template".into(),
            Self::Id { .. } => "model and tokenizer must come from the same run".into(),
            Self::Batch { .. } => "check the objective that made the batch".into(),
        }
    }
}
