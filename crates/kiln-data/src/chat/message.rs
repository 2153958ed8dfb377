//! Messages, as templates expect them.

use serde_json::{Map, Value, json};

/// A message of a conversation.
pub fn chat_message(role: &str, content: &str) -> Value {
    json!({ "role": role, "content": content })
}

/// The names that templates have for the assistant's reasoning.
const REASONING_KEYS: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// The first two are there wherever there is one.
pub(super) fn with_reasoning_aliases(message: &Value) -> Value {
    let text = REASONING_KEYS.iter().map(|name| &message[*name]).find(|text| !text.is_null());
    let (Some(fields), Some(text)) = (message.as_object(), text) else { return message.clone() };
    let mut all = Map::from_iter([(REASONING_KEYS[1].to_string(), text.clone())]);
    all.extend(fields.clone());
    all.insert(REASONING_KEYS[0].into(), text.clone());
    all.into()
}
