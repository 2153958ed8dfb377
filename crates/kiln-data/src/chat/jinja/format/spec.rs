//! Specifications of `format`: `[[fill]align][sign][#][0][width][grouping][.precision][type]`.

use super::{
    float::{exponential, fixed, general},
    parse_width,
};
use crate::chat::jinja::{
    error::{Error, Result},
    text::char_range,
    value::{Value, float_repr},
};

/// A parsed specification.
#[derive(Debug, Default, Clone)]
pub(super) struct Spec {
    pub(super) fill: Option<char>,
    /// `<`, `>`, `^` or `=`.
    pub(super) align: Option<char>,
    /// `+`, `-` or a space.
    pub(super) sign: Option<char>,
    pub(super) alternate: bool,
    pub(super) width: usize,
    /// `,` or `_` between groups of digits.
    pub(super) grouping: Option<char>,
    pub(super) precision: Option<usize>,
    pub(super) kind: Option<char>,
}

impl Spec {
    pub(super) fn parse(spec: &str) -> Result<Self> {
        let mut parsed = Self::default();
        let mut rest = spec;
        let mut characters = rest.chars();
        let (first, second) = (characters.next(), characters.next());
        let is_align = |c: Option<char>| c.is_some_and(|c| "<>=^".contains(c));
        if is_align(second) {
            (parsed.fill, parsed.align) = (first, second);
            rest = characters.as_str();
        } else if is_align(first) {
            parsed.align = first;
            rest = &rest[1..];
        }
        parsed.sign = take(&mut rest, |c| "+- ".contains(c));
        parsed.alternate = take(&mut rest, |c| c == '#').is_some();
        if take(&mut rest, |c| c == '0').is_some() {
            parsed.fill = parsed.fill.or(Some('0'));
            parsed.align = parsed.align.or(Some('='));
        }
        if let Some(width) = take_digits(&mut rest) {
            parsed.width = parse_width(width)?;
        }
        parsed.grouping = take(&mut rest, |c| ",_".contains(c));
        if take(&mut rest, |c| c == '.').is_some() {
            let digits = take_digits(&mut rest).ok_or_else(|| Error::new("Format specifier missing precision"))?;
            parsed.precision = Some(parse_width(digits)?);
        }
        parsed.kind = take(&mut rest, |_| true);
        if rest.is_empty() { Ok(parsed) } else { Err(Error::new(format!("invalid format specifier '{spec}'"))) }
    }

    /// Python's `format(value, spec)`.
    pub(super) fn format(&self, value: &Value) -> Result<String> {
        match (value, self.kind) {
            (Value::Text(text), None | Some('s')) => self.format_text(text),
            (Value::Int(value), None | Some('d' | 'b' | 'o' | 'x' | 'X' | 'c' | 'n')) => self.format_int(*value),
            (Value::Bool(_), None | Some('d' | 'b' | 'o' | 'x' | 'X')) => {
                self.format_int(value.as_int().unwrap_or_default())
            }
            (Value::Int(value), Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%')) => self.format_float(*value as f64),
            (Value::Float(value), None | Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%')) => self.format_float(*value),
            (Value::Text(_) | Value::Int(_) | Value::Float(_), Some(kind)) => {
                let found = value.type_name();
                Err(Error::new(format!("Unknown format code '{kind}' for object of type '{found}'")))
            }
            (Value::Markup(_) | Value::Bool(_), _) => {
                Err(Error::unsupported(format_args!("this format specification for a {}", value.type_name())))
            }
            (other, _) => {
                Err(Error::new(format!("unsupported format string passed to {}.__format__", other.type_name())))
            }
        }
    }

    fn format_text(&self, text: &str) -> Result<String> {
        if self.sign.is_some() || self.alternate || self.grouping.is_some() || self.align == Some('=') {
            return Err(Error::new("the format specification is not allowed for a string"));
        }
        let text = self.precision.map_or(text, |precision| char_range(text, 0, precision));
        Ok(self.pad("", text, '<'))
    }

    pub(super) fn format_int(&self, value: i128) -> Result<String> {
        if self.precision.is_some() {
            return Err(Error::new("Precision not allowed in integer format specifier"));
        }
        let magnitude = value.unsigned_abs();
        let (prefix, digits) = match self.kind {
            Some('b') => ("0b", format!("{magnitude:b}")),
            Some('o') => ("0o", format!("{magnitude:o}")),
            Some('x') => ("0x", format!("{magnitude:x}")),
            Some('X') => ("0X", format!("{magnitude:X}")),
            Some('c' | 'n') => return Err(Error::unsupported("the format code `c` or `n`")),
            _ => ("", magnitude.to_string()),
        };
        let prefix = if self.alternate { prefix } else { "" };
        let group = if prefix.is_empty() && matches!(self.kind, None | Some('d')) { 3 } else { 4 };
        Ok(self.number(value < 0, prefix, &digits, group))
    }

    fn format_float(&self, value: f64) -> Result<String> {
        if self.alternate {
            return Err(Error::unsupported("`#` in the format of a floating-point number"));
        }
        let magnitude = value.abs();
        let text = match self.kind {
            Some('f' | 'F') => fixed(magnitude, self.precision.unwrap_or(6)),
            Some('%') => fixed(magnitude * 100.0, self.precision.unwrap_or(6)) + "%",
            Some('e' | 'E') => exponential(magnitude, self.precision.unwrap_or(6)),
            Some('g' | 'G') => general(magnitude, self.precision.unwrap_or(6)),
            _ if self.precision.is_some() => {
                return Err(Error::unsupported("a precision without a format code for a floating-point number"));
            }
            _ => float_repr(magnitude),
        };
        let text = if matches!(self.kind, Some('E' | 'G' | 'F')) { text.to_uppercase() } else { text };
        Ok(self.number(value.is_sign_negative() && !value.is_nan(), "", &text, 3))
    }

    /// A number with its sign, groups of digits and padding.
    pub(super) fn number(&self, is_negative: bool, prefix: &str, digits: &str, group: usize) -> String {
        let sign = match self.sign {
            _ if is_negative => "-",
            Some('+') => "+",
            Some(' ') => " ",
            _ => "",
        };
        let before = format!("{sign}{prefix}");
        let Some(separator) = self.grouping else { return self.pad(&before, digits, '>') };
        let whole = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
        let mut whole_digits = digits[..whole].to_owned();
        // Zeros before the number are grouped too.
        let is_zero_filled = self.fill == Some('0') && self.align == Some('=');
        loop {
            let grouped = grouped(&whole_digits, separator, group) + &digits[whole..];
            let width = before.len() + grouped.len();
            if !is_zero_filled || width >= self.width {
                return self.pad(&before, &grouped, '>');
            }
            whole_digits.insert(0, '0');
        }
    }

    /// A text padded to the width; `before` stays at the left of padding that `=` puts inside.
    fn pad(&self, before: &str, text: &str, default_align: char) -> String {
        let missing = self.width.saturating_sub(before.chars().count() + text.chars().count());
        let padding = |count| std::iter::repeat_n(self.fill.unwrap_or(' '), count).collect::<String>();
        match self.align.unwrap_or(default_align) {
            '<' => format!("{before}{text}{}", padding(missing)),
            '=' => format!("{before}{}{text}", padding(missing)),
            '^' => format!("{}{before}{text}{}", padding(missing / 2), padding(missing - missing / 2)),
            _ => format!("{}{before}{text}", padding(missing)),
        }
    }
}

/// Digits in groups from the right.
fn grouped(digits: &str, separator: char, group: usize) -> String {
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(group) {
            out.push(separator);
        }
        out.push(c);
    }
    out
}

fn take(rest: &mut &str, accepts: impl Fn(char) -> bool) -> Option<char> {
    let first = rest.chars().next().filter(|c| accepts(*c))?;
    *rest = &rest[first.len_utf8()..];
    Some(first)
}

fn take_digits<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, after) = rest.split_at(end);
    *rest = after;
    (end > 0).then_some(digits)
}
