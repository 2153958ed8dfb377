//! Factors and sizes in `config.json` that follow from others, or that the model has in another form.

use super::{
    config_reader::ConfigReader,
    gguf::{GgufFields, GgufMetadata},
    keys::Convert,
    template::Holes,
};
use kiln_spec::ValidationError;
use serde_json::{Map, Value};

/// No key: embeddings are multiplied by √hidden. Hole: `embedding_scale`.
pub(super) struct EmbeddingScale;

/// No key: the MLP is four times as wide as the residual stream. Hole: `intermediate`.
pub(super) struct FourTimesHidden;

/// A key by which logits are multiplied or divided. Hole: `logit_scale`, the factor; none for 1.
pub(super) struct LogitScale {
    /// The key.
    pub key: &'static str,
    /// Value of an absent key.
    pub absent: f64,
    /// Whether logits are divided by the value.
    pub divides: bool,
}

/// A key that says whether scores have the factor 1/√(head width); without it they have the factor 1. Hole: `score_scale`.
pub(super) struct ScaledScores(pub &'static str);

/// A key whose power is the factor of the scores. Hole: `score_scale`.
pub(super) struct ScoreScale {
    /// The key.
    pub key: &'static str,
    /// Value of an absent key.
    pub absent: f64,
    /// The factor is the value to this power.
    pub power: f64,
}

/// A key that says how many times another hole a hole is: the shared experts, which are one of their total width.
pub(super) struct Multiple {
    /// The key.
    pub key: &'static str,
    /// The hole.
    pub hole: &'static str,
    /// The key in GGUF.
    pub gguf: &'static str,
    /// The hole that is multiplied.
    pub of: &'static str,
    /// Value of an absent key.
    pub absent: usize,
}

impl Convert for EmbeddingScale {
    fn read(&self, _fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        holes.set("embedding_scale", (holes.integer("hidden") as f64).sqrt());
        Ok(())
    }

    fn write(&self, _holes: &Holes, _json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        Ok(())
    }
}

impl Convert for FourTimesHidden {
    fn read(&self, _fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        holes.set("intermediate", 4 * holes.integer("hidden"));
        Ok(())
    }

    fn write(&self, _holes: &Holes, _json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        Ok(())
    }

    fn read_gguf(&self, fields: &GgufFields, holes: &mut Holes) -> Result<(), ValidationError> {
        let intermediate = 4 * holes.integer("hidden");
        fields.require("feed_forward_length", intermediate)?;
        holes.set("intermediate", intermediate);
        Ok(())
    }

    fn write_gguf(&self, holes: &Holes, out: &mut GgufMetadata) -> Result<(), ValidationError> {
        out.set_hole("intermediate", holes.get("intermediate").clone());
        Ok(())
    }
}

impl LogitScale {
    /// The factor of a value, and the value of a factor.
    fn reciprocal(&self, number: f64) -> f64 {
        if self.divides { 1.0 / number } else { number }
    }
}

impl Convert for LogitScale {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let value = fields.float(self.key)?.unwrap_or(self.absent);
        if value == 0.0 {
            let verb = if self.divides { "divided" } else { "multiplied" };
            let reason = format!("logits are {verb} by it; expected another number than 0");
            return Err(ValidationError::new(self.key, reason));
        }
        holes.set("logit_scale", Some(self.reciprocal(value)).filter(|scale| *scale != 1.0));
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        let scale = holes.get("logit_scale").as_f64().unwrap_or(1.0);
        json.insert(self.key.into(), self.reciprocal(scale).into());
        Ok(())
    }

    /// `logit_scale` is a divisor where the key of `config.json` is one.
    fn read_gguf(&self, fields: &GgufFields, holes: &mut Holes) -> Result<(), ValidationError> {
        let value = fields.float("logit_scale")?.filter(|value| *value != 0.0).unwrap_or(1.0);
        holes.set("logit_scale", Some(self.reciprocal(value)).filter(|scale| *scale != 1.0));
        Ok(())
    }

    fn write_gguf(&self, holes: &Holes, out: &mut GgufMetadata) -> Result<(), ValidationError> {
        out.set("logit_scale", self.reciprocal(holes.get("logit_scale").as_f64().unwrap_or(1.0)));
        Ok(())
    }
}

impl Convert for ScaledScores {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let scaled = fields.flag(self.0, true)?;
        holes.set("score_scale", if scaled { Value::Null } else { 1.0.into() });
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        json.insert(self.0.into(), holes.get("score_scale").is_null().into());
        Ok(())
    }
}

impl Convert for ScoreScale {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let value = fields.float(self.key)?.unwrap_or(self.absent);
        if value <= 0.0 {
            return Err(ValidationError::new(self.key, format!("expected a number above 0, found {value}")));
        }
        holes.set("score_scale", value.powf(self.power));
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        let value = holes.float("score_scale").powf(1.0 / self.power);
        // The nearest whole number, which files have, if it gives the same factor.
        let whole = value.round();
        let is_whole = whole.powf(self.power) == holes.float("score_scale");
        json.insert(self.key.into(), if is_whole { (whole as u64).into() } else { value.into() });
        Ok(())
    }

    /// GGUF has no key: the value is the width of a head, in the model of 46 layers (27B) that of the stream by the number of
    /// heads.
    fn read_gguf(&self, _fields: &GgufFields, holes: &mut Holes) -> Result<(), ValidationError> {
        let value = match holes.integer("layers") {
            46 => holes.integer("hidden") / holes.integer("heads").max(1),
            _ => holes.integer("head_dim"),
        };
        holes.set("score_scale", (value as f64).powf(self.power));
        Ok(())
    }
}

impl Convert for Multiple {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let factor = fields.size(self.key, self.absent)?;
        holes.set(self.hole, factor.saturating_mul(holes.integer(self.of)));
        Ok(())
    }

    /// Whether the hole is a multiple is found when the file is read back.
    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        if holes.contains(self.hole) {
            let factor = holes.integer(self.hole) / holes.integer(self.of).max(1);
            json.insert(self.key.into(), factor.max(1).into());
        }
        Ok(())
    }

    fn read_gguf(&self, fields: &GgufFields, holes: &mut Holes) -> Result<(), ValidationError> {
        holes.set(self.hole, fields.size(self.gguf)?.saturating_mul(holes.integer(self.of)));
        Ok(())
    }

    fn write_gguf(&self, holes: &Holes, out: &mut GgufMetadata) -> Result<(), ValidationError> {
        out.set(self.gguf, holes.integer(self.hole) / holes.integer(self.of).max(1));
        Ok(())
    }
}
