//! BERT-like families: configuration and encoder of BERT and RoBERTa.
//!
//! Embeddings (token + position + token type) → LayerNorm → blocks of attention and MLP, each x ← LayerNorm(x + f(x)),
//! all linear layers with bias. The families differ in the first position and in the tensor names of their heads.
//!
//! | `config.json` | `ModelConfig` |
//! |---|---|
//! | `hidden_size`, `vocab_size`, `type_vocab_size` | `hidden`, `vocab`, `embedding.type_vocab_size` |
//! | `num_hidden_layers`, `num_attention_heads` | `repeat` of the block, `heads` of its attention |
//! | `intermediate_size`, `hidden_act` | `intermediate` and `activation` of `mlp` |
//! | `max_position_embeddings` | `position.learned`, without the rows before the first position |
//! | `hidden_dropout_prob`, `attention_probs_dropout_prob` | `dropout`; the two must be equal |
//! | `layer_norm_eps` | `eps` of every LayerNorm |
//! | `architectures`, `num_labels`, `id2label` | `head` |
//!
//! | class | head |
//! |---|---|
//! | `…ForMaskedLM`, `…ForPreTraining` | `language` with a transform (linear, activation, LayerNorm) before the logits |
//! | `…ForSequenceClassification` | `class` on the first token, with pooler |
//! | `…Model` | `embedding`: mean of the hidden states; `modules.json` may say otherwise |

use super::{
    activation,
    config_reader::ConfigReader,
    family::unsupported_class,
    gguf::{GgufFields, GgufMetadata},
    keys::{
        Absent::*,
        Constant::*,
        Convert,
        Key::{self, *},
    },
    template::Holes,
};
use kiln_nn::{
    head::{
        ClassificationHeadConfig, EmbeddingHeadConfig, HeadConfig, HeadTransformConfig, LanguageModelHeadConfig,
        Pooling,
    },
    norm::{LayerNormConfig, NormConfig},
    part::feed_forward::activation::Activation as ActivationFunction,
};
use kiln_spec::ValidationError;
use serde_json::{Map, Value};

/// Configuration of these families.
pub(super) const TEMPLATE: &str = r#"{
    "stack": "encoder",
    "visibility": "bidirectional",
    "vocab": "$vocab",
    "hidden": "$hidden",
    "embedding": { "type_vocab_size": "$types", "norm": { "layer": { "eps": "$eps" } } },
    "position": { "learned": { "max_position_embeddings": "$length", "offset": "$offset" } },
    "dropout": "$dropout",
    "blocks": { "$each": "$layers", "block": { "sublayers": [
        { "junction": { "post": { "norm": { "layer": { "eps": "$eps" } } } },
          "parts": [{ "attention": { "projection": { "heads": { "heads": "$heads", "bias": true } } } }] },
        { "junction": { "post": { "norm": { "layer": { "eps": "$eps" } } } },
          "parts": [{ "mlp": { "intermediate": "$intermediate", "activation": "$activation", "bias": true } }] }
    ] } },
    "norm": "none",
    "head": "$head"
}"#;

/// Ends of the names of a LayerNorm in files converted from TensorFlow.
pub(super) const TF_ENDS: &[(&str, &str)] = &[(".weight", ".gamma"), (".bias", ".beta")];

/// Keys of the encoder but the vocabulary and the positions.
pub(super) const ENCODER_KEYS: [Key; 14] = [
    Only("position_embedding_type", Text("absolute")),
    Only("is_decoder", Bool(false)),
    Only("add_cross_attention", Bool(false)),
    Only("is_encoder_decoder", Bool(false)),
    // Settings of a pooler that no supported class has.
    Ignored(&["pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head"]),
    Ignored(&["pooler_type", "classifier_dropout", "directionality"]),
    Size("hidden_size", "hidden", Is(768)),
    Activation("hidden_act", "activation", "gelu"),
    Float("layer_norm_eps", "eps", 1e-12),
    Size("type_vocab_size", "types", Is(2)),
    Dropout(&["hidden_dropout_prob", "attention_probs_dropout_prob"], "dropout", 0.1),
    Size("num_attention_heads", "heads", Is(12)),
    Size("intermediate_size", "intermediate", Is(3072)),
    Layers("num_hidden_layers", "layers", 12),
];

/// `max_position_embeddings`: rows of the position table, those before the first position included. Holes: `length` and
/// `offset`, the row of the first token, which an entry further up in the table sets.
pub(super) struct TableLength;

impl Convert for TableLength {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let (table, offset) = (fields.size("max_position_embeddings", 512)?, holes.integer("offset"));
        let length = table.checked_sub(offset).filter(|length| *length > 0).ok_or_else(|| {
            let reason = format!(
                "expected more than {offset}, because positions of this family start at {offset}, found {table}"
            );
            ValidationError::new("max_position_embeddings", reason)
        })?;
        holes.set("length", length);
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        json.insert("max_position_embeddings".into(), (holes.integer("length") + holes.integer("offset")).into());
        Ok(())
    }

    /// Files have no rows before the first position.
    fn read_gguf(&self, fields: &GgufFields, holes: &mut Holes) -> Result<(), ValidationError> {
        holes.set("length", fields.hole("length", Value::Null, holes)?);
        Ok(())
    }

    fn write_gguf(&self, holes: &Holes, out: &mut GgufMetadata) -> Result<(), ValidationError> {
        out.set_hole("length", holes.get("length").clone());
        Ok(())
    }
}

/// The head of the class in `architectures`; absent: a masked language model. Hole: `head`.
pub(super) struct ClassHead {
    /// Start of the class names: `Bert` of `BertForMaskedLM`.
    pub class: &'static str,
    /// Classes of the family.
    pub classes: &'static [&'static str],
    /// Activation in the head; `None`: that of the blocks.
    pub activation: Option<ActivationFunction>,
}

impl ClassHead {
    /// The head of a class. `tied` is that of a masked language model.
    fn head(&self, class: &str, fields: &ConfigReader, holes: &Holes) -> Result<HeadConfig, ValidationError> {
        let tied = fields.flag("tie_word_embeddings", true)?;
        if class.ends_with("ForMaskedLM") || class.ends_with("ForPreTraining") {
            let norm = NormConfig::Layer(LayerNormConfig { eps: holes.float("eps"), bias: true });
            let of_blocks = activation::from_name("hidden_act", fields.string("hidden_act", "gelu")?)?;
            let transform =
                Some(HeadTransformConfig { activation: self.activation.unwrap_or(of_blocks), norm, bias: true });
            return Ok(HeadConfig::Language(LanguageModelHeadConfig {
                tied,
                bias: true,
                transform,
                ..LanguageModelHeadConfig::default()
            }));
        }
        if class.ends_with("ForSequenceClassification") {
            let num_classes = match fields.get("id2label").and_then(Value::as_object).map(Map::len) {
                Some(labels) => labels,
                None => fields.size("num_labels", 2)?,
            };
            let head = ClassificationHeadConfig { num_classes, pooling: Pooling::First, pooler: true };
            return Ok(HeadConfig::Class(head));
        }
        if class.ends_with("Model") {
            let embedding = EmbeddingHeadConfig { pooling: Pooling::Mean, projection_dim: None, normalize: false };
            return Ok(HeadConfig::Embedding(embedding));
        }
        Err(unsupported_class(self.classes, class))
    }
}

impl Convert for ClassHead {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let class = match fields.get("architectures").map(|list| (list, list[0].as_str())) {
            None => self.classes[0],
            Some((_, Some(class))) => class,
            Some((list, None)) => {
                let reason = format!("expected a list of class names, found {list}");
                return Err(ValidationError::new("architectures", reason));
            }
        };
        let head = self.head(class, fields, holes)?;
        holes.set("head", serde_json::to_value(head).unwrap_or_default());
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        let class_end = match serde_json::from_value(holes.get("head").clone()) {
            Ok(HeadConfig::Language(head)) => {
                json.insert("tie_word_embeddings".into(), head.tied.into());
                "ForMaskedLM"
            }
            Ok(HeadConfig::Class(head)) => {
                let labels = (0..head.num_classes).map(|i| (i.to_string(), Value::from(format!("LABEL_{i}"))));
                json.insert("id2label".into(), labels.collect());
                "ForSequenceClassification"
            }
            _ => "Model",
        };
        json.insert("architectures".into(), vec![format!("{}{class_end}", self.class)].into());
        Ok(())
    }

    /// Files have no head: the model is one of embeddings.
    fn read_gguf(&self, fields: &GgufFields, holes: &mut Holes) -> Result<(), ValidationError> {
        let head = self.head("Model", &fields.defaults()?, holes)?;
        holes.set("head", serde_json::to_value(head).unwrap_or_default());
        Ok(())
    }
}
