//! Limits on the depth and the size of values.
//!
//! A loop can wrap a list in a list again and again (`{% set ns.x = [ns.x] %}`). Fuel allows millions of levels, and
//! dropping such a value recurses as deep, which overflows the stack. Only assignments keep a value between the rounds
//! of a loop; each assigned expression therefore passes a filter that checks its depth.

use super::{operation_error, syntax_limits::tag_ranges};
use minijinja::{Error, ErrorKind, Value, value::ValueKind};
use std::sync::atomic::{AtomicU64, Ordering};

/// Maximum depth of an assigned value.
const MAX_VALUE_DEPTH: usize = 96;
/// Name of the filter in the rewritten template.
pub(super) const DEPTH_FILTER: &str = "within_depth";

/// The template with every `{% set NAMES = EXPRESSION %}` rewritten to `{% set NAMES =(EXPRESSION)|within_depth %}`.
pub(super) fn guard_assignments(template: &str) -> String {
    let mut guarded = String::with_capacity(template.len());
    let mut end = 0;
    for range in tag_ranges(template) {
        let tag = &template[range.clone()];
        guarded += &template[end..range.start];
        guarded += &guarded_assignment(tag).unwrap_or_else(|| tag.to_owned());
        end = range.end;
    }
    guarded + &template[end..]
}

/// An assignment with the filter; `None` for all other tags, `{% set NAME %}` blocks among them.
fn guarded_assignment(tag: &str) -> Option<String> {
    let body = tag.strip_prefix("{%")?.strip_suffix("%}")?;
    let (left, right) = body.split_once('=')?;
    let names = left.trim_start_matches(['-', '+']).trim_start().strip_prefix("set")?;
    if !names.chars().all(is_name_character) || !names.starts_with([' ', '\t', '\n', '\r', '(']) {
        return None;
    }
    let expression = right.strip_suffix(['-', '+']).unwrap_or(right);
    let whitespace_control = &right[expression.len()..];
    Some(format!("{{%{left}=({expression})|{DEPTH_FILTER}{whitespace_control}%}}"))
}

/// Whether a character may occur in the names of an assignment: `a`, `ns.x`, `(a, b)`.
fn is_name_character(c: char) -> bool {
    c.is_alphanumeric() || c.is_whitespace() || "_.,()".contains(c)
}

/// The filter: returns its value, or fails if it is too deep or if the values of a rendering have more than `max_parts`
/// items together.
pub(super) fn depth_filter(max_parts: u64) -> impl Fn(Value) -> Result<Value, Error> + Send + Sync + 'static {
    let remaining_parts = AtomicU64::new(max_parts);
    move |value| {
        // A lazy iterator holds the values that it is computed from, whose depth is not visible.
        let value = if value.kind() == ValueKind::Iterable { Value::from_iter(value.try_iter()?) } else { value };
        check_depth(&value, MAX_VALUE_DEPTH, &remaining_parts)?;
        Ok(value)
    }
}

/// Checks that a value has at most `max_depth` levels, and subtracts its items from `remaining_parts`.
fn check_depth(value: &Value, max_depth: usize, remaining_parts: &AtomicU64) -> Result<(), Error> {
    if !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable | ValueKind::Map) {
        return Ok(());
    }
    if max_depth == 0 {
        return Err(operation_error(format!("a value is more than {MAX_VALUE_DEPTH} levels deep")));
    }
    let is_map = value.kind() == ValueKind::Map;
    for part in value.try_iter()? {
        let remaining =
            remaining_parts.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |parts| parts.checked_sub(1));
        if remaining.is_err() {
            return Err(Error::from(ErrorKind::OutOfFuel));
        }
        // Iterating over a map gives its keys.
        let part = if is_map { value.get_item(&part)? } else { part };
        check_depth(&part, max_depth - 1, remaining_parts)?;
    }
    Ok(())
}
