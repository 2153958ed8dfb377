//! Methods that pad a text to a width.

use super::ensure_text_length;
use crate::chat::jinja::{
    arguments::{Arguments, int_argument},
    error::{Error, Result},
    value::Value,
};

/// Characters that are missing to a width.
fn missing_width(name: &str, text: &str, width: i128) -> Result<usize> {
    let missing = usize::try_from(width.saturating_sub(text.chars().count() as i128).max(0)).unwrap_or(usize::MAX);
    ensure_text_length(name, missing.saturating_mul(4))?;
    Ok(missing)
}

/// `ljust`, `rjust` and `center`.
pub(super) fn justify(text: &str, name: &str, arguments: Arguments) -> Result<String> {
    let [width, fill] = arguments.bind(name, ["", ""], 1)?;
    let fill = match &fill {
        None => ' ',
        Some(fill) => {
            let mut characters = fill.as_text().unwrap_or_default().chars();
            match (characters.next(), characters.next()) {
                (Some(c), None) => c,
                _ => return Err(Error::new("The fill character must be exactly one character long")),
            }
        }
    };
    let missing = missing_width(name, text, int_argument(width, 0)?)?;
    let left = match name {
        "ljust" => 0,
        "rjust" => missing,
        _ => centered(missing, text.chars().count() + missing),
    };
    let pad = |count| std::iter::repeat_n(fill, count).collect::<String>();
    Ok(format!("{}{text}{}", pad(left), pad(missing - left)))
}

/// CPython puts the odd space to the left if the width is odd too.
fn centered(missing: usize, width: usize) -> usize {
    missing / 2 + (missing & width & 1)
}

/// Python's `str.center` with spaces.
pub(in super::super) fn center(text: &str, width: i128) -> Result<String> {
    justify(text, "center", Arguments::new(vec![Value::Int(width)]))
}

/// Python's `str.zfill`: zeros between the sign and the digits.
pub(super) fn zero_fill(text: &str, arguments: Arguments) -> Result<String> {
    let missing = missing_width("zfill", text, int_argument(Some(arguments.one("zfill")?), 0)?)?;
    let (sign, digits) = text.split_at(usize::from(text.starts_with(['+', '-'])));
    Ok(format!("{sign}{}{digits}", "0".repeat(missing)))
}

/// Python's `str.expandtabs`.
pub(super) fn expand_tabs(text: &str, arguments: Arguments) -> Result<String> {
    let [size] = arguments.bind("expandtabs", ["tabsize"], 0)?;
    let size = usize::try_from(int_argument(size, 8)?.max(0)).unwrap_or(usize::MAX);
    ensure_text_length("expandtabs", size.saturating_mul(text.matches('\t').count()))?;
    let mut out = String::new();
    let mut column = 0;
    for c in text.chars() {
        match c {
            '\t' if size == 0 => {}
            '\t' => {
                let width = size - column % size;
                out += &" ".repeat(width);
                column += width;
            }
            c => {
                out.push(c);
                column = if matches!(c, '\n' | '\r') { 0 } else { column + 1 };
            }
        }
    }
    Ok(out)
}
