//! Sliding windows in metadata: one width, and which layers have it.

use super::{GgufFields, GgufMetadata};
use kiln_spec::ValidationError;
use serde_json::Value;

const WIDTH_KEY: &str = "attention.sliding_window";
const PATTERN_KEY: &str = "attention.sliding_window_pattern";

/// The windows of all layers of a file; `None` for a layer with full attention. `has_window` says which layers have one if
/// the file states only a width, which is `absent` if it states none.
pub(in crate::hf) fn read_windows(
    fields: &GgufFields,
    layers: usize,
    absent: Option<usize>,
    has_window: impl Fn(usize) -> bool,
) -> Result<Vec<Option<usize>>, ValidationError> {
    if !fields.gguf.windows {
        return Ok(vec![None; layers]);
    }
    let width = fields.integer(WIDTH_KEY)?.or(absent).filter(|width| *width > 0);
    let by_layer: Vec<bool> = match fields.get(PATTERN_KEY) {
        None => (0..layers).map(has_window).collect(),
        Some(Value::Number(every)) => {
            // Every so many layers has full attention, the last of each group.
            let every = every.as_u64().unwrap_or(1).max(1) as usize;
            (0..layers).map(|layer| layer % every + 1 < every).collect()
        }
        Some(list) => {
            let flags = list.as_array().and_then(|list| list.iter().map(Value::as_bool).collect::<Option<Vec<_>>>());
            flags.filter(|flags| flags.len() == layers).ok_or_else(|| {
                fields.error(PATTERN_KEY, format!("expected a number, or {layers} booleans, one for each layer"))
            })?
        }
    };
    Ok(by_layer.into_iter().map(|has| width.filter(|_| has)).collect())
}

/// Writes the windows of all layers. `has_window` is what [`read_windows`] assumes of a file with a width only.
///
/// # Errors
/// Two windows of different width.
pub(in crate::hf) fn write_windows(
    windows: &[Option<usize>],
    has_window: impl Fn(usize) -> bool,
    out: &mut GgufMetadata,
) -> Result<(), ValidationError> {
    if !out.gguf.windows {
        // Refused when the file is read back, unless no layer has a window.
        return Ok(());
    }
    let width = windows.iter().flatten().next().copied();
    if let Some(other) = windows.iter().flatten().find(|other| Some(**other) != width) {
        let reason = format!("GGUF stores one width for all windows, found {} and {other}", width.unwrap_or(0));
        return Err(ValidationError::new("model.blocks", reason));
    }
    out.set(WIDTH_KEY, width.unwrap_or(0));
    let is_usual = windows.iter().enumerate().all(|(layer, window)| window.is_some() == has_window(layer));
    if width.is_some() && !is_usual {
        out.set(PATTERN_KEY, windows.iter().map(Option::is_some).collect::<Vec<_>>());
    }
    Ok(())
}
