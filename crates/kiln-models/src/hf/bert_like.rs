//! What BERT and its kin share: an encoder of post-norm blocks with biases, learned positions, types of tokens and a norm
//! after the embeddings. They differ in where positions start and in what their heads are called.

use super::{Family, activation, binding::Binding, config_reader::ConfigReader};
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
    junction::{JunctionConfig, NormPlacementConfig},
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

/// What a family settles by itself.
pub(super) struct Defaults {
    /// Tokens, where the file is silent.
    pub vocab: usize,
    /// Rows of the table of positions before the first one's.
    pub position_offset: usize,
    /// The activation in the head; none: as in the blocks.
    pub head_activation: Option<Activation>,
}

/// The model of an encoder's configuration.
pub(super) fn read(
    fields: &ConfigReader,
    family: &Family,
    defaults: &Defaults,
) -> Result<ModelConfig, ValidationError> {
    fields.require("position_embedding_type", "absolute")?;
    for key in ["is_decoder", "add_cross_attention", "is_encoder_decoder"] {
        fields.require(key, false)?;
    }
    // Shapes of a pooler that no reading class has.
    fields.ignore(&["pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head"]);
    fields.ignore(&["pooler_type", "classifier_dropout", "directionality"]);
    let hidden = fields.size("hidden_size", 768)?;
    let activation = activation::read(fields, "hidden_act", "gelu")?;
    let eps = fields.float("layer_norm_eps")?.unwrap_or(1e-12);
    let norm = NormConfig::Layer(LayerNormConfig { eps, bias: true });
    let longest = fields.size("max_position_embeddings", 512)?;
    let length = longest.checked_sub(defaults.position_offset).filter(|length| *length > 0).ok_or_else(|| {
        let reason = format!("positions start at {}, beyond a table of {longest}", defaults.position_offset);
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
        position: PositionConfig::Learned(LearnedPositionConfig {
            max_position_embeddings: length,
            offset: defaults.position_offset,
        }),
        dropout: fields.dropout(&["hidden_dropout_prob", "attention_probs_dropout_prob"], 0.1)?,
        blocks: vec![read_block(fields, activation, &norm)?],
        head: read_head(fields, family, defaults.head_activation.unwrap_or(activation), norm)?,
        norm: NormConfig::None(NoOptions {}),
        ..ModelConfig::default()
    })
}

fn read_block(
    fields: &ConfigReader,
    activation: Activation,
    norm: &NormConfig,
) -> Result<BlockConfig, ValidationError> {
    let heads = MultiHeadProjectionConfig {
        heads: fields.size("num_attention_heads", 12)?,
        bias: true,
        ..MultiHeadProjectionConfig::default()
    };
    let projection = ProjectionConfig::Heads(heads);
    let attention = PartConfig::Attention(AttentionConfig { projection, ..AttentionConfig::default() });
    let inner = Some(fields.size("intermediate_size", 3072)?);
    let sublayer = |part| SublayerConfig {
        junction: JunctionConfig::Post(NormPlacementConfig { norm: norm.clone() }),
        parts: vec![part],
    };
    let sublayers =
        vec![sublayer(attention), sublayer(PartConfig::Mlp(MlpConfig { intermediate: inner, activation, bias: true }))];
    Ok(BlockConfig { repeat: fields.size("num_hidden_layers", 12)?, sublayers, ..BlockConfig::default() })
}

/// The head of the class that the file names: logits of masked tokens unless it says another.
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
            return Err(ValidationError::new("architectures", format!("a list of classes was expected, found {list}")));
        }
    };
    let tied = fields.flag("tie_word_embeddings", true)?;
    let ends = |end: &str| class.ends_with(end);
    if ends("ForMaskedLM") || ends("ForPreTraining") {
        let transform = Some(HeadTransformConfig { activation, norm });
        return Ok(HeadConfig::Language(LanguageModelHeadConfig { tied, bias: true, scale: None, transform }));
    }
    if ends("ForSequenceClassification") {
        let classes = match fields.get("id2label").and_then(Value::as_object).map(Map::len) {
            Some(labels) => labels,
            None => fields.size("num_labels", 2)?,
        };
        return Ok(HeadConfig::Class(ClassificationHeadConfig {
            num_classes: classes,
            pooling: Pooling::First,
            pooler: true,
        }));
    }
    if ends("Model") {
        let embedding = EmbeddingHeadConfig { pooling: Pooling::Mean, projection_dim: None, normalize: false };
        return Ok(HeadConfig::Embedding(embedding));
    }
    let reason = format!("Kiln doesn't implement the head of `{class}`");
    Err(ValidationError::new("architectures", reason)
        .with_suggestion(format!("one of {}", family.architectures.join(", "))))
}

/// The table of positions.
pub(super) fn learned_positions(config: &ModelConfig) -> Result<&LearnedPositionConfig, ValidationError> {
    match &config.position {
        PositionConfig::Learned(learned) => Ok(learned),
        _ => Err(ValidationError::new("model.position", "the family has learned positions")),
    }
}

/// `config.json`, its classes beginning with `class`.
pub(super) fn write(config: &ModelConfig, class: &str) -> Result<Value, ValidationError> {
    let refuse = |path: &str, has: &str| Err(ValidationError::new(path, format!("the family has {has}")));
    let parts: Vec<_> = config.blocks.iter().flat_map(|b| &b.sublayers).flat_map(|s| &s.parts).take(2).collect();
    let [PartConfig::Attention(attention), PartConfig::Mlp(plain)] = parts[..] else {
        return refuse("model.blocks", "attention, then a plain feed-forward");
    };
    let NormConfig::Layer(norm) = &config.embedding.norm else {
        return refuse("model.embedding.norm", "a LayerNorm after the embeddings");
    };
    let learned = learned_positions(config)?;
    let mut json = json!({
        "vocab_size": config.vocab, "hidden_size": config.hidden, "num_hidden_layers": config.num_layers(),
        "num_attention_heads": attention.projection.heads(), "intermediate_size": plain.intermediate,
        "hidden_act": activation::name(plain.activation), "layer_norm_eps": norm.eps,
        "max_position_embeddings": learned.max_position_embeddings + learned.offset, "type_vocab_size": config.embedding.type_vocab_size,
        "hidden_dropout_prob": config.dropout, "attention_probs_dropout_prob": config.dropout,
    });
    let end = match &config.head {
        HeadConfig::Language(head) => {
            json["tie_word_embeddings"] = head.tied.into();
            "ForMaskedLM"
        }
        HeadConfig::Class(head) => {
            let label = |i: usize| (i.to_string(), Value::from(format!("LABEL_{i}")));
            json["id2label"] = (0..head.num_classes).map(label).collect();
            "ForSequenceClassification"
        }
        _ => "Model",
    };
    json["architectures"] = vec![format!("{class}{end}")].into();
    Ok(json)
}

/// The names below `prefix`.
pub(super) fn bindings(config: &ModelConfig, prefix: &str) -> Vec<Binding> {
    let file = |name: &str| format!("{prefix}embeddings.{name}");
    let mut ties = vec![
        Binding::identity("embedding", file("word_embeddings.weight")),
        Binding::identity("embedded.types", file("token_type_embeddings.weight")),
        Binding::identity("position.weight", file("position_embeddings.weight")),
    ];
    ties.extend(layer_norm_bindings("embedded.norm", &file("LayerNorm")));
    for i in 0..config.num_layers() {
        let (kiln, file) = (format!("blocks.{i}"), format!("{prefix}encoder.layer.{i}"));
        let linear = [
            ("attention.q", "attention.self.query"),
            ("attention.k", "attention.self.key"),
            ("attention.v", "attention.self.value"),
            ("attention.o", "attention.output.dense"),
            ("feed_forward.up", "intermediate.dense"),
            ("feed_forward.down", "output.dense"),
        ];
        for (ours, theirs) in linear {
            ties.extend(Binding::linear(&format!("{kiln}.{ours}"), &format!("{file}.{theirs}"), true));
        }
        for (ours, theirs) in [("attention_norm", "attention.output"), ("feed_forward_norm", "output")] {
            ties.extend(layer_norm_bindings(&format!("{kiln}.{ours}"), &format!("{file}.{theirs}.LayerNorm")));
        }
    }
    ties
}

/// A LayerNorm, in older files with the names of TensorFlow's.
pub(super) fn layer_norm_bindings(kiln: &str, file: &str) -> Vec<Binding> {
    let pairs = [("weight", "weight"), ("bias", "bias"), ("weight", "gamma"), ("bias", "beta")];
    pairs.map(|(ours, theirs)| Binding::identity(format!("{kiln}.{ours}"), format!("{file}.{theirs}"))).into()
}

/// The matrix and the bias of the logits.
pub(super) fn logit_bindings(tied: bool, file: &str) -> Vec<Binding> {
    let (weight, bias) = (format!("{file}.decoder.weight"), format!("{file}.decoder.bias"));
    let bias = Binding::identity("head.bias", bias);
    match tied {
        true => {
            vec![Binding::identity("head.bias", format!("{file}.bias")), bias, Binding::identity("embedding", weight)]
        }
        false => vec![bias, Binding::transposed("head.weight", weight)],
    }
}
