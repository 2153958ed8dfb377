//! Python's methods of strings, lists and dictionaries (`text.strip()`, `message.get('name')`), from
//! `minijinja_contrib::pycompat`, with a limit on the texts that they make.

use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;

/// Maximum length of a text that a method makes, in bytes.
const MAX_TEXT_BYTES: usize = 16 << 20;

/// Calls `value.method(arguments)`.
///
/// The fuel of a template pays for a text only after the method has made it. `replace` and `join` multiply lengths, so
/// that the length of their result is bounded before the call.
pub(super) fn call_method(state: &mut State, value: &Value, method: &str, arguments: &[Value]) -> Result<Value, Error> {
    let text = value.as_str().unwrap_or_default();
    let max_length = match (method, arguments) {
        ("replace", [old, new, ..]) => {
            let num_matches = old.as_str().map_or(0, |old| text.matches(old).count());
            text.len().saturating_add(num_matches.saturating_mul(new.as_str().map_or(0, str::len)))
        }
        ("join", [items, ..]) => items.len().unwrap_or(0).saturating_mul(text.len()),
        _ => 0,
    };
    if max_length > MAX_TEXT_BYTES {
        let message = format!("`{method}` would make a text of more than {MAX_TEXT_BYTES} bytes");
        return Err(Error::new(ErrorKind::OutOfFuel, message));
    }
    unknown_method_callback(state, value, method, arguments)
}
