//! Messages of a conversation as JSON objects.

use serde_json::{Map, Value, json};

/// A chat message: `{"role": role, "content": content}`. Roles are usually `system`, `user`, `assistant` and `tool`.
pub fn chat_message(role: &str, content: &str) -> Value {
    json!({ "role": role, "content": content })
}

/// Keys under which conversations store the reasoning of the assistant, by precedence.
const REASONING_KEYS: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// A copy of a message with its reasoning under both `reasoning_content` and `thinking`, because templates read one or
/// the other. A message without reasoning stays unchanged.
pub(super) fn with_reasoning_aliases(message: &Value) -> Value {
    let reasoning = REASONING_KEYS.iter().map(|key| &message[*key]).find(|text| !text.is_null());
    let (Some(fields), Some(reasoning)) = (message.as_object(), reasoning) else { return message.clone() };
    let mut extended = Map::from_iter([(REASONING_KEYS[1].to_string(), reasoning.clone())]);
    extended.extend(fields.clone());
    extended.insert(REASONING_KEYS[0].into(), reasoning.clone());
    extended.into()
}
