//! A LayerNorm of queries and keys with weights for each head.

use super::{config_reader::ConfigReader, gguf::GgufFields, keys::Convert, template::Holes};
use kiln_spec::ValidationError;
use serde_json::{Map, Value, json};

/// The key that switches on a LayerNorm without bias of queries and keys, with weights for each head. Hole: `qk_norm`. Reads the
/// hole `eps`.
pub(super) struct EachHeadNorm(pub &'static str);

impl Convert for EachHeadNorm {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let norm = json!({ "norm": { "layer": { "eps": holes.get("eps"), "bias": false } }, "scope": "each_head" });
        let is_on = fields.flag(self.0, false)?;
        holes.set("qk_norm", is_on.then_some(norm));
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        json.insert(self.0.into(), (!holes.get("qk_norm").is_null()).into());
        Ok(())
    }

    fn read_gguf(&self, fields: &GgufFields, holes: &mut Holes) -> Result<(), ValidationError> {
        let norm = json!({ "norm": { "layer": { "eps": holes.get("eps"), "bias": false } }, "scope": "each_head" });
        holes.set("qk_norm", fields.has_tensor("blk.0.attn_q_norm.weight").then_some(norm));
        Ok(())
    }
}
