//! OpenAI's format: `messages`, a list of `{role, content}`.

use super::{
    FieldSample, FormatEntry,
    value::{Row, RowProblem, chat_variables, messages_of, required_list},
};
use crate::example::{Example, ExampleFormat, ExampleKind};

/// Columns with conversations, in the order in which they are looked for.
pub(super) const CONVERSATION_COLUMNS: [&str; 3] = ["messages", "conversations", "conversation"];

pub(super) const FORMAT: FormatEntry = FormatEntry {
    format: ExampleFormat::Messages,
    kind: ExampleKind::Chat,
    fields: "`messages`: a list of {role, content}",
    columns: &["messages", "conversations", "conversation", "tools", "chat_template_kwargs"],
    matches,
    convert,
};

fn matches(sample: &FieldSample) -> bool {
    CONVERSATION_COLUMNS.iter().any(|column| sample.item_has(column, "role"))
}

fn convert(row: &Row) -> Result<Example, RowProblem> {
    let messages = messages_of(&required_list(row, conversation_column(row))?)?;
    Ok(Example::Chat { messages, variables: chat_variables(row)? })
}

/// The first column with a conversation; `messages` if there is none, for the error.
pub(super) fn conversation_column(row: &Row) -> &'static str {
    let has_value = |column: &&str| row.get(*column).is_some_and(|value| !value.is_null());
    CONVERSATION_COLUMNS.into_iter().find(has_value).unwrap_or(CONVERSATION_COLUMNS[0])
}
