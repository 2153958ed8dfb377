//! Formats of examples: recognition by the fields of the first rows, and conversion of a row.
//!
//! | format | fields | kind |
//! |---|---|---|
//! | `text` | `text`, or the field that `data.source.files.field` names | text |
//! | `messages` | `messages`: a list of `{role, content}` (OpenAI); `tools` | chat |
//! | `conversations` | `conversations`: a list of `{from, value}` (ShareGPT); `system`, `tools` | chat |
//! | `prompt_completion` | `prompt`, `completion`: texts or lists of messages (TRL) | prompt_completion |
//! | `instruction` | `instruction`, `output`; `input`, `system` (Alpaca) | chat, or prompt_completion without a chat template |
//! | `preference` | `chosen`, `rejected`; `prompt`: texts or lists of messages (TRL) | preference |
//! | `labeled` | `text`, `label` | labeled |
//! | `pairs` | two texts: `anchor`, `positive` (or `query`, `positive`; `sentence1`, `sentence2`; `question`, `answer`); `negative` | pair |

mod conversations;
mod instruction;
mod labeled;
mod messages;
mod pairs;
mod preference;
mod prompt_completion;
mod recognize;
#[cfg(test)]
mod tests;
mod value;

use super::{Example, ExampleKind};
pub(crate) use instruction::alpaca_prompt;
pub use recognize::{FieldSample, Recognized, recognize};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;
pub use value::RowProblem;

/// Format of the rows of a source.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[serde(rename_all = "snake_case")]
pub enum ExampleFormat {
    /// The format is recognized by the fields of the first rows.
    #[default]
    Auto,
    /// One text a row, or a file of plain text.
    Text,
    /// `messages`: a list of `{role, content}`, as in OpenAI's files.
    Messages,
    /// `conversations`: a list of `{from, value}`, as in ShareGPT's files.
    Conversations,
    /// `prompt` and `completion`: texts or lists of messages.
    PromptCompletion,
    /// `instruction`, `input` and `output`, as in Alpaca's files.
    Instruction,
    /// `prompt`, `chosen` and `rejected`: texts or lists of messages.
    Preference,
    /// `text` and `label`.
    Labeled,
    /// Two texts that belong together, and texts that do not.
    Pairs,
}

/// Name of a format.
pub type FormatName = &'static str;

/// A format: its fields, and how a row becomes an example.
pub(crate) struct FormatEntry {
    pub format: ExampleFormat,
    pub kind: ExampleKind,
    /// The fields, for messages.
    pub fields: &'static str,
    /// Columns that the conversion reads.
    #[cfg_attr(not(feature = "files"), expect(dead_code))]
    pub columns: &'static [&'static str],
    /// Whether rows like this sample have the fields of the format.
    pub matches: fn(&FieldSample) -> bool,
    /// The example of a row.
    pub convert: fn(&Map<String, Value>) -> Result<Example, RowProblem>,
}

/// The formats besides plain text.
pub(crate) const FORMATS: [FormatEntry; 7] = [
    messages::FORMAT,
    conversations::FORMAT,
    preference::FORMAT,
    prompt_completion::FORMAT,
    instruction::FORMAT,
    pairs::FORMAT,
    labeled::FORMAT,
];

impl ExampleFormat {
    /// Name as in a recipe: `prompt_completion`.
    pub fn name(self) -> FormatName {
        match self {
            Self::Auto => "auto",
            Self::Text => "text",
            Self::Messages => "messages",
            Self::Conversations => "conversations",
            Self::PromptCompletion => "prompt_completion",
            Self::Instruction => "instruction",
            Self::Preference => "preference",
            Self::Labeled => "labeled",
            Self::Pairs => "pairs",
        }
    }

    /// The kind of the examples. [`Auto`](Self::Auto) counts as text.
    ///
    /// Rows of `instruction` are chats if the model has a chat template, else prompts with completions.
    pub fn kind(self, has_template: bool) -> ExampleKind {
        match self.entry() {
            Some(FormatEntry { format: Self::Instruction, .. }) if !has_template => ExampleKind::PromptCompletion,
            Some(entry) => entry.kind,
            None => ExampleKind::Text,
        }
    }

    /// Whether each row is a plain text.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Auto | Self::Text)
    }

    /// The example of a row with these fields. A row of plain text has it in the field `text`.
    ///
    /// # Errors
    /// What is wrong with the row, and what to do.
    pub fn convert_row(self, row: &Map<String, Value>) -> Result<Example, RowProblem> {
        match self.entry() {
            Some(entry) => (entry.convert)(row),
            None => value::required_text(row, crate::config::DEFAULT_TEXT_FIELD).map(Example::Text),
        }
    }

    /// The table entry; `None` for plain text.
    pub(crate) fn entry(self) -> Option<&'static FormatEntry> {
        FORMATS.iter().find(|entry| entry.format == self)
    }
}

impl fmt::Display for ExampleFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether a format reads a column of this name.
pub(crate) fn is_known_column(name: &str) -> bool {
    name == crate::config::DEFAULT_TEXT_FIELD || FORMATS.iter().any(|entry| entry.columns.contains(&name))
}

/// All formats with their fields, one a line, for messages.
pub fn list_formats() -> String {
    let text = "text (`text`, or the field that --field names)".to_owned();
    let formats = FORMATS.iter().map(|entry| format!("{} ({})", entry.format, entry.fields));
    [text].into_iter().chain(formats).collect::<Vec<_>>().join("; ")
}
