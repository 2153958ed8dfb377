//! `text % values`, with the codes of C's `printf`.

use super::{
    float::{exponential, fixed, general},
    parse_width,
    spec::Spec,
};
use crate::chat::jinja::{
    error::{Error, Result},
    methods::ensure_text_length,
    text::char_range,
    value::{Dict, Value, float_to_int, repr, to_text},
};
use std::{rc::Rc, slice};

/// Python's `text % values`.
pub(in super::super) fn percent_format(text: &str, values: &Value) -> Result<String> {
    let single = slice::from_ref(values);
    let (items, mapping) = match values {
        Value::Tuple(items) => (&*items.items, None),
        Value::Dict(dict) => (single, Some(dict)),
        _ => (single, None),
    };
    let mut source = Values { items: items.iter(), mapping };
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out += before;
        let (field, behind) = Field::parse(after, &mut source)?;
        field.write(&mut source, &mut out)?;
        ensure_text_length("%", out.len())?;
        rest = behind;
    }
    out += rest;
    // Values that are left over are an error, unless they could be looked up by name.
    let may_ignore = mapping.is_some() || matches!(values, Value::List(_) | Value::Range(_));
    if source.items.next().is_some() && !may_ignore {
        return Err(Error::new("not all arguments converted during string formatting"));
    }
    Ok(out)
}

/// The values of the fields.
struct Values<'a> {
    items: slice::Iter<'a, Value>,
    mapping: Option<&'a Rc<Dict>>,
}

impl Values<'_> {
    fn next(&mut self) -> Result<Value> {
        self.items.next().cloned().ok_or_else(|| Error::new("not enough arguments for format string"))
    }
}

/// A field: `%[(name)][flags][width][.precision]code`.
struct Field {
    name: Option<Value>,
    spec: Spec,
    is_left: bool,
    has_zeros: bool,
    code: char,
}

impl Field {
    /// The field at the beginning of a text behind its `%`, and what follows.
    fn parse<'t>(text: &'t str, source: &mut Values) -> Result<(Self, &'t str)> {
        let mut field = Self { name: None, spec: Spec::default(), is_left: false, has_zeros: false, code: '%' };
        let mut rest = text;
        if let Some(named) = rest.strip_prefix('(') {
            let (name, after) = named.split_once(')').ok_or_else(|| Error::new("incomplete format key"))?;
            field.name = Some(Value::text(name));
            rest = after;
        }
        while let Some(flag) = rest.chars().next().filter(|c| "#0- +".contains(*c)) {
            match flag {
                '#' => field.spec.alternate = true,
                '0' => field.has_zeros = true,
                '-' => field.is_left = true,
                '+' => field.spec.sign = Some('+'),
                _ => field.spec.sign = field.spec.sign.or(Some(' ')),
            }
            rest = &rest[1..];
        }
        if let Some(width) = number(&mut rest, source)? {
            field.is_left |= width < 0;
            field.spec.width = parse_width(&width.unsigned_abs().to_string())?;
        }
        if let Some(after) = rest.strip_prefix('.') {
            rest = after;
            let precision = number(&mut rest, source)?.unwrap_or(0).max(0);
            field.spec.precision = Some(parse_width(&precision.to_string())?);
        }
        rest = rest.strip_prefix(['h', 'l', 'L']).unwrap_or(rest);
        let mut characters = rest.chars();
        field.code = characters.next().ok_or_else(|| Error::new("incomplete format"))?;
        Ok((field, characters.as_str()))
    }

    fn write(mut self, source: &mut Values, out: &mut String) -> Result<()> {
        if self.code == '%' {
            out.push('%');
            return Ok(());
        }
        let value = match (&self.name, source.mapping) {
            (Some(name), Some(mapping)) => {
                mapping.get(name).cloned().ok_or_else(|| Error::new(format!("KeyError: {name:?}")))?
            }
            (Some(_), None) => return Err(Error::new("format requires a mapping")),
            (None, _) => source.next()?,
        };
        let is_number = "diuxXofFeEgG".contains(self.code);
        self.spec.align = Some(if self.is_left { '<' } else { '>' });
        if self.has_zeros && is_number && !self.is_left {
            (self.spec.fill, self.spec.align) = (Some('0'), Some('='));
        }
        *out += &if is_number { self.format_number(&value)? } else { self.format_text(&value)? };
        Ok(())
    }

    fn format_text(&self, value: &Value) -> Result<String> {
        let text = match (self.code, value) {
            ('s', value) => to_text(value)?,
            ('r', value) => repr(value)?,
            ('c', Value::Text(text)) if text.chars().count() == 1 => text.to_string(),
            ('c', Value::Int(code)) => {
                let c = u32::try_from(*code).ok().and_then(char::from_u32);
                c.map(String::from).ok_or_else(|| Error::new("%c arg not in range(0x110000)"))?
            }
            ('c', _) => return Err(Error::new("%c requires an int or a unicode character")),
            ('a', _) => return Err(Error::unsupported("the format `%a`")),
            (code, _) => return Err(Error::new(format!("unsupported format character '{code}'"))),
        };
        let precision = self.spec.precision.filter(|_| self.code != 'c');
        let text = precision.map_or(&*text, |precision| char_range(&text, 0, precision));
        let spec = Spec { sign: None, alternate: false, precision: None, ..self.spec.clone() };
        spec.format(&Value::text(text))
    }

    fn format_number(&self, value: &Value) -> Result<String> {
        let mut spec = self.spec.clone();
        if "diuxXo".contains(self.code) {
            let int = match value {
                Value::Float(value) if "diu".contains(self.code) => float_to_int(*value),
                value => value.as_int(),
            };
            let code = self.code;
            let int = int.ok_or_else(|| {
                Error::new(format!("%{code} format: an integer is required, not {}", value.type_name()))
            })?;
            if spec.precision.take().is_some() {
                return Err(Error::unsupported(format_args!("a precision in the format `%{code}`")));
            }
            spec.kind = Some(if "iu".contains(code) { 'd' } else { code });
            return spec.format_int(int);
        }
        let float = match value {
            Value::Float(value) => *value,
            other => other
                .as_int()
                .map(|value| value as f64)
                .ok_or_else(|| Error::new(format!("must be real number, not {}", other.type_name())))?,
        };
        let precision = spec.precision.take().unwrap_or(6);
        let text = match self.code.to_ascii_lowercase() {
            'f' => fixed(float.abs(), precision),
            'e' => exponential(float.abs(), precision),
            _ => general(float.abs(), precision),
        };
        if spec.alternate {
            return Err(Error::unsupported("`#` in the format of a floating-point number"));
        }
        let text = if self.code.is_ascii_uppercase() { text.to_uppercase() } else { text };
        Ok(spec.number(float.is_sign_negative() && !float.is_nan(), "", &text, 3))
    }
}

/// A width or a precision: digits, or `*` for the next value.
fn number(rest: &mut &str, source: &mut Values) -> Result<Option<i128>> {
    if let Some(after) = rest.strip_prefix('*') {
        *rest = after;
        return source.next()?.as_int().map(Some).ok_or_else(|| Error::new("* wants int"));
    }
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, after) = rest.split_at(end);
    *rest = after;
    if digits.is_empty() { Ok(None) } else { Ok(Some(parse_width(digits)? as i128)) }
}
