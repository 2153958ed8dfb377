//! From values of the holes to the configuration.

use super::{CASE_KEY, EACH_KEY, HoleName, Holes};
use kiln_spec::ValidationError;
use serde_json::{Map, Value};

/// The value with its holes replaced; `None` for a hole whose value is `null`. `layer` is the index of the layer within a
/// block.
pub(super) fn fill_value(
    template: &Value,
    holes: &Holes,
    layer: Option<usize>,
) -> Result<Option<Value>, ValidationError> {
    if let Some(hole) = HoleName::of(template) {
        return Ok(Some(hole_value(hole, holes, layer)?).filter(|value| !value.is_null()));
    }
    match template {
        Value::Object(entries) if entries.contains_key(EACH_KEY) => fill_layers(entries, holes).map(Some),
        Value::Object(entries) if entries.contains_key(CASE_KEY) => {
            fill_value(selected_case(entries, holes, layer)?, holes, layer)
        }
        Value::Object(entries) => {
            let mut filled = Map::new();
            for (key, value) in entries {
                filled.extend(fill_value(value, holes, layer)?.map(|value| (key.clone(), value)));
            }
            Ok(Some(filled.into()))
        }
        Value::Array(items) => {
            let items = items.iter().map(|item| fill_value(item, holes, layer));
            Ok(Some(Value::Array(items.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())))
        }
        _ => Ok(Some(template.clone())),
    }
}

/// The value of a hole, for the layer if it has one for each.
fn hole_value(hole: HoleName, holes: &Holes, layer: Option<usize>) -> Result<Value, ValidationError> {
    let missing = |what: String| Err(ValidationError::new(hole.name, format!("the template has no value {what}")));
    if !holes.contains(hole.name) {
        return missing(format!("for `{}`", hole.name));
    }
    match layer.filter(|_| hole.by_layer) {
        None => Ok(holes.get(hole.name).clone()),
        Some(layer) => match holes.layers(hole.name).get(layer) {
            Some(value) => Ok(value.clone()),
            None => missing(format!("for `{}` of layer {layer}", hole.name)),
        },
    }
}

/// The alternative that the hole of `$case` names.
fn selected_case<'t>(
    entries: &'t Map<String, Value>,
    holes: &Holes,
    layer: Option<usize>,
) -> Result<&'t Value, ValidationError> {
    let hole = HoleName::of(&entries[CASE_KEY]).unwrap_or(HoleName { name: CASE_KEY, by_layer: false });
    let value = hole_value(hole, holes, layer)?;
    let name = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let reason = || ValidationError::new(hole.name, format!("the template has no alternative `{name}`"));
    entries.get(&name).ok_or_else(reason)
}

/// The blocks of `$each`, with runs of equal layers as one repeated block.
fn fill_layers(entries: &Map<String, Value>, holes: &Holes) -> Result<Value, ValidationError> {
    let count = HoleName::of(&entries[EACH_KEY]).map_or(0, |hole| holes.integer(hole.name));
    let mut blocks: Vec<Map<String, Value>> = Vec::new();
    for layer in 0..count {
        let Some(Value::Object(block)) = fill_value(&entries["block"], holes, Some(layer))? else { continue };
        match blocks.last_mut() {
            Some(last) if is_repeated(last, &block) => {
                last["repeat"] = (last["repeat"].as_u64().unwrap_or(1) + 1).into()
            }
            _ => {
                let mut block = block;
                block.insert("repeat".into(), 1.into());
                blocks.push(block);
            }
        }
    }
    Ok(blocks.into_iter().map(Value::Object).collect())
}

/// Whether `last`, which has a `repeat`, is otherwise equal to `block`.
fn is_repeated(last: &Map<String, Value>, block: &Map<String, Value>) -> bool {
    last.len() == block.len() + 1 && block.iter().all(|(key, value)| last.get(key) == Some(value))
}
