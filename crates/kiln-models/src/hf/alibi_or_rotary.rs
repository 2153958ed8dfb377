//! ALiBi in place of rotary positions, chosen by a key.

use super::{
    config_reader::ConfigReader,
    gguf::{GgufFields, GgufMetadata},
    keys::Convert,
    rope::Rotary,
    template::Holes,
};
use kiln_spec::ValidationError;
use serde_json::{Map, Value, json};

/// `alibi`: ALiBi, multiplied by the factor of the scores, or the keys of these rotary positions. Hole: `position`.
pub(super) struct AlibiOrRotary(pub Rotary);

impl Convert for AlibiOrRotary {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        if !fields.flag("alibi", false)? {
            return self.0.read(fields, holes);
        }
        fields.ignore(&["max_position_embeddings", "rope_parameters", "rope_scaling", "rope_theta"]);
        holes.set("position", json!({ "alibi": { "alibi_bias_max": 8.0, "scaled": true } }));
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        let is_alibi = holes.get("position").get("alibi").is_some();
        json.insert("alibi".into(), is_alibi.into());
        if is_alibi { Ok(()) } else { self.0.write(holes, json) }
    }

    fn read_gguf(&self, fields: &GgufFields, holes: &mut Holes) -> Result<(), ValidationError> {
        self.0.read_gguf(fields, holes)
    }

    fn write_gguf(&self, holes: &Holes, out: &mut GgufMetadata) -> Result<(), ValidationError> {
        if holes.get("position").get("alibi").is_some() {
            let reason = "GGUF stores rotary positions of this architecture only, found ALiBi";
            return Err(ValidationError::new("model.position", reason));
        }
        self.0.write_gguf(holes, out)
    }
}
