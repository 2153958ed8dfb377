//! A LayerNorm of queries and keys with weights for each head.

use super::{
    config_reader::ConfigReader,
    gguf::{GgufFields, GgufMetadata},
    keys::Convert,
    template::Holes,
};
use kiln_spec::ValidationError;
use serde_json::{Map, Value, json};

/// The key that switches on a LayerNorm without bias of queries and keys, with weights for each head. Hole: `qk_norm`. Reads the
/// hole `eps`.
pub(super) struct EachHeadNorm {
    /// The key.
    pub key: &'static str,
    /// llama.cpp expects the norms in models of at least so many layers, and not in others. 0: it takes them where they are.
    pub gguf_layers: usize,
}

impl Convert for EachHeadNorm {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let norm = json!({ "norm": { "layer": { "eps": holes.get("eps"), "bias": false } }, "scope": "each_head" });
        let is_on = fields.flag(self.key, false)?;
        holes.set("qk_norm", is_on.then_some(norm));
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        json.insert(self.key.into(), (!holes.get("qk_norm").is_null()).into());
        Ok(())
    }

    fn read_gguf(&self, fields: &GgufFields, holes: &mut Holes) -> Result<(), ValidationError> {
        let norm = json!({ "norm": { "layer": { "eps": holes.get("eps"), "bias": false } }, "scope": "each_head" });
        holes.set("qk_norm", fields.has_tensor("blk.0.attn_q_norm.weight").then_some(norm));
        Ok(())
    }

    fn write_gguf(&self, holes: &Holes, out: &mut GgufMetadata) -> Result<(), ValidationError> {
        let (layers, has_norm) = (holes.integer("layers"), !holes.get("qk_norm").is_null());
        if self.gguf_layers == 0 || has_norm == (layers >= self.gguf_layers) {
            return Ok(());
        }
        let (with, found) = (if has_norm { "only" } else { "always" }, out.gguf.architecture);
        let reason =
            format!("GGUF's `{found}` has the norm {with} with {} layers or more, found {layers}", self.gguf_layers);
        Err(ValidationError::new("model.blocks.attention.projection.heads.qk_norm", reason)
            .with_suggestion("use --format hf"))
    }
}
