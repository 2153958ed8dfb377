//! BERT-like families: configuration and encoder of BERT, RoBERTa, DistilBERT and ELECTRA.
//!
//! Embeddings (token + position + token type) → LayerNorm → blocks of attention and MLP, each x ← LayerNorm(x + f(x)),
//! all linear layers with bias. The families differ in the first position, in token types, in the width of the embedding and in
//! names.
//!
//! | `config.json` | `ModelConfig` |
//! |---|---|
//! | `hidden_size`, `vocab_size`, `type_vocab_size` | `hidden`, `vocab`, `embedding.type_vocab_size` |
//! | `num_hidden_layers`, `num_attention_heads` | `repeat` of the block, `heads` of its attention |
//! | `intermediate_size`, `hidden_act` | `intermediate` and `activation` of `mlp` |
//! | `max_position_embeddings` | `position.learned`, without the rows before the first position |
//! | `hidden_dropout_prob`, `attention_probs_dropout_prob` | `dropout` |
//! | `layer_norm_eps` | `eps` of every LayerNorm |
//! | `architectures`, `num_labels`, `id2label` | `head` |
//!
//! | class | head |
//! |---|---|
//! | `…ForMaskedLM`, `…ForPreTraining` | `language` with a transform (linear, activation, LayerNorm) before the logits |
//! | `…ForSequenceClassification` | `class` on the first token, with pooler or transform |
//! | `…Model` | `embedding`: mean of the hidden states; `modules.json` may say otherwise |

use super::{
    config_reader::ConfigReader,
    family::unsupported_class,
    gguf::{GgufFields, GgufMetadata},
    keys::{
        Absent::*,
        Constant::*,
        Convert,
        Key::{self, *},
    },
    names::{Name, linear, same},
    template::Holes,
};
use kiln_nn::part::feed_forward::activation::Activation as ActivationFunction;
use kiln_spec::ValidationError;
use serde_json::{Map, Value, json};

/// Configuration of these families.
pub(super) const TEMPLATE: &str = r#"{
    "stack": "encoder",
    "visibility": "bidirectional",
    "vocab": "$vocab",
    "hidden": "$hidden",
    "embedding": { "type_vocab_size": "$types", "norm": { "layer": { "eps": "$eps" } }, "factorized": "$factorized" },
    "position": { "learned": { "max_position_embeddings": "$length", "offset": "$offset" } },
    "dropout": "$dropout",
    "blocks": { "$each": "$layers", "block": { "sublayers": [
        { "junction": { "post": { "norm": { "layer": { "eps": "$eps" } } } },
          "parts": [{ "attention": { "projection": { "heads": { "heads": "$heads", "bias": true } } } }] },
        { "junction": { "post": { "norm": { "layer": { "eps": "$eps" } } } },
          "parts": [{ "mlp": { "intermediate": "$intermediate", "activation": "$activation", "bias": true } }] }
    ] } },
    "norm": "none",
    "head": { "$case": "$head",
        "language": { "language": { "tied": "$tied", "bias": true, "width": "$head_width",
            "transform": { "activation": "$head_activation", "norm": { "layer": { "eps": "$eps" } } } } },
        "class": { "class": { "num_classes": "$num_classes", "pooling": "first", "pooler": "$pooler", "transform": "$class_transform" } },
        "embedding": { "embedding": { "pooling": "mean", "normalize": false } } }
}"#;

/// Ends of the names of a LayerNorm in files converted from TensorFlow.
pub(super) const TF_ENDS: &[(&str, &str)] = &[(".weight", ".gamma"), (".bias", ".beta")];

/// Tensors of the embeddings and blocks of BERT, RoBERTa and ELECTRA. In files converted from TensorFlow, LayerNorms have other
/// ends of their names.
pub(super) const ENCODER_NAMES: &[Name] = &[
    same("embedding", "{prefix}embeddings.word_embeddings.weight"),
    same("embedded.types", "{prefix}embeddings.token_type_embeddings.weight"),
    same("position", "{prefix}embeddings.position_embeddings"),
    same("embedded.norm", "{prefix}embeddings.LayerNorm"),
    same("embedded.norm", "{prefix}embeddings.LayerNorm").with_ends(TF_ENDS),
    linear("blocks.{i}.attention.q", "{prefix}encoder.layer.{i}.attention.self.query"),
    linear("blocks.{i}.attention.k", "{prefix}encoder.layer.{i}.attention.self.key"),
    linear("blocks.{i}.attention.v", "{prefix}encoder.layer.{i}.attention.self.value"),
    linear("blocks.{i}.attention.o", "{prefix}encoder.layer.{i}.attention.output.dense"),
    linear("blocks.{i}.feed_forward.up", "{prefix}encoder.layer.{i}.intermediate.dense"),
    linear("blocks.{i}.feed_forward.down", "{prefix}encoder.layer.{i}.output.dense"),
    same("blocks.{i}.attention_norm", "{prefix}encoder.layer.{i}.attention.output.LayerNorm"),
    same("blocks.{i}.attention_norm", "{prefix}encoder.layer.{i}.attention.output.LayerNorm").with_ends(TF_ENDS),
    same("blocks.{i}.feed_forward_norm", "{prefix}encoder.layer.{i}.output.LayerNorm"),
    same("blocks.{i}.feed_forward_norm", "{prefix}encoder.layer.{i}.output.LayerNorm").with_ends(TF_ENDS),
];

/// Keys of all encoders.
pub(super) const COMMON_KEYS: &[Key] = &[
    Only("position_embedding_type", Text("absolute")),
    Only("is_decoder", Bool(false)),
    Only("add_cross_attention", Bool(false)),
    Only("is_encoder_decoder", Bool(false)),
    Flag("tie_word_embeddings", "tied", true),
];

/// Keys of the encoder but the vocabulary and the widths. Reads the hole `offset`.
pub(super) const ENCODER_KEYS: &[Key] = &[
    All(COMMON_KEYS),
    // Settings of a pooler that no supported class has.
    Ignored(&["pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head"]),
    Ignored(&["pooler_type", "classifier_dropout", "directionality"]),
    Activation("hidden_act", "activation", "gelu"),
    Float("layer_norm_eps", "eps", 1e-12),
    Size("type_vocab_size", "types", Is(2)),
    Dropout(&["hidden_dropout_prob", "attention_probs_dropout_prob"], "dropout", 0.1),
    Layers("num_hidden_layers", "layers", 12),
    Converted(&TableLength),
];

/// Widths of BERT and RoBERTa.
pub(super) const BERT_WIDTHS: &[Key] = &[
    Size("hidden_size", "hidden", Is(768)),
    Size("num_attention_heads", "heads", Is(12)),
    Size("intermediate_size", "intermediate", Is(3072)),
    Fixed("factorized", Nothing),
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

/// The class in `architectures`; absent: the first, a masked language model. Holes: `head`, the alternative of the template's
/// head; `num_classes`, `pooler` and `class_transform`; `head_activation`; `head_width`, that of a factorized embedding.
pub(super) struct ClassHead {
    /// Start of the class names: `Bert` of `BertForMaskedLM`.
    pub class: &'static str,
    /// Classes of the family.
    pub classes: &'static [&'static str],
    /// Activation in the head of a masked language model; `None`: that of the blocks.
    pub activation: Option<ActivationFunction>,
    /// Activation before the classifier; `None`: BERT's pooler, which has a tanh.
    pub class_activation: Option<ActivationFunction>,
}

/// Ends of the names of classes, with the alternative of the template's head. Of several, the first is written.
const CLASS_ENDS: &[(&str, &str)] = &[
    ("ForMaskedLM", "language"),
    ("ForPreTraining", "language"),
    ("ForSequenceClassification", "class"),
    ("Model", "embedding"),
];

impl ClassHead {
    /// The alternative of the template for a class. The family has the class if one of its own has the same end.
    fn head(&self, class: &str) -> Result<&'static str, ValidationError> {
        let is_own = |end: &str| self.classes.iter().any(|own| own.strip_prefix(self.class) == Some(end));
        let found = CLASS_ENDS.iter().find(|(end, _)| class.ends_with(end) && is_own(end));
        found.map(|(_, head)| *head).ok_or_else(|| unsupported_class(self.classes, class))
    }
}

/// Number of classes: that of the labels' names, or `num_labels`.
fn read_num_classes(fields: &ConfigReader) -> Result<usize, ValidationError> {
    match fields.get("id2label").and_then(Value::as_object).map(Map::len) {
        Some(labels) => Ok(labels),
        None => fields.size("num_labels", 2),
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
        let head = self.head(class)?;
        holes.set("head", head);
        if head == "class" {
            holes.set("num_classes", read_num_classes(fields)?);
        }
        let transform = self.class_activation.map(|activation| json!({ "activation": activation, "norm": "none" }));
        holes.set("pooler", transform.is_none());
        holes.set("class_transform", transform);
        let own = self.activation.map(|activation| json!(activation));
        holes.set("head_activation", own.unwrap_or_else(|| holes.get("activation").clone()));
        holes.set("head_width", holes.get("factorized")["width"].clone());
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        let head = holes.get("head").as_str().unwrap_or_default();
        let end = CLASS_ENDS.iter().find(|(_, known)| *known == head).map_or("Model", |(end, _)| end);
        json.insert("architectures".into(), vec![format!("{}{end}", self.class)].into());
        if head == "class" {
            let labels = (0..holes.integer("num_classes")).map(|i| (i.to_string(), Value::from(format!("LABEL_{i}"))));
            json.insert("id2label".into(), labels.collect());
        }
        Ok(())
    }

    /// Files have no head: the model is one of embeddings.
    fn read_gguf(&self, fields: &GgufFields, holes: &mut Holes) -> Result<(), ValidationError> {
        self.read(&fields.defaults()?, holes)?;
        holes.set("head", self.head("Model")?);
        Ok(())
    }
}
