//! Layers with a mixture of experts: `mlp_only_layers` and `decoder_sparse_step`, or `first_k_dense_replace`.

use super::{
    config_reader::ConfigReader,
    gguf::{GgufFields, GgufMetadata},
    keys::Convert,
    template::Holes,
};
use kiln_spec::ValidationError;
use serde_json::{Map, Value};

/// `decoder_sparse_step`: every so many layers has experts, the first being number 1; `mlp_only_layers`: layers from 0 that have
/// none. Hole for each layer: `sparse`.
pub(super) struct SparseLayers;

/// `first_k_dense_replace`: the number of layers without experts, which are the first. Hole for each layer: `sparse`.
pub(super) struct FirstLayersDense {
    /// Value of an absent key.
    pub absent: usize,
}

/// Number of the first layers without experts in GGUF.
const DENSE_KEY: &str = "leading_dense_block_count";

impl Convert for SparseLayers {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let (layers, step) = (holes.integer("layers"), fields.size("decoder_sparse_step", 1)?);
        let dense = match fields.get("mlp_only_layers") {
            None => Vec::new(),
            Some(list) => list.as_array().cloned().ok_or_else(|| {
                ValidationError::new("mlp_only_layers", format!("expected a list of layers, found {list}"))
            })?,
        };
        let is_sparse = |layer: usize| (layer + 1).is_multiple_of(step) && !dense.contains(&layer.into());
        holes.set("sparse", (0..layers).map(is_sparse).collect::<Vec<_>>());
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        let layers = holes.layers("sparse").iter().enumerate();
        let dense = layers.filter(|(_, sparse)| **sparse == false).map(|(layer, _)| layer);
        json.insert("mlp_only_layers".into(), dense.collect::<Vec<_>>().into());
        json.insert("decoder_sparse_step".into(), 1.into());
        Ok(())
    }
}

impl Convert for FirstLayersDense {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let dense = fields.integer("first_k_dense_replace")?.unwrap_or(self.absent);
        holes.set("sparse", (0..holes.integer("layers")).map(|layer| layer >= dense).collect::<Vec<_>>());
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        let dense = holes.layers("sparse").iter().take_while(|sparse| **sparse == false).count();
        json.insert("first_k_dense_replace".into(), dense.into());
        Ok(())
    }

    fn read_gguf(&self, fields: &GgufFields, holes: &mut Holes) -> Result<(), ValidationError> {
        let dense = fields.integer(DENSE_KEY)?.unwrap_or(0);
        holes.set("sparse", (0..holes.integer("layers")).map(|layer| layer >= dense).collect::<Vec<_>>());
        Ok(())
    }

    fn write_gguf(&self, holes: &Holes, out: &mut GgufMetadata) -> Result<(), ValidationError> {
        out.set(DENSE_KEY, holes.layers("sparse").iter().take_while(|sparse| **sparse == false).count());
        Ok(())
    }
}
