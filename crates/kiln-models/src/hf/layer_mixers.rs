//! Layers of two kinds, attention and another mixer.

use super::{
    config_reader::ConfigReader,
    gguf::{GgufFields, GgufMetadata},
    keys::Convert,
    template::Holes,
};
use kiln_spec::ValidationError;
use serde_json::{Map, Value};

/// `layer_types`, or in older files `full_attn_idxs`: the layers with attention. Hole for each layer: `mixer`, which is
/// `full_attention` or the name of the other mixer. In GGUF, the number of key-value heads of each layer, 0 without attention.
/// Reads the holes `layers`, `heads` and `kv_heads`.
pub(super) struct LayerMixers {
    /// Name of the other mixer in `layer_types`.
    pub other: &'static str,
}

const ATTENTION: &str = "full_attention";
const HEADS_KEY: &str = "attention.head_count_kv";

impl LayerMixers {
    fn set_mixers(&self, holes: &mut Holes, attends: impl Iterator<Item = bool>) {
        let name = |attends: bool| if attends { ATTENTION } else { self.other };
        holes.set("mixer", attends.map(name).collect::<Vec<_>>());
    }
}

fn read_list<'a>(fields: &ConfigReader<'a>, key: &str) -> Result<Option<&'a Vec<Value>>, ValidationError> {
    match fields.get(key) {
        None => Ok(None),
        Some(Value::Array(list)) => Ok(Some(list)),
        Some(other) => Err(ValidationError::new(key, format!("expected a list, found {other}"))),
    }
}

impl Convert for LayerMixers {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let layers = holes.integer("layers");
        let (types, attention) = (read_list(fields, "layer_types")?, read_list(fields, "full_attn_idxs")?);
        let Some(types) = types else {
            let attends = |layer: usize| attention.is_none_or(|list| list.contains(&layer.into()));
            self.set_mixers(holes, (0..layers).map(attends));
            return Ok(());
        };
        if types.len() != layers || types.iter().any(|kind| kind != ATTENTION && kind != self.other) {
            let reason = format!("expected \"{}\" or \"{ATTENTION}\" for each of {layers} layers", self.other);
            return Err(ValidationError::new("layer_types", reason));
        }
        self.set_mixers(holes, types.iter().map(|kind| kind == ATTENTION));
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        json.insert("layer_types".into(), holes.layers("mixer").into());
        Ok(())
    }

    fn read_gguf(&self, fields: &GgufFields, holes: &mut Holes) -> Result<(), ValidationError> {
        let layers = holes.integer("layers");
        let heads = fields.integers(HEADS_KEY, layers)?.unwrap_or_else(|| vec![holes.integer("heads"); layers]);
        self.set_mixers(holes, heads.into_iter().map(|heads| heads > 0));
        Ok(())
    }

    fn write_gguf(&self, holes: &Holes, out: &mut GgufMetadata) -> Result<(), ValidationError> {
        let attends: Vec<bool> = holes.layers("mixer").iter().map(|kind| kind == ATTENTION).collect();
        if !(attends.contains(&true) && attends.contains(&false)) {
            let architecture = out.gguf.architecture;
            let reason = format!("GGUF's `{architecture}` needs layers of both kinds, `{}` and attention", self.other);
            return Err(ValidationError::new("model.blocks", reason));
        }
        let kv_heads = holes.get("kv_heads").as_u64().unwrap_or(holes.integer("heads") as u64);
        out.set(HEADS_KEY, attends.into_iter().map(|attends| if attends { kv_heads } else { 0 }).collect::<Vec<_>>());
        Ok(())
    }
}
