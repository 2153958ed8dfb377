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

use super::{Family, activation, binding::Binding, config_reader::ConfigReader, family::inexpressible};
use crate::{
    config::{BlockConfig, ModelConfig, SublayerConfig, Visibility},
    stack::Stack,
};
use kiln_nn::{
    head::{
        ClassificationHeadConfig, EmbeddingHeadConfig, HeadConfig, HeadTransformConfig, LanguageModelHeadConfig,
        Pooling,
    },
    input_embedding::InputEmbeddingConfig,
    norm::{LayerNormConfig, NormConfig},
    part::{
        PartConfig,
        attention::{AttentionConfig, MultiHeadProjectionConfig, ProjectionConfig},
        feed_forward::{activation::Activation, mlp::MlpConfig},
    },
    position::{LearnedPositionConfig, PositionConfig},
};
use kiln_spec::{ValidationError, config::NoOptions};
use serde_json::{Map, Value, json};

/// Values in which the families differ.
pub(super) struct Defaults {
    /// Vocabulary size, if `vocab_size` is absent.
    pub vocab: usize,
    /// Row of the position table that the first token of a text uses.
    pub position_offset: usize,
    /// Activation in the head; `None`: that of the blocks.
    pub head_activation: Option<Activation>,
}

/// The model of a `config.json`.
pub(super) fn read(
    fields: &ConfigReader,
    family: &Family,
    defaults: &Defaults,
) -> Result<ModelConfig, ValidationError> {
    fields.require("position_embedding_type", "absolute")?;
    for key in ["is_decoder", "add_cross_attention", "is_encoder_decoder"] {
        fields.require(key, false)?;
    }
    // Settings of a pooler that no supported class has.
    fields.ignore(&["pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head"]);
    fields.ignore(&["pooler_type", "classifier_dropout", "directionality"]);
    let hidden = fields.size("hidden_size", 768)?;
    let activation = activation::read(fields, "hidden_act", "gelu")?;
    let eps = fields.float("layer_norm_eps")?.unwrap_or(1e-12);
    let norm = NormConfig::Layer(LayerNormConfig { eps, bias: true });
    let (table, offset) = (fields.size("max_position_embeddings", 512)?, defaults.position_offset);
    let length = table.checked_sub(offset).filter(|length| *length > 0).ok_or_else(|| {
        let reason =
            format!("expected more than {offset}, because positions of this family start at {offset}, found {table}");
        ValidationError::new("max_position_embeddings", reason)
    })?;
    Ok(ModelConfig {
        stack: Stack::Encoder,
        visibility: Visibility::Bidirectional,
        vocab: fields.size("vocab_size", defaults.vocab)?,
        hidden,
        embedding: InputEmbeddingConfig {
            type_vocab_size: fields.size("type_vocab_size", 2)?,
            norm: norm.clone(),
            ..InputEmbeddingConfig::default()
        },
        position: PositionConfig::Learned(LearnedPositionConfig { max_position_embeddings: length, offset }),
        dropout: fields.dropout(&["hidden_dropout_prob", "attention_probs_dropout_prob"], 0.1)?,
        blocks: vec![read_block(fields, activation, &norm)?],
        head: read_head(fields, family, defaults.head_activation.unwrap_or(activation), norm)?,
        norm: NormConfig::None(NoOptions {}),
        ..ModelConfig::default()
    })
}

/// All blocks of the encoder: attention, then MLP.
fn read_block(
    fields: &ConfigReader,
    activation: Activation,
    norm: &NormConfig,
) -> Result<BlockConfig, ValidationError> {
    let projection = ProjectionConfig::Heads(MultiHeadProjectionConfig {
        heads: fields.size("num_attention_heads", 12)?,
        bias: true,
        ..MultiHeadProjectionConfig::default()
    });
    let attention = PartConfig::Attention(AttentionConfig { projection, ..AttentionConfig::default() });
    let intermediate = Some(fields.size("intermediate_size", 3072)?);
    let mlp = PartConfig::Mlp(MlpConfig { intermediate, activation, bias: true });
    let sublayers = vec![SublayerConfig::post_norm(norm, attention), SublayerConfig::post_norm(norm, mlp)];
    Ok(BlockConfig::repeated(fields.size("num_hidden_layers", 12)?, sublayers))
}

/// The head of the class in `architectures`; absent: the first class of the family, a masked language model.
fn read_head(
    fields: &ConfigReader,
    family: &Family,
    activation: Activation,
    norm: NormConfig,
) -> Result<HeadConfig, ValidationError> {
    let class = match fields.get("architectures").map(|list| (list, list[0].as_str())) {
        None => family.architectures[0],
        Some((_, Some(class))) => class,
        Some((list, None)) => {
            return Err(ValidationError::new("architectures", format!("expected a list of class names, found {list}")));
        }
    };
    let tied = fields.flag("tie_word_embeddings", true)?;
    if class.ends_with("ForMaskedLM") || class.ends_with("ForPreTraining") {
        let transform = Some(HeadTransformConfig { activation, norm, bias: true });
        return Ok(HeadConfig::Language(LanguageModelHeadConfig { tied, bias: true, transform, ..Default::default() }));
    }
    if class.ends_with("ForSequenceClassification") {
        let num_classes = match fields.get("id2label").and_then(Value::as_object).map(Map::len) {
            Some(labels) => labels,
            None => fields.size("num_labels", 2)?,
        };
        return Ok(HeadConfig::Class(ClassificationHeadConfig { num_classes, pooling: Pooling::First, pooler: true }));
    }
    if class.ends_with("Model") {
        let embedding = EmbeddingHeadConfig { pooling: Pooling::Mean, projection_dim: None, normalize: false };
        return Ok(HeadConfig::Embedding(embedding));
    }
    Err(family.unsupported_class(class))
}

/// The learned positions of a model; an error if it has others.
pub(super) fn learned_positions(config: &ModelConfig) -> Result<&LearnedPositionConfig, ValidationError> {
    match &config.position {
        PositionConfig::Learned(learned) => Ok(learned),
        _ => Err(inexpressible("model.position", "learned positions")),
    }
}

/// The `config.json` of a model, with the class that fits its head. `class` is the start of the class name: `Bert` of `BertForMaskedLM`.
pub(super) fn write(config: &ModelConfig, class: &str) -> Result<Value, ValidationError> {
    let parts: Vec<_> = config.parts().map(|(_, part)| part).take(2).collect();
    let [PartConfig::Attention(attention), PartConfig::Mlp(mlp)] = parts[..] else {
        return Err(inexpressible("model.blocks", "blocks of attention and `mlp`"));
    };
    let NormConfig::Layer(norm) = &config.embedding.norm else {
        return Err(inexpressible("model.embedding.norm", "a LayerNorm after the embeddings"));
    };
    let learned = learned_positions(config)?;
    let mut json = json!({
        "vocab_size": config.vocab, "hidden_size": config.hidden, "num_hidden_layers": config.num_layers(),
        "num_attention_heads": attention.projection.heads(), "intermediate_size": mlp.intermediate,
        "hidden_act": activation::name(mlp.activation), "layer_norm_eps": norm.eps,
        "max_position_embeddings": learned.max_position_embeddings + learned.offset,
        "type_vocab_size": config.embedding.type_vocab_size,
        "hidden_dropout_prob": config.dropout, "attention_probs_dropout_prob": config.dropout,
    });
    let class_end = match &config.head {
        HeadConfig::Language(head) => {
            json["tie_word_embeddings"] = head.tied.into();
            "ForMaskedLM"
        }
        HeadConfig::Class(head) => {
            let labels = (0..head.num_classes).map(|i| (i.to_string(), Value::from(format!("LABEL_{i}"))));
            json["id2label"] = labels.collect();
            "ForSequenceClassification"
        }
        _ => "Model",
    };
    json["architectures"] = vec![format!("{class}{class_end}")].into();
    Ok(json)
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
