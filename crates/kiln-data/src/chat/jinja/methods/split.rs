//! Methods that split a text.

use crate::chat::jinja::{
    arguments::{Arguments, int_argument, text_argument},
    error::{Error, Result},
    text::{is_space, split_lines},
    value::Value,
};

/// `split` and `rsplit`.
pub(super) fn split(text: &str, name: &str, arguments: Arguments) -> Result<Value> {
    let [separator, max_splits] = arguments.bind(name, ["sep", "maxsplit"], 0)?;
    let separator = text_argument(separator)?;
    let max_splits = usize::try_from(int_argument(max_splits, -1)?).unwrap_or(usize::MAX - 1);
    let from_right = name == "rsplit";
    let parts = match separator.as_ref().and_then(Value::as_text) {
        Some("") => return Err(Error::new("empty separator")),
        Some(separator) if from_right => {
            let mut parts: Vec<&str> = text.rsplitn(max_splits + 1, separator).collect();
            parts.reverse();
            parts
        }
        Some(separator) => text.splitn(max_splits + 1, separator).collect(),
        None if from_right => split_words_from_right(text, max_splits),
        None => split_words(text, max_splits),
    };
    Value::list(parts.into_iter().map(Value::text).collect())
}

/// Words between white space; the last part keeps the rest of the text once `max_splits` are made.
fn split_words(text: &str, max_splits: usize) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        let end = if words.len() == max_splits { None } else { rest.find(is_space) };
        let Some(end) = end else {
            // The rest keeps its white space at the end only if it was not split.
            words.push(if words.len() == max_splits { rest } else { rest.trim_end_matches(is_space) });
            break;
        };
        words.push(&rest[..end]);
        rest = rest[end..].trim_start_matches(is_space);
    }
    words
}

fn split_words_from_right(text: &str, max_splits: usize) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text.trim_end_matches(is_space);
    while !rest.is_empty() {
        let at = if words.len() == max_splits { None } else { rest.char_indices().rev().find(|(_, c)| is_space(*c)) };
        let Some((at, space)) = at else {
            words.push(if words.len() == max_splits { rest } else { rest.trim_start_matches(is_space) });
            break;
        };
        words.push(&rest[at + space.len_utf8()..]);
        rest = rest[..at].trim_end_matches(is_space);
    }
    words.reverse();
    words
}

/// Python's `str.splitlines`.
pub(super) fn lines(text: &str, arguments: Arguments) -> Result<Value> {
    let [keep_ends] = arguments.bind("splitlines", ["keepends"], 0)?;
    let keep_ends = int_argument(keep_ends, 0)? != 0;
    Value::list(split_lines(text, keep_ends).into_iter().map(Value::text).collect())
}

/// `partition` and `rpartition`.
pub(super) fn partition(text: &str, name: &str, arguments: Arguments) -> Result<Value> {
    let separator = arguments.one(name)?;
    let Some(separator) = separator.as_text() else {
        return Err(Error::new(format!("must be str, not {}", separator.type_name())));
    };
    if separator.is_empty() {
        return Err(Error::new("empty separator"));
    }
    let from_right = name == "rpartition";
    let found = if from_right { text.rsplit_once(separator) } else { text.split_once(separator) };
    let parts = match found {
        Some((before, after)) => [before, separator, after],
        None if from_right => ["", "", text],
        None => [text, "", ""],
    };
    Value::tuple(parts.map(Value::text).to_vec())
}
