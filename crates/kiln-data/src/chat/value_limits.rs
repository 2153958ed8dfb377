//! How deep the values of a template may lie in each other. A list in a list in a list, made in a loop, would need more of
//! the stack than there is when it is dropped; what a loop makes stays only where it is assigned, so that every
//! assignment is looked at.

use super::syntax_limits::tag_ranges;
use minijinja::{Error, ErrorKind, Value, value::ValueKind};
use std::sync::atomic::{AtomicU64, Ordering};

/// The deepest that a value may be.
const MAX_VALUE_DEPTH: usize = 96;
/// The filter that looks at a value.
pub(super) const DEPTH_FILTER: &str = "within_depth";

/// The same template where every assigned value goes through the filter.
pub(super) fn guard_assignments(template: &str) -> String {
    let (mut text, mut done) = (String::with_capacity(template.len()), 0);
    for range in tag_ranges(template) {
        text += &template[done..range.start];
        text += &guarded_assignment(&template[range.clone()]).unwrap_or_else(|| template[range.clone()].to_owned());
        done = range.end;
    }
    text + &template[done..]
}

/// `{% set NAMES = EXPRESSION %}` with the filter; none of any other tag.
fn guarded_assignment(tag: &str) -> Option<String> {
    let inner = tag.strip_prefix("{%")?.strip_suffix("%}")?;
    let (names, expression) = inner.split_once('=')?;
    let names_only = names.trim_start_matches(['-', '+']).trim_start().strip_prefix("set")?;
    let named = |c: char| c.is_alphanumeric() || c.is_whitespace() || "_.,()".contains(c);
    if !names_only.chars().all(named) || !names_only.starts_with([' ', '\t', '\n', '\r', '(']) {
        return None;
    }
    let (expression, close) = match expression.strip_suffix(['-', '+']) {
        Some(rest) => (rest, &expression[rest.len()..]),
        None => (expression, ""),
    };
    Some(format!("{{%{names}=({expression})|{DEPTH_FILTER}{close}%}}"))
}

/// The filter; all values of a rendering together may have so many parts.
pub(super) fn depth_filter(parts: u64) -> impl Fn(Value) -> Result<Value, Error> + Send + Sync + 'static {
    let left = AtomicU64::new(parts);
    move |value| {
        // What is computed when it is asked for holds what it is computed from.
        let value = if value.kind() == ValueKind::Iterable { Value::from_iter(value.try_iter()?) } else { value };
        check_depth(&value, MAX_VALUE_DEPTH, &left)?;
        Ok(value)
    }
}

fn check_depth(value: &Value, deep: usize, left: &AtomicU64) -> Result<(), Error> {
    if !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable | ValueKind::Map) {
        return Ok(());
    }
    if deep == 0 {
        let what = format!("a value more than {MAX_VALUE_DEPTH} deep");
        return Err(Error::new(ErrorKind::InvalidOperation, what));
    }
    let map = value.kind() == ValueKind::Map;
    for part in value.try_iter()? {
        if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err() {
            return Err(Error::from(ErrorKind::OutOfFuel));
        }
        let part = if map { value.get_item(&part)? } else { part };
        check_depth(&part, deep - 1, left)?;
    }
    Ok(())
}
