//! Methods of strings.

use super::{characters, ensure_text_length, padding, split};
use crate::chat::jinja::{
    arguments::{Arguments, int_argument, text_argument},
    error::{Error, Result},
    text::{char_range, is_space},
    value::Value,
};

/// Calls a method of a string.
pub(super) fn call(text: &str, name: &str, arguments: Arguments) -> Result<Value> {
    match name {
        "strip" | "lstrip" | "rstrip" => strip(text, name, arguments).map(Value::text),
        "startswith" | "endswith" => has_affix(text, name, arguments).map(Value::Bool),
        "removeprefix" | "removesuffix" => remove_affix(text, name, arguments).map(Value::text),
        "replace" => {
            let [old, new, count] = arguments.bind(name, ["", "", "count"], 2)?;
            replace(text, &required_text(old)?, &required_text(new)?, int_argument(count, -1)?).map(Value::text)
        }
        "join" => join(text, &arguments.one(name)?).map(Value::text),
        "find" | "rfind" | "index" | "rindex" => find(text, name, arguments),
        "count" => count(text, arguments).map(Value::from),
        "split" | "rsplit" => split::split(text, name, arguments),
        "splitlines" => split::lines(text, arguments),
        "partition" | "rpartition" => split::partition(text, name, arguments),
        "ljust" | "rjust" | "center" => padding::justify(text, name, arguments).map(Value::text),
        "zfill" => padding::zero_fill(text, arguments).map(Value::text),
        "expandtabs" => padding::expand_tabs(text, arguments).map(Value::text),
        _ => {
            arguments.none(name)?;
            without_arguments(text, name)
        }
    }
}

fn without_arguments(text: &str, name: &str) -> Result<Value> {
    Ok(match name {
        "upper" => Value::text(text.to_uppercase()),
        "lower" => Value::text(text.to_lowercase()),
        "capitalize" => Value::text(characters::capitalize(text)?),
        "title" => Value::text(characters::title(text)?),
        "swapcase" => Value::text(characters::swap_case(text)?),
        "casefold" => Value::text(characters::case_fold(text)?),
        "islower" => Value::Bool(characters::is_lower(text)),
        "isupper" => Value::Bool(characters::is_upper(text)),
        "istitle" => Value::Bool(characters::is_title(text)),
        "isascii" => Value::Bool(text.is_ascii()),
        "isidentifier" => Value::Bool(characters::is_identifier(text)?),
        "isprintable" => Value::Bool(text.chars().all(crate::chat::jinja::value::is_printable)),
        _ => Value::Bool(characters::all_of_kind(text, name)?),
    })
}

fn required_text(value: Option<Value>) -> Result<Value> {
    text_argument(value)?.ok_or_else(|| Error::new("expected a string, found a NoneType"))
}

/// `strip`, `lstrip` and `rstrip`: of white space, or of the characters of the argument.
pub(in super::super) fn strip(text: &str, name: &str, arguments: Arguments) -> Result<String> {
    let [characters] = arguments.bind(name, [""], 0)?;
    let characters = text_argument(characters)?;
    let is_stripped = |c: char| match characters.as_ref().and_then(Value::as_text) {
        Some(characters) => characters.contains(c),
        None => is_space(c),
    };
    Ok(match name {
        "lstrip" => text.trim_start_matches(is_stripped),
        "rstrip" => text.trim_end_matches(is_stripped),
        _ => text.trim_matches(is_stripped),
    }
    .into())
}

/// The part of a text between two optional bounds, counted in characters, and where it starts; `None` if the start is
/// behind the end of the text.
fn part(text: &str, start: Option<Value>, stop: Option<Value>) -> Result<Option<(&str, usize)>> {
    let length = text.chars().count();
    let place = |bound: Option<Value>, default| -> Result<usize> {
        let bound = int_argument(bound.filter(|bound| !matches!(bound, Value::None)), default)?;
        let bound = if bound < 0 { bound.saturating_add(length as i128).max(0) } else { bound };
        Ok(usize::try_from(bound).unwrap_or(usize::MAX))
    };
    let (start, stop) = (place(start, 0)?, place(stop, length as i128)?.min(length));
    Ok((start <= stop).then(|| (char_range(text, start, stop), start)))
}

/// `startswith` and `endswith`, of a string or a tuple of strings.
fn has_affix(text: &str, name: &str, arguments: Arguments) -> Result<bool> {
    let [affix, start, stop] = arguments.bind(name, ["", "", ""], 1)?;
    let Some((text, _)) = part(text, start, stop)? else { return Ok(false) };
    let has = |affix: &Value| {
        let affix = affix.as_text().ok_or_else(|| {
            Error::new(format!("{name} first arg must be str or a tuple of str, not {}", affix.type_name()))
        })?;
        Ok(if name == "startswith" { text.starts_with(affix) } else { text.ends_with(affix) })
    };
    match affix.unwrap_or(Value::None) {
        Value::Tuple(affixes) => {
            for affix in &affixes.items {
                if has(affix)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        affix => has(&affix),
    }
}

fn remove_affix(text: &str, name: &str, arguments: Arguments) -> Result<String> {
    let affix = required_text(Some(arguments.one(name)?))?;
    let affix = affix.as_text().unwrap_or_default();
    let rest = if name == "removeprefix" { text.strip_prefix(affix) } else { text.strip_suffix(affix) };
    Ok(rest.unwrap_or(text).into())
}

/// Python's `str.replace`; all matches if `count` is negative.
pub(in super::super) fn replace(text: &str, old: &Value, new: &Value, count: i128) -> Result<String> {
    let (old, new) = (old.as_text().unwrap_or_default(), new.as_text().unwrap_or_default());
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let num_matches = text.matches(old).count().min(count);
    ensure_text_length("replace", text.len().saturating_add(num_matches.saturating_mul(new.len())))?;
    Ok(text.replacen(old, new, count))
}

/// Python's `str.join`, whose items must be strings.
fn join(separator: &str, items: &Value) -> Result<String> {
    ensure_text_length("join", separator.len().saturating_mul(items.length().unwrap_or_default()))?;
    let items = items.items()?;
    let texts = items.iter().enumerate().map(|(i, item)| {
        item.as_text()
            .ok_or_else(|| Error::new(format!("sequence item {i}: expected str instance, {} found", item.type_name())))
    });
    join_texts(separator, &texts.collect::<Result<Vec<_>>>()?)
}

/// Texts with a separator between them. Fails if the result would be too long.
pub(in super::super) fn join_texts<T: AsRef<str>>(separator: &str, texts: &[T]) -> Result<String> {
    let num_bytes = texts.iter().fold(0usize, |sum, text| sum.saturating_add(text.as_ref().len() + separator.len()));
    ensure_text_length("join", num_bytes)?;
    let mut out = String::with_capacity(num_bytes);
    for (i, text) in texts.iter().enumerate() {
        if i > 0 {
            out += separator;
        }
        out += text.as_ref();
    }
    Ok(out)
}

/// `find`, `rfind`, `index` and `rindex`.
fn find(text: &str, name: &str, arguments: Arguments) -> Result<Value> {
    let [wanted, start, stop] = arguments.bind(name, ["", "", ""], 1)?;
    let wanted = required_text(wanted)?;
    let wanted = wanted.as_text().unwrap_or_default();
    let found = part(text, start, stop)?.and_then(|(text, start)| {
        let at = if name.starts_with('r') { text.rfind(wanted) } else { text.find(wanted) };
        at.map(|at| start + text[..at].chars().count())
    });
    match found {
        Some(index) => Ok(index.into()),
        None if name.ends_with("index") => Err(Error::new("substring not found")),
        None => Ok(Value::Int(-1)),
    }
}

fn count(text: &str, arguments: Arguments) -> Result<usize> {
    let [wanted, start, stop] = arguments.bind("count", ["", "", ""], 1)?;
    let wanted = required_text(wanted)?;
    Ok(part(text, start, stop)?.map_or(0, |(text, _)| text.matches(wanted.as_text().unwrap_or_default()).count()))
}
