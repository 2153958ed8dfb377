//! Python's three ways to format: `text % values`, `text.format(values)` and their common specifications.

mod float;
mod percent;
mod spec;
mod template;

pub(super) use float::fixed;
pub(super) use percent::percent_format;
pub(super) use template::str_format;

use super::error::{Error, Result};

/// Maximum width and precision of a field.
const MAX_WIDTH: usize = 1 << 16;

/// A width or a precision from its digits.
fn parse_width(digits: &str) -> Result<usize> {
    match digits.parse() {
        Ok(width) if width <= MAX_WIDTH => Ok(width),
        _ => Err(Error::limit(format!("a width or precision is {digits}, expected at most {MAX_WIDTH}"))),
    }
}
