//! Sliding windows in `config.json`: one for all layers (`sliding_window`), or for some (`layer_types`).
//!
//! A window before a token counts the token itself; [`Pattern::window`] does not. The hole is `pattern`, with a value for each of `layers`.

use super::{
    config_reader::ConfigReader,
    gguf::{FullLayers, GgufFields, GgufMetadata, read_windows, write_windows},
    keys::Convert,
    template::Holes,
};
use kiln_spec::{Pattern, ValidationError};
use serde_json::{Map, Value};

/// `sliding_window`: the window of all layers; `null`: full attention.
pub(super) struct SlidingWindow {
    /// Window of the reference's class if the key is absent.
    pub absent: Option<usize>,
}

/// `use_sliding_window`, `sliding_window`, and `layer_types`, or in older files `max_window_layers`.
pub(super) struct LayerTypes {
    /// Whether a layer has a window in files without `layer_types`, from its number and `max_window_layers`.
    has_window: fn(usize, usize) -> bool,
}

impl LayerTypes {
    /// `max_window_layers` is the number of layers with full attention before those with a window.
    pub const AFTER_FULL: Self = Self { has_window: |layer, full_layers| layer >= full_layers };

    /// A window in every other of the first `max_window_layers` layers, the first included.
    pub const EVERY_OTHER: Self = Self { has_window: |layer, count| layer.is_multiple_of(2) && layer < count };
}

/// `sliding_window` and `layer_types`; without the latter, a window in every other layer, the first included.
pub(super) struct AlternatingWindows {
    /// Window of the reference's class if the key is absent.
    pub absent: usize,
}

/// `use_sliding_window` and `sliding_window`: one window for all layers, or none.
pub(super) struct SwitchedWindow;

/// `local_attention`, the number of tokens around a token that it sees, and `layer_types`, or in older files
/// `global_attn_every_n_layers`: every so many layers, the first included, has full attention.
pub(super) struct LocalAttention {
    /// Number of tokens if the key is absent.
    pub absent: usize,
    /// Every so many layers have full attention if both keys are absent.
    pub global_every: usize,
}

/// No windows.
pub(super) struct NoWindow;

/// In GGUF, the second of two layers has full attention.
const EVERY_OTHER_FULL: FullLayers = FullLayers { every: 2, first: false };

/// The pattern of a layer with this window, as JSON.
fn pattern(window: Option<usize>) -> Value {
    let causal = |window: usize| Pattern::window(u32::try_from(window.saturating_sub(1)).unwrap_or(u32::MAX), 0);
    serde_json::to_value(window.map_or_else(Pattern::default, causal)).unwrap_or_default()
}

/// The window of a layer, the token itself included; `None` for other patterns.
pub(super) fn window(pattern: &Value) -> Option<usize> {
    match serde_json::from_value(pattern.clone()) {
        Ok(Pattern::Window(window)) => Some(window.before as usize + 1),
        _ => None,
    }
}

/// The windows of all layers.
fn windows(holes: &Holes) -> Vec<Option<usize>> {
    holes.layers("pattern").iter().map(window).collect()
}

fn set_patterns(holes: &mut Holes, windows: impl Iterator<Item = Option<usize>>) {
    holes.set("pattern", windows.map(pattern).collect::<Vec<_>>());
}

/// `sliding_window`, with the default of an absent key.
fn read_window(fields: &ConfigReader, absent: Option<usize>) -> Result<Option<usize>, ValidationError> {
    let default = if fields.is_null("sliding_window") { None } else { absent };
    Ok(fields.integer("sliding_window")?.or(default))
}

impl Convert for NoWindow {
    fn read(&self, _fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let layers = holes.integer("layers");
        set_patterns(holes, std::iter::repeat_n(None, layers));
        Ok(())
    }

    fn write(&self, _holes: &Holes, _json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        Ok(())
    }
}

impl Convert for SlidingWindow {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let (window, layers) = (read_window(fields, self.absent)?, holes.integer("layers"));
        set_patterns(holes, std::iter::repeat_n(window, layers));
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        json.insert("sliding_window".into(), windows(holes).first().copied().flatten().into());
        Ok(())
    }

    fn read_gguf(&self, fields: &GgufFields, holes: &mut Holes) -> Result<(), ValidationError> {
        let windows = read_windows(fields, holes.integer("layers"), None, FullLayers::NONE)?;
        set_patterns(holes, windows.into_iter());
        Ok(())
    }

    fn write_gguf(&self, holes: &Holes, out: &mut GgufMetadata) -> Result<(), ValidationError> {
        write_windows(&windows(holes), FullLayers::NONE, out)
    }
}

impl Convert for LayerTypes {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let layers = holes.integer("layers");
        let window = read_window(fields, Some(4096))?;
        let count = fields.integer("max_window_layers")?.unwrap_or(28);
        let window = if fields.flag("use_sliding_window", false)? { window } else { None };
        let windows: Vec<Option<usize>> = match fields.get("layer_types") {
            None => (0..layers).map(|layer| window.filter(|_| (self.has_window)(layer, count))).collect(),
            Some(types) => listed_windows(types, layers, window)?,
        };
        set_patterns(holes, windows.into_iter());
        Ok(())
    }

    /// `sliding_window` is the first layer's that has one; all must be equal.
    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        let windows = windows(holes);
        let full_layers = windows.iter().take_while(|window| window.is_none()).count();
        json.insert("use_sliding_window".into(), windows.iter().any(Option::is_some).into());
        json.insert("max_window_layers".into(), full_layers.into());
        write_layer_types(&windows, json);
        if full_layers == windows.len() {
            // Without effect, and 0 or `null` by the class.
            json.remove("sliding_window");
        }
        Ok(())
    }
}

impl Convert for SwitchedWindow {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let window = read_window(fields, Some(4096))?;
        let window = if fields.flag("use_sliding_window", false)? { window } else { None };
        let layers = holes.integer("layers");
        set_patterns(holes, std::iter::repeat_n(window, layers));
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        let window = windows(holes).first().copied().flatten();
        json.insert("use_sliding_window".into(), window.is_some().into());
        json.insert("sliding_window".into(), window.into());
        Ok(())
    }
}

impl Convert for AlternatingWindows {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let layers = holes.integer("layers");
        let window = read_window(fields, Some(self.absent))?;
        let windows: Vec<Option<usize>> = match fields.get("layer_types") {
            None => (0..layers).map(|layer| window.filter(|_| layer.is_multiple_of(2))).collect(),
            Some(types) => listed_windows(types, layers, window)?,
        };
        set_patterns(holes, windows.into_iter());
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        write_layer_types(&windows(holes), json);
        Ok(())
    }

    fn read_gguf(&self, fields: &GgufFields, holes: &mut Holes) -> Result<(), ValidationError> {
        let windows = read_windows(fields, holes.integer("layers"), Some(self.absent), EVERY_OTHER_FULL)?;
        set_patterns(holes, windows.into_iter());
        Ok(())
    }

    fn write_gguf(&self, holes: &Holes, out: &mut GgufMetadata) -> Result<(), ValidationError> {
        write_windows(&windows(holes), EVERY_OTHER_FULL, out)
    }
}

impl Convert for LocalAttention {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let layers = holes.integer("layers");
        // As in the reference, an odd number counts as the even one below.
        let side = fields.integer("local_attention")?.unwrap_or(self.absent) / 2;
        let every = fields.size("global_attn_every_n_layers", self.global_every)?;
        let sides: Vec<Option<usize>> = match fields.get("layer_types") {
            None => (0..layers).map(|layer| Some(side).filter(|_| layer % every != 0)).collect(),
            Some(types) => listed_windows(types, layers, Some(side))?,
        };
        set_sides(holes, sides);
        Ok(())
    }

    /// `local_attention` is that of the first layer with a window; whether all are equal is found when the file is read back.
    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        let windows = windows(holes);
        if let Some(window) = windows.iter().flatten().next() {
            json.insert("local_attention".into(), local_width(*window).into());
        }
        json.insert("layer_types".into(), layer_types(&windows));
        Ok(())
    }

    /// As in `local_attention`, the width is twice the number of tokens on a side, or one more.
    fn read_gguf(&self, fields: &GgufFields, holes: &mut Holes) -> Result<(), ValidationError> {
        let full = FullLayers { every: self.global_every, first: true };
        let widths = read_windows(fields, holes.integer("layers"), None, full)?;
        set_sides(holes, widths.into_iter().map(|width| width.map(|width| width / 2)));
        Ok(())
    }

    fn write_gguf(&self, holes: &Holes, out: &mut GgufMetadata) -> Result<(), ValidationError> {
        let widths: Vec<_> = windows(holes).into_iter().map(|window| window.map(local_width)).collect();
        write_windows(&widths, FullLayers { every: self.global_every, first: true }, out)
    }
}

/// The width of a window to both sides, of which `window` is the half before the token, itself included. In GGUF a width of 0
/// means no window, so that the window of the token alone has the width 1.
fn local_width(window: usize) -> usize {
    (2 * (window - 1)).max(1)
}

/// Sets the patterns of layers that see so many tokens on each side.
fn set_sides(holes: &mut Holes, sides: impl IntoIterator<Item = Option<usize>>) {
    let local = |side: usize| u32::try_from(side).map_or(Pattern::default(), |side| Pattern::window(side, side));
    let patterns = sides.into_iter().map(|side| side.map_or_else(Pattern::default, local));
    let json = patterns.map(|pattern| serde_json::to_value(pattern).unwrap_or_default());
    holes.set("pattern", json.collect::<Vec<_>>());
}

/// The windows of layers with these `layer_types`.
fn listed_windows(types: &Value, layers: usize, window: Option<usize>) -> Result<Vec<Option<usize>>, ValidationError> {
    let Some(types) = types.as_array().filter(|types| types.len() == layers) else {
        let reason = format!("expected a list of {layers} strings, one for each layer, found {types}");
        return Err(ValidationError::new("layer_types", reason));
    };
    types.iter().enumerate().map(|(layer, kind)| layer_window(layer, kind, window)).collect()
}

/// Writes `sliding_window`, that of the first layer that has one, and `layer_types`.
fn write_layer_types(windows: &[Option<usize>], json: &mut Map<String, Value>) {
    json.insert("sliding_window".into(), windows.iter().flatten().next().copied().into());
    json.insert("layer_types".into(), layer_types(windows));
}

/// The value of `layer_types`.
fn layer_types(windows: &[Option<usize>]) -> Value {
    let types = windows.iter().map(|window| if window.is_some() { "sliding_attention" } else { "full_attention" });
    types.collect::<Vec<_>>().into()
}

/// The window of a layer with an entry in `layer_types`; `window` is the window of those that have one.
fn layer_window(layer: usize, kind: &Value, window: Option<usize>) -> Result<Option<usize>, ValidationError> {
    let reason = match kind.as_str() {
        Some("full_attention") => return Ok(None),
        Some("sliding_attention") if window.is_some() => return Ok(window),
        Some("sliding_attention") => {
            "sliding_attention needs a width in `sliding_window` and \"use_sliding_window\": true".into()
        }
        _ => format!("expected full_attention or sliding_attention, found {kind}"),
    };
    Err(ValidationError::new(format!("layer_types[{layer}]"), reason))
}
