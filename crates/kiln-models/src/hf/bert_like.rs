//! BERT-like families: configuration and encoder of BERT and RoBERTa.
//!
//! Embeddings (token + position + token type) → LayerNorm → blocks of attention and MLP, each x ← LayerNorm(x + f(x)),
//! all linear layers with bias. The families differ in the first position and in the tensor names of their heads.
//!
//! | `config.json` | [`ModelConfig`] |
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
    binding::Binding,
    config_reader::ConfigReader,
    family::unsupported_class,
    keys::{
        Absent::*,
        Constant::*,
        Convert,
        Key::{self, *},
    },
    template::Holes,
};
use crate::config::ModelConfig;
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
            let transform = Some(HeadTransformConfig { activation: self.activation.unwrap_or(of_blocks), norm });
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
}

/// Tensor names of embeddings and blocks.
pub(super) fn bindings(config: &ModelConfig, prefix: &str) -> Vec<Binding> {
    let embeddings = format!("{prefix}embeddings");
    let mut bindings = vec![
        Binding::identity("embedding", format!("{embeddings}.word_embeddings.weight")),
        Binding::identity("embedded.types", format!("{embeddings}.token_type_embeddings.weight")),
        Binding::identity("position.weight", format!("{embeddings}.position_embeddings.weight")),
    ];
    bindings.extend(layer_norm_bindings("embedded.norm", &format!("{embeddings}.LayerNorm")));
    for i in 0..config.num_layers() {
        let (block, layer) = (format!("blocks.{i}"), format!("{prefix}encoder.layer.{i}"));
        let linear = [
            ("attention.q", "attention.self.query"),
            ("attention.k", "attention.self.key"),
            ("attention.v", "attention.self.value"),
            ("attention.o", "attention.output.dense"),
            ("feed_forward.up", "intermediate.dense"),
            ("feed_forward.down", "output.dense"),
        ];
        for (ours, theirs) in linear {
            bindings.extend(Binding::linear(&format!("{block}.{ours}"), &format!("{layer}.{theirs}"), true));
        }
        for (ours, theirs) in [("attention_norm", "attention.output"), ("feed_forward_norm", "output")] {
            bindings.extend(layer_norm_bindings(&format!("{block}.{ours}"), &format!("{layer}.{theirs}.LayerNorm")));
        }
    }
    bindings
}

/// Weight and bias of a LayerNorm. Files converted from TensorFlow call them `gamma` and `beta`.
pub(super) fn layer_norm_bindings(parameter: &str, tensor: &str) -> Vec<Binding> {
    let pairs = [("weight", "weight"), ("bias", "bias"), ("weight", "gamma"), ("bias", "beta")];
    pairs.map(|(ours, theirs)| Binding::identity(format!("{parameter}.{ours}"), format!("{tensor}.{theirs}"))).into()
}

/// Matrix and bias of the logits. A tied head has the embedding as its matrix and two names for its bias.
pub(super) fn logit_bindings(tied: bool, head: &str) -> Vec<Binding> {
    let weight = format!("{head}.decoder.weight");
    let bias = Binding::identity("head.bias", format!("{head}.decoder.bias"));
    if tied {
        let preferred = Binding::identity("head.bias", format!("{head}.bias"));
        vec![preferred, bias, Binding::identity("embedding", weight)]
    } else {
        vec![bias, Binding::transposed("head.weight", weight)]
    }
}
