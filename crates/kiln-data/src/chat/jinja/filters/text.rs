//! Filters of text.

use crate::chat::jinja::{
    arguments::{Arguments, int_argument},
    error::{Error, Result},
    format::percent_format,
    methods,
    text::{char_range, is_space, split_lines},
    value::{Dict, Value, to_text},
};
use std::rc::Rc;

/// A filter that makes text.
pub(super) fn apply(name: &str, value: &Value, arguments: Arguments) -> Result<Value> {
    if matches!(value, Value::Markup(_)) && !["string", "safe", "escape", "forceescape"].contains(&name) {
        return Err(Error::unsupported(format_args!("the filter `{name}` of escaped text")));
    }
    match name {
        "indent" => indent(value, arguments).map(Value::text),
        "truncate" => truncate(value, arguments).map(Value::text),
        "format" => format(value, arguments).map(Value::text),
        "trim" => {
            let [characters] = arguments.bind(name, ["chars"], 0)?;
            let arguments = Arguments::new(characters.into_iter().collect());
            methods::strip(&to_text(value)?, "strip", arguments).map(Value::text)
        }
        "replace" => {
            let [old, new, count] = arguments.bind(name, ["old", "new", "count"], 2)?;
            let text_of = |value: Option<Value>| to_text(&value.unwrap_or(Value::None)).map(Value::text);
            let count = int_argument(count.filter(|count| !matches!(count, Value::None)), -1)?;
            methods::replace(&to_text(value)?, &text_of(old)?, &text_of(new)?, count).map(Value::text)
        }
        "center" => {
            let [width] = arguments.bind(name, ["width"], 0)?;
            methods::center(&to_text(value)?, int_argument(width, 80)?).map(Value::text)
        }
        _ => {
            arguments.none(name)?;
            without_arguments(name, value)
        }
    }
}

fn without_arguments(name: &str, value: &Value) -> Result<Value> {
    let text = to_text(value)?;
    Ok(match name {
        "upper" => Value::text(text.to_uppercase()),
        "lower" => Value::text(text.to_lowercase()),
        "capitalize" => Value::text(methods::capitalize(&text)?),
        "title" => Value::text(title(&text)?),
        "string" => match value {
            Value::Markup(_) => value.clone(),
            _ => Value::text(text),
        },
        "wordcount" => word_count(&text)?.into(),
        "safe" => Value::Markup(text.into()),
        _ if matches!(value, Value::Markup(_)) => value.clone(),
        _ => Value::Markup(escape(&text).into()),
    })
}

/// Text with the characters escaped that have a meaning in HTML.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '\'' => out += "&#39;",
            '"' => out += "&#34;",
            c => out.push(c),
        }
    }
    out
}

/// Words begin behind white space, hyphens and opening brackets; unlike `str.title`, not behind apostrophes.
fn title(text: &str) -> Result<String> {
    let is_boundary = |c: char| is_space(c) || "-({[<".contains(c);
    let mut out = String::new();
    for word in text.split_inclusive(is_boundary) {
        let Some(first) = word.chars().next() else { continue };
        out.extend(first.to_uppercase());
        let rest = &word[first.len_utf8()..];
        if rest.contains('Σ') {
            return Err(Error::unsupported("the filter `title` of a word with `Σ`"));
        }
        out += &rest.to_lowercase();
    }
    Ok(out)
}

/// Number of runs of letters, digits and underscores.
fn word_count(text: &str) -> Result<usize> {
    if !text.is_ascii() {
        return Err(Error::unsupported("the filter `wordcount` of a text that is not ASCII"));
    }
    let is_word = |c: char| c == '_' || c.is_ascii_alphanumeric();
    Ok(text.split(|c| !is_word(c)).filter(|word| !word.is_empty()).count())
}

/// Lines with spaces before them, except for the first and the empty ones.
fn indent(value: &Value, arguments: Arguments) -> Result<String> {
    let [width, first, blank] = arguments.bind("indent", ["width", "first", "blank"], 0)?;
    let indention = match width {
        Some(Value::Text(text)) => text.to_string(),
        width => {
            let width = usize::try_from(int_argument(width, 4)?.max(0)).unwrap_or(usize::MAX);
            methods::ensure_text_length("indent", width)?;
            " ".repeat(width)
        }
    };
    let Some(text) = value.as_text() else {
        return Err(Error::new(format!("the filter `indent` expects a string, found a {}", value.type_name())));
    };
    let [first, blank] = [first, blank].map(|flag| flag.is_some_and(|flag| flag.is_true()));
    // The reference appends a new line before it splits: an empty last line is a line.
    let text = format!("{text}\n");
    let lines = split_lines(&text, false);
    methods::ensure_text_length("indent", text.len().saturating_add(lines.len().saturating_mul(indention.len())))?;
    let mut out = String::new();
    for (i, line) in lines.iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        let is_indented = if i == 0 { first } else { blank || !line.is_empty() };
        if is_indented {
            out += &indention;
        }
        out += line;
    }
    Ok(out)
}

fn truncate(value: &Value, arguments: Arguments) -> Result<String> {
    let parameters = ["length", "killwords", "end", "leeway"];
    let [length, cuts_words, end, leeway] = arguments.bind("truncate", parameters, 0)?;
    let Some(text) = value.as_text() else {
        return Err(Error::unsupported(format_args!("the filter `truncate` of a {}", value.type_name())));
    };
    let (length, leeway) = (int_argument(length, 255)?, int_argument(leeway, 5)?);
    let end = end.map_or_else(|| Ok("...".into()), |end| to_text(&end))?;
    let kept = length - end.chars().count() as i128;
    if kept < 0 || leeway < 0 {
        return Err(Error::new("the filter `truncate` has a length that is shorter than its end"));
    }
    if text.chars().count() as i128 <= length.saturating_add(leeway) {
        return Ok(text.into());
    }
    let kept = char_range(text, 0, usize::try_from(kept).unwrap_or(usize::MAX));
    let cuts_words = cuts_words.is_some_and(|cuts| cuts.is_true());
    let kept = if cuts_words { kept } else { kept.rsplit_once(' ').map_or(kept, |(before, _)| before) };
    Ok(format!("{kept}{end}"))
}

/// `text | format(values)`: Python's `text % values`.
fn format(value: &Value, arguments: Arguments) -> Result<String> {
    if !arguments.positional.is_empty() && !arguments.keyword.is_empty() {
        return Err(Error::new("the filter `format` takes positional or named arguments, found both"));
    }
    let values = if arguments.keyword.is_empty() {
        Value::tuple(arguments.positional)?
    } else {
        let entries = arguments.keyword.into_iter().map(|(name, value)| (Value::Text(name), value));
        Value::Dict(Rc::new(Dict::new(entries)?))
    };
    percent_format(&to_text(value)?, &values)
}
