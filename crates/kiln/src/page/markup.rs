//! Code in sentences: `` `text` `` becomes `<code>text</code>`.

use minijinja::{HtmlEscape, Value};
use std::fmt::Write;

/// The template filter `code`: escapes a text for HTML and sets the parts between backticks in a monospace font. A
/// backtick without a partner stays as it is.
pub fn format_code(text: String) -> Value {
    let mut html = String::new();
    let mut rest = text.as_str();
    while let Some((before, code, after)) = split_code(rest) {
        let _ = write!(html, "{}<code>{}</code>", HtmlEscape(before), HtmlEscape(code));
        rest = after;
    }
    let _ = write!(html, "{}", HtmlEscape(rest));
    Value::from_safe_string(html)
}

/// The text before the first pair of backticks, the text between them, and the rest.
fn split_code(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('`')?;
    let (code, after) = rest.split_once('`')?;
    Some((before, code, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backticks_become_code_and_text_is_escaped() {
        let html = |text: &str| format_code(text.into()).to_string();
        assert_eq!(html("objective `full` (a < b)"), "objective <code>full</code> (a &lt; b)");
        assert_eq!(html("`<i>` and one `left"), "<code>&lt;i&gt;</code> and one `left");
        assert_eq!(html(""), "");
    }
}
