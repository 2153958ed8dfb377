//! Values of a row: texts, lists of messages, tools.

use crate::example::{ChatVariables, Turns};
use serde_json::{Map, Value};

/// What is wrong with a row, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowProblem {
    /// What was found and what was expected.
    pub reason: String,
    /// What to do, as an imperative.
    pub help: &'static str,
}

impl RowProblem {
    pub(crate) fn new(reason: impl Into<String>, help: &'static str) -> Self {
        Self { reason: reason.into(), help }
    }
}

/// Help for a missing or wrong value.
const WRITE_FIELD: &str = "write the field in each row, or name another format with `data.format`";
/// Help for messages.
const WRITE_MESSAGE: &str = "write each message as {\"role\": \"user\", \"content\": \"…\"}";

/// A row: its fields by name.
pub(super) type Row = Map<String, Value>;

/// The value of a field that the row must have, and that is not null.
pub(super) fn required<'a>(row: &'a Row, field: &str) -> Result<&'a Value, RowProblem> {
    match row.get(field) {
        None => Err(RowProblem::new(format!("no field `{field}`"), WRITE_FIELD)),
        Some(Value::Null) => Err(RowProblem::new(format!("field `{field}` is null"), WRITE_FIELD)),
        Some(value) => Ok(value),
    }
}

/// The value of a field, unless it is missing, null or an empty text.
pub(super) fn optional<'a>(row: &'a Row, field: &str) -> Option<&'a Value> {
    row.get(field).filter(|value| !value.is_null() && value.as_str() != Some(""))
}

/// The text of a field that the row must have.
pub(super) fn required_text(row: &Row, field: &str) -> Result<String, RowProblem> {
    text_of(required(row, field)?, field)
}

/// A value that must be a string.
pub(super) fn text_of(value: &Value, field: &str) -> Result<String, RowProblem> {
    match value {
        Value::String(text) => Ok(text.clone()),
        other => Err(wrong_type(field, other, "a string")),
    }
}

fn wrong_type(field: &str, found: &Value, expected: &str) -> RowProblem {
    RowProblem::new(format!("field `{field}` is {}, expected {expected}", type_name(found)), WRITE_FIELD)
}

/// Type of a value, with an article.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A value, or the JSON that it holds as a string: tables without lists store lists so.
pub(super) fn parsed(value: &Value) -> Value {
    let text = value.as_str().map(str::trim_start).filter(|text| text.starts_with(['[', '{']));
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| value.clone())
}

/// The list in a field that the row must have.
pub(super) fn required_list(row: &Row, field: &str) -> Result<Vec<Value>, RowProblem> {
    let value = required(row, field)?;
    match parsed(value) {
        Value::Array(items) => Ok(items),
        _ => Err(wrong_type(field, value, "a list of messages")),
    }
}

/// A text, or messages, in a field that the row must have.
pub(super) fn required_turns(row: &Row, field: &str) -> Result<Turns, RowProblem> {
    let value = required(row, field)?;
    match parsed(value) {
        Value::Array(items) if is_message_list(&items) || value.is_array() => Ok(Turns::Messages(messages_of(&items)?)),
        Value::Object(message) if value.is_object() => Ok(Turns::Messages(messages_of(&[message.into()])?)),
        _ => Ok(Turns::Text(text_of(value, field)?)),
    }
}

/// Whether a list holds messages: objects with a role.
pub(super) fn is_message_list(items: &[Value]) -> bool {
    items.first().is_some_and(|first| first["role"].is_string())
}

/// Messages with a role and a text, ready for a template.
pub(super) fn messages_of(items: &[Value]) -> Result<Vec<Value>, RowProblem> {
    items.iter().enumerate().map(|(i, item)| message_of(item, i + 1)).collect()
}

/// Message `number`: parts of content are joined, and nulls besides a null content are left out, because templates ask
/// whether a field exists.
fn message_of(item: &Value, number: usize) -> Result<Value, RowProblem> {
    let found = |reason: String| RowProblem::new(format!("message {number} {reason}"), WRITE_MESSAGE);
    let Value::Object(fields) = item else { return Err(found(format!("is {}, expected an object", type_name(item)))) };
    match &item["role"] {
        Value::String(role) if !role.is_empty() => {}
        Value::Null => return Err(found("has no `role`".into())),
        other => return Err(found(format!("has a `role` that is {}, expected a string", type_name(other)))),
    }
    let content = content_of(&item["content"]).map_err(found)?;
    let mut message: Map<String, Value> = fields
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if content.is_null()
        && !["tool_calls", "function_call", "reasoning_content"].iter().any(|key| message.contains_key(*key))
    {
        return Err(found("has no `content`".into()));
    }
    message.insert("content".into(), content);
    Ok(message.into())
}

/// Content as one text. Other parts than texts, such as images, are errors.
fn content_of(content: &Value) -> Result<Value, String> {
    let Value::Array(parts) = content else {
        return match content {
            Value::String(_) | Value::Null => Ok(content.clone()),
            other => Err(format!("has a `content` that is {}, expected a string", type_name(other))),
        };
    };
    let text = |part: &Value| match part {
        Value::String(text) => Ok(text.clone()),
        part => match part["text"].as_str() {
            Some(text) if part["type"].as_str().is_none_or(|kind| kind == "text") => Ok(text.to_owned()),
            _ => {
                let kind = part["type"].as_str().unwrap_or("unknown");
                Err(format!("has a part of type `{kind}` in its `content`, expected text"))
            }
        },
    };
    parts.iter().map(text).collect::<Result<String, _>>().map(Value::from)
}

/// `tools` and `chat_template_kwargs` of a row, as values or as JSON in a string.
pub(super) fn chat_variables(row: &Row) -> Result<ChatVariables, RowProblem> {
    let tools = match optional(row, "tools").map(|value| (parsed(value), value)) {
        None => None,
        Some((Value::Array(tools), _)) => Some(tools).filter(|tools| !tools.is_empty()),
        Some((_, value)) => return Err(wrong_type("tools", value, "a list of tools")),
    };
    let template_kwargs = match optional(row, "chat_template_kwargs").map(|value| (parsed(value), value)) {
        None => Map::new(),
        Some((Value::Object(kwargs), _)) => kwargs,
        Some((_, value)) => return Err(wrong_type("chat_template_kwargs", value, "an object")),
    };
    Ok(ChatVariables { tools, template_kwargs })
}
