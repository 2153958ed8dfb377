//! Slices: `value[start:stop:step]`.

use super::{
    super::error::{Error, Result},
    Range, Value,
};

/// Python's `value[start:stop:step]`. Fails for a value that cannot be sliced: unlike items, slices have no fallback.
pub(in super::super) fn slice(value: &Value, bounds: [&Value; 3]) -> Result<Value> {
    let length = match value {
        Value::Text(_) | Value::List(_) | Value::Tuple(_) | Value::Range(_) => value.length().unwrap_or(0),
        Value::Undefined(reason) => return Err(Error::new(&**reason)),
        Value::Markup(_) => return Err(Error::unsupported("a slice of escaped text")),
        other => return Err(Error::new(format!("'{}' object cannot be sliced", other.type_name()))),
    };
    let is_bound = |bound: &&Value| matches!(bound, Value::None) || bound.as_int().is_some();
    if let Some(bound) = bounds.iter().find(|bound| !is_bound(bound)) {
        return Err(Error::new(format!("slice indices must be integers or None, found a {}", bound.type_name())));
    }
    let [start, stop, step] = bounds.map(Value::as_int);
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(Error::new("slice step cannot be zero"));
    }
    let range = clip(start, stop, step, length as i128);
    let indices = (0..range.len()).filter_map(|index| range.get(index).as_int()).map(|index| index as usize);
    match value {
        Value::Text(text) if step == 1 => {
            Ok(Value::text(super::super::text::char_range(text, range.start as usize, range.stop.max(0) as usize)))
        }
        Value::Text(text) => {
            let characters: Vec<char> = text.chars().collect();
            Ok(Value::text(indices.map(|index| characters[index]).collect::<String>()))
        }
        Value::List(items) => Value::list(indices.map(|index| items.items[index].clone()).collect()),
        Value::Tuple(items) => Value::tuple(indices.map(|index| items.items[index].clone()).collect()),
        Value::Range(of) => Ok(Value::Range(Range {
            start: of.start + range.start * of.step,
            stop: of.start + range.stop * of.step,
            step: of.step.saturating_mul(step),
        })),
        other => Err(Error::new(format!("'{}' object cannot be sliced", other.type_name()))),
    }
}

/// The indices of a slice of `length` items, as Python's `slice.indices`.
fn clip(start: Option<i128>, stop: Option<i128>, step: i128, length: i128) -> Range {
    let (lowest, highest) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let place = |bound: i128| if bound < 0 { bound.saturating_add(length).max(lowest) } else { bound.min(highest) };
    let (first, last) = if step > 0 { (lowest, highest) } else { (highest, lowest) };
    Range { start: start.map_or(first, place), stop: stop.map_or(last, place), step }
}
