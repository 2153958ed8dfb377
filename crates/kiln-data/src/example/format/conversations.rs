//! ShareGPT's format: `conversations`, a list of `{from, value}`.

use super::{
    FieldSample, FormatEntry,
    messages::{CONVERSATION_COLUMNS, conversation_column},
    value::{Row, RowProblem, chat_variables, messages_of, optional, required_list, text_of, type_name},
};
use crate::{
    chat::chat_message,
    example::{Example, ExampleFormat, ExampleKind},
};
use serde_json::Value;

pub(super) const FORMAT: FormatEntry = FormatEntry {
    format: ExampleFormat::Conversations,
    kind: ExampleKind::Chat,
    fields: "`conversations`: a list of {from, value}",
    columns: &["messages", "conversations", "conversation", "system", "tools", "chat_template_kwargs"],
    matches,
    convert,
};

/// Names of the speakers, and the roles that templates know.
const ROLES: [(&str, &[&str]); 4] = [
    ("user", &["human", "user", "prompter"]),
    ("assistant", &["gpt", "assistant", "chatgpt", "bard", "bing", "model", "ai", "bot"]),
    ("system", &["system"]),
    ("tool", &["tool", "observation", "function_response", "ipython"]),
];

fn matches(sample: &FieldSample) -> bool {
    CONVERSATION_COLUMNS.iter().any(|column| sample.item_has(column, "from"))
}

fn convert(row: &Row) -> Result<Example, RowProblem> {
    let turns = required_list(row, conversation_column(row))?;
    let mut messages = Vec::with_capacity(turns.len() + 1);
    if let Some(system) = optional(row, "system") {
        messages.push(chat_message("system", &text_of(system, "system")?));
    }
    for (i, turn) in turns.iter().enumerate() {
        messages.push(message(turn, i + 1)?);
    }
    Ok(Example::Chat { messages: messages_of(&messages)?, variables: chat_variables(row)? })
}

/// The message of turn `number`. Further fields, such as `weight`, are kept.
fn message(turn: &Value, number: usize) -> Result<Value, RowProblem> {
    let help = "write each turn as {\"from\": \"human\", \"value\": \"…\"}";
    let problem = |reason: String| RowProblem::new(format!("turn {number} {reason}"), help);
    let Value::Object(fields) = turn else {
        return Err(problem(format!("is {}, expected an object", type_name(turn))));
    };
    let from = turn["from"].as_str().ok_or_else(|| problem("has no `from`".into()))?;
    let role = ROLES.iter().find(|(_, names)| names.contains(&from.to_lowercase().as_str()));
    let Some((role, _)) = role else {
        let known: Vec<&str> = ROLES.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        return Err(problem(format!("has the unknown speaker {from:?} in `from`; known: {}", known.join(", "))));
    };
    let mut message = fields.clone();
    let content = message.shift_remove("value").ok_or_else(|| problem("has no `value`".into()))?;
    message.shift_remove("from");
    message.insert("role".into(), (*role).into());
    message.insert("content".into(), content);
    Ok(message.into())
}
