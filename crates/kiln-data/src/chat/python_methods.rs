//! Python's methods of strings, lists and objects, of which templates make use.

use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;

/// The longest text that a method may make, in bytes.
const MAX_TEXT_BYTES: usize = 16 << 20;

/// Calls `value.method(arguments)`. Texts that are put together many times over are measured first: the budget of a
/// template counts them only when they are there.
pub(super) fn call_method(state: &mut State, value: &Value, method: &str, arguments: &[Value]) -> Result<Value, Error> {
    let text = value.as_str().unwrap_or_default();
    let length = |i: usize| arguments.get(i).and_then(Value::as_str).map_or(0, str::len);
    let most = match method {
        "replace" => {
            let found = arguments.first().and_then(Value::as_str).map_or(0, |old| text.matches(old).count());
            text.len().saturating_add(found.saturating_mul(length(1)))
        }
        "join" => arguments.first().and_then(Value::len).unwrap_or(0).saturating_mul(text.len()),
        _ => 0,
    };
    if most > MAX_TEXT_BYTES {
        let what = format!("`{method}` would make a text of more than {MAX_TEXT_BYTES} bytes");
        return Err(Error::new(ErrorKind::OutOfFuel, what));
    }
    unknown_method_callback(state, value, method, arguments)
}
