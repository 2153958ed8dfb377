//! Filters of lists and other collections.

use crate::chat::jinja::{
    arguments::{Arguments, int_argument},
    error::{Error, Result},
    methods,
    run::Renderer,
    syntax::ast::BinaryOperator,
    value::{self, Value, ViewKind, to_text},
};

/// A filter of a collection.
pub(super) fn apply(renderer: &Renderer, name: &str, value: Value, arguments: Arguments) -> Result<Value> {
    match name {
        "join" => join(renderer, &value, arguments).map(Value::text),
        "sum" => sum(renderer, &value, arguments),
        "batch" => batch(renderer, &value, arguments),
        "slice" => slices(renderer, &value, arguments),
        "last" => {
            let parameters = arguments.bind(name, [], 0)?;
            let [] = parameters;
            ensure_reversible(&value)?;
            let last = renderer.items(&value)?.pop();
            Ok(last.unwrap_or_else(|| Value::undefined("No last item, sequence was empty.")))
        }
        _ => {
            arguments.none(name)?;
            without_arguments(renderer, name, value)
        }
    }
}

fn without_arguments(renderer: &Renderer, name: &str, value: Value) -> Result<Value> {
    match (name, &value) {
        ("first", Value::Iter(iter)) => Ok(iter.next().unwrap_or_else(nothing_first)),
        ("first", Value::List(items) | Value::Tuple(items)) => {
            Ok(items.items.first().cloned().unwrap_or_else(nothing_first))
        }
        ("first", value) => Ok(renderer.items(value)?.into_iter().next().unwrap_or_else(nothing_first)),
        ("length", value) => value
            .length()
            .map(Value::from)
            .ok_or_else(|| Error::new(format!("object of type '{}' has no len()", value.type_name()))),
        ("list", value) => Value::list(renderer.items(value)?),
        ("items", Value::Undefined(_)) => Value::iter(Vec::new()),
        ("items", Value::Dict(dict)) => Value::iter(Value::View(ViewKind::Items, dict.clone()).items()?),
        ("items", _) => Err(Error::new("Can only get item pairs from a mapping.")),
        (_, Value::Text(text)) => Ok(Value::text(text.chars().rev().collect::<String>())),
        (_, value) => {
            let mut items = renderer.items(value)?;
            items.reverse();
            // An iterator cannot be reversed, so that the reference makes a list of it.
            if matches!(value, Value::Iter(_) | Value::Undefined(_)) { Value::list(items) } else { Value::iter(items) }
        }
    }
}

fn nothing_first() -> Value {
    Value::undefined("No first item, sequence was empty.")
}

/// Fails for what Python's `reversed` refuses.
fn ensure_reversible(value: &Value) -> Result<()> {
    match value {
        Value::Undefined(_) => Err(Error::unsupported("the filter `last` of an undefined value")),
        Value::Iter(_) => Err(Error::new("'generator' object is not reversible")),
        _ => Ok(()),
    }
}

fn join(renderer: &Renderer, value: &Value, arguments: Arguments) -> Result<String> {
    let [separator, attribute] = arguments.bind("join", ["d", "attribute"], 0)?;
    let separator = to_text(&separator.unwrap_or_else(|| Value::text("")))?;
    let path = super::attribute::Path::optional(attribute.as_ref());
    let items = renderer.items(value)?;
    let texts = items.iter().map(|item| to_text(&path.get(renderer, item, None)?));
    methods::join_texts(&separator, &texts.collect::<Result<Vec<_>>>()?)
}

fn sum(renderer: &Renderer, value: &Value, arguments: Arguments) -> Result<Value> {
    let [attribute, start] = arguments.bind("sum", ["attribute", "start"], 0)?;
    let path = super::attribute::Path::optional(attribute.as_ref());
    let mut sum = start.unwrap_or(Value::Int(0));
    if sum.as_text().is_some() {
        return Err(Error::new("sum() can't sum strings [use ''.join(seq) instead]"));
    }
    for item in renderer.items(value)? {
        renderer.charge(sum.size())?;
        sum = value::binary(BinaryOperator::Add, &sum, &path.get(renderer, &item, None)?)?;
    }
    Ok(sum)
}

/// Lists of at most `linecount` items.
fn batch(renderer: &Renderer, value: &Value, arguments: Arguments) -> Result<Value> {
    let [count, fill] = arguments.bind("batch", ["linecount", "fill_with"], 1)?;
    let count = usize::try_from(int_argument(count, 1)?).ok().filter(|count| *count > 0);
    let count = count.ok_or_else(|| Error::unsupported("the filter `batch` with less than one item"))?;
    let items = renderer.items(value)?;
    let fill = fill.filter(|fill| !matches!(fill, Value::None));
    let mut batches = Vec::new();
    for chunk in items.chunks(count) {
        let mut chunk = chunk.to_vec();
        if let Some(fill) = &fill {
            renderer.charge(count - chunk.len())?;
            chunk.resize(count, fill.clone());
        }
        batches.push(Value::list(chunk)?);
    }
    Value::iter(batches)
}

/// This number of lists, the first ones longer by one item if the items do not divide evenly.
fn slices(renderer: &Renderer, value: &Value, arguments: Arguments) -> Result<Value> {
    let [count, fill] = arguments.bind("slice", ["slices", "fill_with"], 1)?;
    let count = int_argument(count, 1)?;
    let items = renderer.items(value)?;
    if count == 0 {
        return Err(Error::new("integer division or modulo by zero"));
    }
    let count = usize::try_from(count).map_err(|_| Error::unsupported("a negative number of slices"))?;
    renderer.charge(count)?;
    let fill = fill.filter(|fill| !matches!(fill, Value::None));
    let (size, num_longer) = (items.len() / count, items.len() % count);
    let mut rest = items.into_iter();
    let mut slices = Vec::new();
    for index in 0..count {
        let is_longer = index < num_longer;
        let mut slice: Vec<Value> = rest.by_ref().take(size + usize::from(is_longer)).collect();
        slice.extend(fill.clone().filter(|_| !is_longer));
        slices.push(Value::list(slice)?);
    }
    Value::iter(slices)
}
