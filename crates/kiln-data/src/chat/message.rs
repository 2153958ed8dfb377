//! Messages, as templates expect them.

use serde_json::{Map, Value, json};

/// A message of a conversation.
pub fn message(role: &str, content: &str) -> Value {
    json!({ "role": role, "content": content })
}

/// The names that templates have for the assistant's reasoning.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// The first two are there wherever there is one.
pub(super) fn reasoned(message: &Value) -> Value {
    let text = REASONING.iter().map(|name| &message[*name]).find(|text| !text.is_null());
    let (Some(fields), Some(text)) = (message.as_object(), text) else { return message.clone() };
    let mut all = Map::from_iter([(REASONING[1].to_string(), text.clone())]);
    all.extend(fields.clone());
    all.insert(REASONING[0].into(), text.clone());
    all.into()
}
