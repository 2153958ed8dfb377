//! `text.format(values)`: fields `{name.attribute[key]!conversion:specification}`.

use super::spec::Spec;
use crate::chat::jinja::{
    arguments::Arguments,
    error::{Error, Result},
    methods::ensure_text_length,
    run::Renderer,
    value::{Value, repr, to_text},
};

/// Python's `text.format(*positional, **keyword)`.
pub(in super::super) fn str_format(renderer: &Renderer, text: &str, arguments: &Arguments) -> Result<String> {
    let mut formatter = Formatter { renderer, arguments, next_index: Some(0) };
    formatter.format(text, 2)
}

struct Formatter<'a, 't> {
    renderer: &'a Renderer<'t>,
    arguments: &'a Arguments,
    /// The next argument of a field without a name; `None` once fields have numbers.
    next_index: Option<usize>,
}

impl Formatter<'_, '_> {
    /// `depth` is the number of levels of fields that are left: a specification may have fields too.
    fn format(&mut self, text: &str, depth: usize) -> Result<String> {
        if depth == 0 {
            return Err(Error::new("Max string recursion exceeded"));
        }
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            out += before;
            if brace.starts_with("{{") || brace.starts_with("}}") {
                out.push_str(&brace[..1]);
                rest = &brace[2..];
                continue;
            }
            if brace.starts_with('}') {
                return Err(Error::new("Single '}' encountered in format string"));
            }
            let end = field_end(brace).ok_or_else(|| Error::new("expected '}' before end of string"))?;
            out += &self.field(&brace[1..end], depth)?;
            ensure_text_length("format", out.len())?;
            rest = &brace[end + 1..];
        }
        Ok(out + rest)
    }

    fn field(&mut self, field: &str, depth: usize) -> Result<String> {
        let split = field.find([':', '!']).unwrap_or(field.len());
        let (name, mut rest) = field.split_at(split);
        let mut conversion = None;
        if let Some(after) = rest.strip_prefix('!') {
            conversion = after.chars().next();
            rest = &after[conversion.map_or(0, char::len_utf8)..];
            if !rest.is_empty() && !rest.starts_with(':') {
                return Err(Error::new("expected ':' after conversion specifier"));
            }
        }
        let value = self.value(name)?;
        let value = match conversion {
            None => value,
            Some('s') => Value::text(to_text(&value)?),
            Some('r') => Value::text(repr(&value)?),
            Some(other) => return Err(Error::unsupported(format_args!("the conversion `!{other}`"))),
        };
        let spec = rest.strip_prefix(':').unwrap_or_default();
        let spec = if spec.is_empty() { String::new() } else { self.format(spec, depth - 1)? };
        if spec.is_empty() { to_text(&value) } else { Spec::parse(&spec)?.format(&value) }
    }

    /// The argument of a field, with its attributes and items.
    fn value(&mut self, field: &str) -> Result<Value> {
        let end = field.find(['.', '[']).unwrap_or(field.len());
        let (name, mut rest) = field.split_at(end);
        let mut value = self.argument(name, field)?;
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(['.', '[']).unwrap_or(after.len());
                value = self.renderer.attribute(&value, &after[..end].into())?;
                rest = &after[end..];
            } else if let Some((key, after)) = rest.strip_prefix('[').and_then(|after| after.split_once(']')) {
                let key = key.parse().map_or_else(|_| Value::text(key), Value::Int);
                value = self.renderer.item(&value, &key)?;
                rest = after;
            } else {
                return Err(Error::new("Missing ']' in format string"));
            }
        }
        Ok(value)
    }

    /// The argument of a field. Only a field without any name takes the next argument.
    fn argument(&mut self, name: &str, field: &str) -> Result<Value> {
        let is_number = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
        let index = match self.next_index {
            Some(next) if field.is_empty() => {
                self.next_index = Some(next + 1);
                next
            }
            None | Some(0) if is_number => {
                if name == field {
                    self.next_index = None;
                }
                name.parse().unwrap_or(usize::MAX)
            }
            _ if field.is_empty() || is_number => {
                return Err(Error::new("cannot switch between numbered and automatic fields"));
            }
            _ => {
                let found = self.arguments.keyword.iter().find(|(keyword, _)| **keyword == *name);
                return found.map(|(_, value)| value.clone()).ok_or_else(|| Error::new(format!("KeyError: '{name}'")));
            }
        };
        let found = self.arguments.positional.get(index).cloned();
        found.ok_or_else(|| Error::new(format!("replacement index {index} is out of range for positional arguments")))
    }
}

/// Offset of the brace that closes a field.
fn field_end(field: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in field.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}
