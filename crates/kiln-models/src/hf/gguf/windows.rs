//! Sliding windows in metadata: one width, and which layers have it.

use super::{GgufFields, GgufMetadata};
use kiln_spec::ValidationError;
use serde_json::Value;

const WIDTH_KEY: &str = "attention.sliding_window";
const PATTERN_KEY: &str = "attention.sliding_window_pattern";

/// The layers with full attention among those with a window, by their number. Files may state `every`; whether the first or
/// the last of each group has full attention is fixed by the architecture.
#[derive(Clone, Copy)]
pub(in crate::hf) struct FullLayers {
    /// One of so many layers has full attention; 0: none.
    pub every: usize,
    /// Whether it is the first of each group; otherwise the last.
    pub first: bool,
}

impl FullLayers {
    /// A window in all layers.
    pub const NONE: Self = Self { every: 0, first: false };

    fn has_window(self, layer: usize) -> bool {
        let full = if self.first { 0 } else { self.every.saturating_sub(1) };
        self.every == 0 || layer % self.every != full
    }
}

/// The windows of all layers of a file; `None` for a layer with full attention. `full` says which layers those are if the file
/// states only a width, which is `absent` if it states none.
pub(in crate::hf) fn read_windows(
    fields: &GgufFields,
    layers: usize,
    absent: Option<usize>,
    full: FullLayers,
) -> Result<Vec<Option<usize>>, ValidationError> {
    if !fields.gguf.windows {
        return Ok(vec![None; layers]);
    }
    let width = fields.integer(WIDTH_KEY)?.or(absent).filter(|width| *width > 0);
    let by_number = |full: FullLayers| (0..layers).map(|layer| full.has_window(layer)).collect();
    let by_layer: Vec<bool> = match fields.get(PATTERN_KEY) {
        None => by_number(full),
        Some(Value::Number(every)) => by_number(FullLayers { every: every.as_u64().unwrap_or(1) as usize, ..full }),
        Some(list) => {
            let flags = list.as_array().and_then(|list| list.iter().map(Value::as_bool).collect::<Option<Vec<_>>>());
            flags.filter(|flags| flags.len() == layers).ok_or_else(|| {
                fields.error(PATTERN_KEY, format!("expected a number, or {layers} booleans, one for each layer"))
            })?
        }
    };
    Ok(by_layer.into_iter().map(|has| width.filter(|_| has)).collect())
}

/// Writes the windows of all layers. `full` is what [`read_windows`] assumes of a file with a width only.
///
/// # Errors
/// Two windows of different width.
pub(in crate::hf) fn write_windows(
    windows: &[Option<usize>],
    full: FullLayers,
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
    let is_usual = windows.iter().enumerate().all(|(layer, window)| window.is_some() == full.has_window(layer));
    if width.is_some() && !is_usual {
        out.set(PATTERN_KEY, windows.iter().map(Option::is_some).collect::<Vec<_>>());
    }
    Ok(())
}
