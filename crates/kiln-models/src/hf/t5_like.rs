//! What T5 and mT5 have in common: the template of their configuration and the keys that are no plain value of one hole.

use super::{
    activation,
    config_reader::ConfigReader,
    family::{inexpressible, unsupported_class},
    gguf::{GgufFields, GgufMetadata},
    keys::{
        Absent::*,
        Constant::*,
        Convert,
        Key::{self, *},
    },
    template::Holes,
};
use kiln_nn::part::{
    PartConfig,
    feed_forward::{activation::Activation as ActivationFunction, gated_mlp::GatedMlpConfig, mlp::MlpConfig},
};
use kiln_spec::ValidationError;
use serde_json::{Map, Value};

/// Configuration of T5 and mT5.
pub(super) const TEMPLATE: &str = r#"{
    "stack": "encoder-decoder",
    "visibility": "prefix",
    "vocab": "$vocab",
    "hidden": "$hidden",
    "position": { "t5": { "num_buckets": "$buckets", "max_distance": "$distance", "bidirectional": false, "heads": "$heads" } },
    "dropout": "$dropout",
    "blocks": { "$each": "$layers", "block": { "sublayers": [
        { "junction": { "pre": { "norm": { "rms": { "eps": "$eps" } } } },
          "parts": [{ "attention": { "projection": { "heads": { "heads": "$heads", "head_dim": "$head_dim", "scale": 1.0 } } } }] },
        { "junction": { "pre": { "norm": { "rms": { "eps": "$eps" } } } },
          "parts": [{ "attention": { "source": "cross",
              "projection": { "heads": { "heads": "$heads", "head_dim": "$head_dim", "scale": 1.0 } } } }] },
        { "junction": { "pre": { "norm": { "rms": { "eps": "$eps" } } } }, "parts": ["$feed_forward"] }
    ] } },
    "encoder": {
        "position": { "t5": { "num_buckets": "$buckets", "max_distance": "$distance", "bidirectional": true, "heads": "$heads" } },
        "blocks": { "$each": "$encoder_layers", "block": { "sublayers": [
            { "junction": { "pre": { "norm": { "rms": { "eps": "$eps" } } } },
              "parts": [{ "attention": { "projection": { "heads": { "heads": "$heads", "head_dim": "$head_dim", "scale": 1.0 } } } }] },
            { "junction": { "pre": { "norm": { "rms": { "eps": "$eps" } } } }, "parts": ["$feed_forward"] }
        ] } },
        "norm": { "rms": { "eps": "$eps" } }
    },
    "norm": { "rms": { "eps": "$eps" } },
    "head": { "language": { "tied": "$tied", "scale": "$head_scale" } }
}"#;

/// Keys with the same defaults in both families.
pub(super) const COMMON_KEYS: [Key; 10] = [
    Only("is_encoder_decoder", Bool(true)),
    Only("is_decoder", Bool(false)),
    Only("is_causal", Bool(true)),
    Ignored(&["n_positions", "classifier_dropout", "max_position_embeddings"]),
    Float("layer_norm_epsilon", "eps", 1e-6),
    Size("d_model", "hidden", Is(512)),
    Size("d_kv", "head_dim", Is(64)),
    Size("relative_attention_num_buckets", "buckets", Is(32)),
    Size("relative_attention_max_distance", "distance", Is(128)),
    Dropout(&["dropout_rate"], "dropout", 0.1),
];

/// Key of newer files: whether the input of the head is scaled by 1/√M.
pub(super) const SCALE_OUTPUTS_KEY: &str = "scale_decoder_outputs";

/// `architectures`: only classes with a language-model head.
pub(super) struct SupportedClass {
    /// The supported classes.
    pub classes: &'static [&'static str],
}

impl Convert for SupportedClass {
    fn read(&self, fields: &ConfigReader, _holes: &mut Holes) -> Result<(), ValidationError> {
        match fields.get("architectures").and_then(|list| list[0].as_str()) {
            Some(class) if !self.classes.contains(&class) => Err(unsupported_class(self.classes, class)),
            _ => Ok(()),
        }
    }

    fn write(&self, _holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        json.insert("is_encoder_decoder".into(), true.into());
        json.insert("decoder_start_token_id".into(), 0.into());
        Ok(())
    }
}

/// `tie_word_embeddings` and `scale_decoder_outputs`: a factor 1/√M of the head's input. Older files have no key for it: a
/// tied head has it. Holes: `tied`, `head_scale`.
pub(super) struct HeadScale;

impl Convert for HeadScale {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let tied = fields.flag("tie_word_embeddings", true)?;
        let scaled = fields.flag(SCALE_OUTPUTS_KEY, tied)?;
        holes.set("tied", tied);
        holes.set("head_scale", scaled.then(|| 1.0 / (holes.integer("hidden") as f64).sqrt()));
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        json.insert("tie_word_embeddings".into(), holes.get("tied").clone());
        json.insert(SCALE_OUTPUTS_KEY.into(), (!holes.get("head_scale").is_null()).into());
        Ok(())
    }

    /// A head is scaled if it is tied, as in older files of Hugging Face.
    fn read_gguf(&self, fields: &GgufFields, holes: &mut Holes) -> Result<(), ValidationError> {
        let tied = fields.hole("tied", true.into(), holes)?;
        let scale = 1.0 / (holes.integer("hidden") as f64).sqrt();
        holes.set("head_scale", Some(scale).filter(|_| tied == true));
        holes.set("tied", tied);
        Ok(())
    }
}

/// `feed_forward_proj`: an activation, or `gated-` and an activation (`gated-gelu` is the approximation by tanh). Hole:
/// `feed_forward`, the part.
pub(super) struct FeedForward {
    /// The value of an absent key.
    pub absent: &'static str,
}

impl Convert for FeedForward {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let name = fields.string("feed_forward_proj", self.absent)?;
        let (gated, function) = name.strip_prefix("gated-").map_or((false, name), |function| (true, function));
        let function = if name == "gated-gelu" { "gelu_new" } else { function };
        fields.require("is_gated_act", gated)?;
        let given = fields.string("dense_act_fn", function)?;
        let key = if given == function { "feed_forward_proj" } else { "dense_act_fn" };
        let activation = activation::from_name(key, given)?;
        let intermediate = Some(holes.integer("intermediate"));
        let part = match gated {
            true => PartConfig::GatedMlp(GatedMlpConfig { intermediate, activation, bias: false }),
            false => PartConfig::Mlp(MlpConfig { intermediate, activation, bias: false }),
        };
        holes.set("feed_forward", serde_json::to_value(part).unwrap_or_default());
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        let (gate, activation, intermediate) = match serde_json::from_value(holes.get("feed_forward").clone()) {
            Ok(PartConfig::Mlp(mlp)) => ("", mlp.activation, mlp.intermediate),
            Ok(PartConfig::GatedMlp(mlp)) => ("gated-", mlp.activation, mlp.intermediate),
            _ => return Err(inexpressible("model.blocks", "`mlp` and `gated_mlp` as feed-forward parts")),
        };
        let is_gated_gelu = !gate.is_empty() && activation == ActivationFunction::GELU_TANH;
        let function = if is_gated_gelu { "gelu" } else { activation::name(activation) };
        json.insert("d_ff".into(), intermediate.into());
        json.insert("feed_forward_proj".into(), format!("{gate}{function}").into());
        Ok(())
    }

    /// Gated with GELU or plain with ReLU, as the tensors say.
    fn read_gguf(&self, fields: &GgufFields, holes: &mut Holes) -> Result<(), ValidationError> {
        let intermediate = Some(holes.integer("intermediate"));
        let part = match fields.has_tensor("enc.blk.0.ffn_gate.weight") {
            true => PartConfig::GatedMlp(GatedMlpConfig {
                intermediate,
                activation: ActivationFunction::GELU_TANH,
                bias: false,
            }),
            false => PartConfig::Mlp(MlpConfig { intermediate, activation: ActivationFunction::RELU, bias: false }),
        };
        holes.set("feed_forward", serde_json::to_value(part).unwrap_or_default());
        Ok(())
    }

    fn write_gguf(&self, holes: &Holes, out: &mut GgufMetadata) -> Result<(), ValidationError> {
        let part = holes.get("feed_forward");
        let intermediate = ["mlp", "gated_mlp"].map(|kind| part[kind]["intermediate"].clone());
        intermediate.into_iter().for_each(|intermediate| out.set_hole("intermediate", intermediate));
        Ok(())
    }
}
