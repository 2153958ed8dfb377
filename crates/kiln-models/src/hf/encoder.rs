//! What BERT and its kin share: an encoder of post-norm blocks with biases, learned positions, types of tokens and a norm
//! after the embeddings. They differ in where positions start and in what their heads are called.

use super::{Family, activation, fields::Fields, tie::Tie};
use crate::{
    config::{BlockConfig, ModelConfig, SublayerConfig, Visibility},
    stack::Stack,
};
use kiln_nn::{
    embed::EmbedConfig,
    head::{ClassConfig, EmbeddingConfig, HeadConfig, LanguageConfig, Pooling, TransformConfig},
    junction::{JunctionConfig, NormedConfig},
    norm::{LayerNormConfig, NormConfig},
    part::{
        PartConfig,
        attention::{AttentionConfig, HeadsConfig, ProjectionConfig},
        feed_forward::{activation::Activation, plain::PlainConfig},
    },
    position::{LearnedConfig, PositionConfig},
};
use kiln_spec::{Refusal, config::Nothing};
use serde_json::{Map, Value, json};

/// What a family settles by itself.
pub(super) struct Defaults {
    /// Tokens, where the file is silent.
    pub vocab: usize,
    /// Rows of the table of positions before the first one's.
    pub offset: usize,
    /// The activation in the head; none: as in the blocks.
    pub activation: Option<Activation>,
}

/// The model of an encoder's configuration.
pub(super) fn read(fields: &Fields, family: &Family, defaults: &Defaults) -> Result<ModelConfig, Refusal> {
    fields.only("position_embedding_type", "absolute")?;
    for key in ["is_decoder", "add_cross_attention", "is_encoder_decoder"] {
        fields.only(key, false)?;
    }
    // Shapes of a pooler that no reading class has.
    fields.harmless(&["pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head"]);
    fields.harmless(&["pooler_type", "classifier_dropout", "directionality"]);
    let hidden = fields.size("hidden_size", 768)?;
    let activation = activation::read(fields, "hidden_act", "gelu")?;
    let eps = fields.number("layer_norm_eps")?.unwrap_or(1e-12);
    let norm = NormConfig::Layer(LayerNormConfig { eps, bias: true });
    let longest = fields.size("max_position_embeddings", 512)?;
    let length = longest.checked_sub(defaults.offset).filter(|length| *length > 0).ok_or_else(|| {
        let reason = format!("positions start at {}, beyond a table of {longest}", defaults.offset);
        Refusal::new("max_position_embeddings", reason)
    })?;
    Ok(ModelConfig {
        stack: Stack::Encoder,
        visibility: Visibility::Bidirectional,
        vocab: fields.size("vocab_size", defaults.vocab)?,
        hidden,
        embedding: EmbedConfig {
            types: fields.size("type_vocab_size", 2)?,
            norm: norm.clone(),
            ..EmbedConfig::default()
        },
        position: PositionConfig::Learned(LearnedConfig { length, offset: defaults.offset }),
        dropout: fields.dropout(&["hidden_dropout_prob", "attention_probs_dropout_prob"], 0.1)?,
        blocks: vec![block(fields, activation, &norm)?],
        head: head(fields, family, defaults.activation.unwrap_or(activation), norm)?,
        norm: NormConfig::None(Nothing {}),
        ..ModelConfig::default()
    })
}

fn block(fields: &Fields, activation: Activation, norm: &NormConfig) -> Result<BlockConfig, Refusal> {
    let heads = HeadsConfig { heads: fields.size("num_attention_heads", 12)?, bias: true, ..HeadsConfig::default() };
    let projection = ProjectionConfig::Heads(heads);
    let attention = PartConfig::Attention(AttentionConfig { projection, ..AttentionConfig::default() });
    let inner = Some(fields.size("intermediate_size", 3072)?);
    let sublayer = |part| SublayerConfig {
        junction: JunctionConfig::Post(NormedConfig { norm: norm.clone() }),
        parts: vec![part],
    };
    let sublayers =
        vec![sublayer(attention), sublayer(PartConfig::Plain(PlainConfig { inner, activation, bias: true }))];
    Ok(BlockConfig { repeat: fields.size("num_hidden_layers", 12)?, sublayers, ..BlockConfig::default() })
}

/// The head of the class that the file names: logits of masked tokens unless it says another.
fn head(fields: &Fields, family: &Family, activation: Activation, norm: NormConfig) -> Result<HeadConfig, Refusal> {
    let class = match fields.get("architectures").map(|list| (list, list[0].as_str())) {
        None => family.architectures[0],
        Some((_, Some(class))) => class,
        Some((list, None)) => {
            return Err(Refusal::new("architectures", format!("a list of classes was expected, found {list}")));
        }
    };
    let tied = fields.flag("tie_word_embeddings", true)?;
    let ends = |end: &str| class.ends_with(end);
    if ends("ForMaskedLM") || ends("ForPreTraining") {
        let transform = Some(TransformConfig { activation, norm });
        return Ok(HeadConfig::Language(LanguageConfig { tied, bias: true, scale: None, transform }));
    }
    if ends("ForSequenceClassification") {
        let classes = match fields.get("id2label").and_then(Value::as_object).map(Map::len) {
            Some(labels) => labels,
            None => fields.size("num_labels", 2)?,
        };
        return Ok(HeadConfig::Class(ClassConfig { classes, pool: Pooling::First, pooler: true }));
    }
    if ends("Model") {
        let embedding = EmbeddingConfig { pool: Pooling::Mean, projection: None, normalise: false };
        return Ok(HeadConfig::Embedding(embedding));
    }
    let reason = format!("Kiln doesn't implement the head of `{class}`");
    Err(Refusal::new("architectures", reason).instead(format!("one of {}", family.architectures.join(", "))))
}

/// The table of positions.
pub(super) fn learned(config: &ModelConfig) -> Result<&LearnedConfig, Refusal> {
    match &config.position {
        PositionConfig::Learned(learned) => Ok(learned),
        _ => Err(Refusal::new("model.position", "the family has learned positions")),
    }
}

/// `config.json`, its classes beginning with `class`.
pub(super) fn write(config: &ModelConfig, class: &str) -> Result<Value, Refusal> {
    let refuse = |path: &str, has: &str| Err(Refusal::new(path, format!("the family has {has}")));
    let parts: Vec<_> = config.blocks.iter().flat_map(|b| &b.sublayers).flat_map(|s| &s.parts).take(2).collect();
    let [PartConfig::Attention(attention), PartConfig::Plain(plain)] = parts[..] else {
        return refuse("model.blocks", "attention, then a plain feed-forward");
    };
    let NormConfig::Layer(norm) = &config.embedding.norm else {
        return refuse("model.embedding.norm", "a LayerNorm after the embeddings");
    };
    let learned = learned(config)?;
    let mut json = json!({
        "vocab_size": config.vocab, "hidden_size": config.hidden, "num_hidden_layers": config.layers(),
        "num_attention_heads": attention.projection.heads(), "intermediate_size": plain.inner,
        "hidden_act": activation::name(plain.activation), "layer_norm_eps": norm.eps,
        "max_position_embeddings": learned.length + learned.offset, "type_vocab_size": config.embedding.types,
        "hidden_dropout_prob": config.dropout, "attention_probs_dropout_prob": config.dropout,
    });
    let end = match &config.head {
        HeadConfig::Language(head) => {
            json["tie_word_embeddings"] = head.tied.into();
            "ForMaskedLM"
        }
        HeadConfig::Class(head) => {
            let label = |i: usize| (i.to_string(), Value::from(format!("LABEL_{i}")));
            json["id2label"] = (0..head.classes).map(label).collect();
            "ForSequenceClassification"
        }
        _ => "Model",
    };
    json["architectures"] = vec![format!("{class}{end}")].into();
    Ok(json)
}

/// The names below `prefix`.
pub(super) fn names(config: &ModelConfig, prefix: &str) -> Vec<Tie> {
    let file = |name: &str| format!("{prefix}embeddings.{name}");
    let mut ties = vec![
        Tie::same("embedding", file("word_embeddings.weight")),
        Tie::same("embedded.types", file("token_type_embeddings.weight")),
        Tie::same("position.weight", file("position_embeddings.weight")),
    ];
    ties.extend(norm("embedded.norm", &file("LayerNorm")));
    for i in 0..config.layers() {
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
            ties.extend(Tie::linear(&format!("{kiln}.{ours}"), &format!("{file}.{theirs}"), true));
        }
        for (ours, theirs) in [("attention_norm", "attention.output"), ("feed_forward_norm", "output")] {
            ties.extend(norm(&format!("{kiln}.{ours}"), &format!("{file}.{theirs}.LayerNorm")));
        }
    }
    ties
}

/// A LayerNorm, in older files with the names of TensorFlow's.
pub(super) fn norm(kiln: &str, file: &str) -> Vec<Tie> {
    let pairs = [("weight", "weight"), ("bias", "bias"), ("weight", "gamma"), ("bias", "beta")];
    pairs.map(|(ours, theirs)| Tie::same(format!("{kiln}.{ours}"), format!("{file}.{theirs}"))).into()
}

/// The matrix and the bias of the logits.
pub(super) fn logits(tied: bool, file: &str) -> Vec<Tie> {
    let (weight, bias) = (format!("{file}.decoder.weight"), format!("{file}.decoder.bias"));
    let bias = Tie::same("head.bias", bias);
    match tied {
        true => vec![Tie::same("head.bias", format!("{file}.bias")), bias, Tie::same("embedding", weight)],
        false => vec![bias, Tie::transposed("head.weight", weight)],
    }
}
