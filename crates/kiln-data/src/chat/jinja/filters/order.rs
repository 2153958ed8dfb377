//! Filters that compare items: `sort`, `dictsort`, `unique`, `groupby`, `min` and `max`.

use super::attribute::Path;
use crate::chat::jinja::{
    arguments::{Arguments, int_argument},
    error::{Error, Result},
    run::Renderer,
    value::{KeySet, Value, compare, equal},
};
use std::cmp::Ordering;

/// A filter that compares items.
pub(super) fn apply(renderer: &Renderer, name: &str, value: Value, arguments: Arguments) -> Result<Value> {
    match name {
        "sort" => {
            let [reverse, case_sensitive, attribute] =
                arguments.bind(name, ["reverse", "case_sensitive", "attribute"], 0)?;
            let paths = paths(attribute.as_ref());
            let key = |item: &Value| {
                let keys = paths.iter().map(|path| Ok(folded(path.get(renderer, item, None)?, &case_sensitive)));
                Value::list(keys.collect::<Result<_>>()?)
            };
            Value::list(sorted(renderer, renderer.items(&value)?, key, int_argument(reverse, 0)? != 0)?)
        }
        "dictsort" => dict_sort(renderer, &value, arguments),
        "groupby" => group_by(renderer, &value, arguments),
        "unique" => {
            let [case_sensitive, attribute] = arguments.bind(name, ["case_sensitive", "attribute"], 0)?;
            let path = Path::optional(attribute.as_ref());
            let mut seen = KeySet::default();
            let mut unique = Vec::new();
            for item in renderer.items(&value)? {
                if seen.insert(folded(path.get(renderer, &item, None)?, &case_sensitive))? {
                    unique.push(item);
                }
            }
            Value::iter(unique)
        }
        _ => extreme(renderer, name, &value, arguments),
    }
}

fn is_set(flag: &Option<Value>) -> bool {
    flag.as_ref().is_some_and(Value::is_true)
}

/// A key that ignores the case of text, unless asked otherwise.
fn folded(key: Value, case_sensitive: &Option<Value>) -> Value {
    match &key {
        Value::Text(text) if !is_set(case_sensitive) => Value::text(text.to_lowercase()),
        _ => key,
    }
}

/// The attributes to sort by, with commas between them.
fn paths(attribute: Option<&Value>) -> Vec<Path> {
    match attribute.and_then(Value::as_text) {
        Some(text) => text.split(',').map(|part| Path::new(&Value::text(part))).collect(),
        None => vec![Path::optional(attribute)],
    }
}

/// Items in the order of their keys; equal ones keep their order, also in reverse.
fn sorted(
    renderer: &Renderer,
    items: Vec<Value>,
    key: impl Fn(&Value) -> Result<Value>,
    reverse: bool,
) -> Result<Vec<Value>> {
    let keyed = items.into_iter().map(|item| Ok((key(&item)?, item))).collect::<Result<Vec<_>>>()?;
    renderer.charge(keyed.len())?;
    Ok(merge_sort(keyed, reverse)?.into_iter().map(|(_, item)| item).collect())
}

/// Merge sort with a comparison that can fail, which the sorts of the standard library cannot take.
fn merge_sort(mut items: Vec<(Value, Value)>, reverse: bool) -> Result<Vec<(Value, Value)>> {
    if items.len() < 2 {
        return Ok(items);
    }
    let right = items.split_off(items.len() / 2);
    let mut left = merge_sort(items, reverse)?.into_iter().peekable();
    let mut right = merge_sort(right, reverse)?.into_iter().peekable();
    let mut merged = Vec::new();
    while let (Some((a, _)), Some((b, _))) = (left.peek(), right.peek()) {
        let order = compare(b, a, "<")?.ok_or_else(|| Error::unsupported("sorting of values that are not a number"))?;
        let takes_right = order == if reverse { Ordering::Greater } else { Ordering::Less };
        merged.extend(if takes_right { right.next() } else { left.next() });
    }
    Ok(merged.into_iter().chain(left).chain(right).collect())
}

fn dict_sort(renderer: &Renderer, value: &Value, arguments: Arguments) -> Result<Value> {
    let [case_sensitive, by, reverse] = arguments.bind("dictsort", ["case_sensitive", "by", "reverse"], 0)?;
    let index = match by.as_ref().map(Value::as_text) {
        None | Some(Some("key")) => 0,
        Some(Some("value")) => 1,
        _ => return Err(Error::new("You can only sort by either \"key\" or \"value\"")),
    };
    let Value::Dict(dict) = value else {
        return Err(Error::new(format!("the filter `dictsort` expects a mapping, found a {}", value.type_name())));
    };
    let pairs = Value::View(crate::chat::jinja::value::ViewKind::Items, dict.clone()).items()?;
    let key = |pair: &Value| renderer.item(pair, &Value::from(index)).map(|key| folded(key, &case_sensitive));
    Value::list(sorted(renderer, pairs, key, int_argument(reverse, 0)? != 0)?)
}

fn group_by(renderer: &Renderer, value: &Value, arguments: Arguments) -> Result<Value> {
    let [attribute, default, case_sensitive] =
        arguments.bind("groupby", ["attribute", "default", "case_sensitive"], 1)?;
    let path = Path::optional(attribute.as_ref());
    let raw_key = |item: &Value| path.get(renderer, item, default.as_ref());
    let key = |item: &Value| Ok(folded(raw_key(item)?, &case_sensitive));
    let items = sorted(renderer, renderer.items(value)?, key, false)?;
    let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
    for item in items {
        let item_key = key(&item)?;
        match groups.last_mut() {
            Some((last, members)) if equal(last, &item_key) => members.push(item),
            _ => groups.push((item_key, vec![item])),
        }
    }
    let groups = groups.into_iter().map(|(_, members)| Value::group(raw_key(&members[0])?, members));
    Value::list(groups.collect::<Result<_>>()?)
}

/// `min` and `max`; undefined if there are no items.
fn extreme(renderer: &Renderer, name: &str, value: &Value, arguments: Arguments) -> Result<Value> {
    let [case_sensitive, attribute] = arguments.bind(name, ["case_sensitive", "attribute"], 0)?;
    let path = Path::optional(attribute.as_ref());
    let mut best: Option<(Value, Value)> = None;
    for item in renderer.items(value)? {
        let key = folded(path.get(renderer, &item, None)?, &case_sensitive);
        let is_better = match &best {
            None => true,
            Some((best, _)) if name == "min" => compare(&key, best, "<")? == Some(Ordering::Less),
            Some((best, _)) => compare(&key, best, ">")? == Some(Ordering::Greater),
        };
        if is_better {
            best = Some((key, item));
        }
    }
    Ok(best.map_or_else(|| Value::undefined("No aggregated item, sequence was empty."), |(_, item)| item))
}
