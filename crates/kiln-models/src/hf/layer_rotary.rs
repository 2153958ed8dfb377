//! Rotary positions by kind of layer: `rope_parameters.full_attention` and `rope_parameters.sliding_attention`, or in older
//! files `global_rope_theta` and `local_rope_theta`.

use super::{
    config_reader::ConfigReader,
    gguf::{GgufFields, GgufMetadata, read_layer_thetas, write_layer_thetas},
    keys::Convert,
    rope::head_dim,
    template::Holes,
    windows::window,
};
use kiln_nn::position::{PositionConfig, RotaryEmbeddingConfig};
use kiln_spec::ValidationError;
use serde_json::{Map, Value, json};

/// Bases of unscaled rotary positions of layers with full attention and with a window. Hole for each layer: `layer_position`.
/// Reads the hole `pattern`.
pub(super) struct LayerRotary {
    /// Base of the reference's class in layers with full attention.
    pub global: f64,
    /// Base of the reference's class in layers with a window.
    pub local: f64,
}

/// Names of the kinds of layers in `rope_parameters`, and of their bases in older files.
const KINDS: [(&str, &str); 2] = [("full_attention", "global_rope_theta"), ("sliding_attention", "local_rope_theta")];

/// The base in the table of a kind of layer.
fn read_theta(fields: &ConfigReader, table: &Value, kind: &str) -> Result<Option<f64>, ValidationError> {
    let in_table = |error: ValidationError| error.with_path_prefix(&format!("rope_parameters.{kind}"));
    let table = fields.for_table(table).map_err(in_table)?;
    let theta = table.float("rope_theta").map_err(in_table)?;
    table.require("rope_type", "default").map_err(in_table)?;
    table.finish().map_err(in_table)?;
    fields.take_warnings(&format!("rope_parameters.{kind}"), &table);
    Ok(theta)
}

impl Convert for LayerRotary {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        fields.require("rope_scaling", Value::Null)?;
        let in_tables = |error: ValidationError| error.with_path_prefix("rope_parameters");
        let tables =
            fields.get("rope_parameters").map(|tables| fields.for_table(tables).map_err(in_tables)).transpose()?;
        let mut thetas = [self.global, self.local];
        for ((kind, older_key), theta) in KINDS.into_iter().zip(&mut thetas) {
            let older = fields.float(older_key)?;
            let table = tables.as_ref().and_then(|tables| tables.get(kind));
            let own = table.map_or(Ok(None), |table| read_theta(fields, table, kind))?;
            *theta = own.or(older).unwrap_or(*theta);
        }
        if let Some(tables) = tables {
            tables.finish().map_err(in_tables)?;
            fields.take_warnings("rope_parameters", &tables);
        }
        set_positions(holes, thetas);
        Ok(())
    }

    /// From the first layer of each kind; whether the others are equal is found when the file is read back.
    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        let tables = KINDS.into_iter().zip(thetas(holes)).filter_map(|((kind, _), theta)| {
            Some((kind.to_owned(), json!({ "rope_type": "default", "rope_theta": theta.as_f64()? })))
        });
        json.insert("rope_parameters".into(), tables.collect());
        Ok(())
    }

    fn read_gguf(&self, fields: &GgufFields, holes: &mut Holes) -> Result<(), ValidationError> {
        let thetas = read_layer_thetas(fields, head_dim(holes))?;
        set_positions(holes, thetas);
        Ok(())
    }

    fn write_gguf(&self, holes: &Holes, out: &mut GgufMetadata) -> Result<(), ValidationError> {
        write_layer_thetas(thetas(holes), out);
        Ok(())
    }
}

/// Sets the positions of layers, from the bases of those with full attention and of those with a window.
fn set_positions(holes: &mut Holes, thetas: [f64; 2]) {
    let positions = holes.layers("pattern").iter().map(|pattern| {
        let theta = thetas[usize::from(window(pattern).is_some())];
        let rotary = PositionConfig::Rotary(RotaryEmbeddingConfig { theta, ..RotaryEmbeddingConfig::default() });
        serde_json::to_value(rotary).unwrap_or_default()
    });
    holes.set("layer_position", positions.collect::<Vec<_>>());
}

/// The base of the first layer with full attention and of the first with a window; `null` if there is none.
fn thetas(holes: &Holes) -> [Value; 2] {
    [false, true].map(|has_window| {
        let mut layers = holes.layers("pattern").iter().zip(holes.layers("layer_position"));
        let found = layers.find(|(pattern, _)| window(pattern).is_some() == has_window);
        found.map_or(Value::Null, |(_, position)| position["rotary"]["theta"].clone())
    })
}
