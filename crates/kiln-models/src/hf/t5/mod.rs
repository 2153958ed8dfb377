//! T5 (1910.10683): an encoder–decoder whose scores have no scale but a bias by distance, with RMS norms and matrices
//! without biases; version 1.1 has gated feed-forwards and a head of its own.

mod bindings;

use super::{Family, activation, config_reader::ConfigReader};
use crate::{
    config::{BlockConfig, ModelConfig, SublayerConfig, Visibility},
    stack::{EncoderConfig, Stack},
};
use kiln_nn::{
    head::{HeadConfig, LanguageModelHeadConfig},
    junction::{JunctionConfig, NormPlacementConfig},
    norm::{NormConfig, RmsNormConfig},
    part::{
        PartConfig,
        attention::{AttentionConfig, AttentionSource, MultiHeadProjectionConfig, ProjectionConfig},
        feed_forward::{activation::Activation, gated_mlp::GatedMlpConfig, mlp::MlpConfig},
    },
    position::{PositionConfig, RelativeBiasConfig},
};
use kiln_spec::{ValidationError, config::NoOptions};
use serde_json::{Value, json};

pub(super) const FAMILY: Family = Family {
    name: "t5",
    aliases: &[],
    architectures: &["T5ForConditionalGeneration", "T5Model", "T5WithLMHeadModel"],
    prefix: "",
    // Left over in older files: a cross attention has no distances.
    ignored_suffixes: &["EncDecAttention.relative_attention_bias.weight"],
    read_config: read,
    write_config: write,
    bindings: bindings::bindings,
};

/// What a class has where the file is silent.
pub(super) struct Defaults {
    pub family: &'static Family,
    pub vocab: usize,
    pub intermediate: usize,
    pub layers: usize,
    pub heads: usize,
    pub feed_forward: &'static str,
}

/// Whether what goes into the head is scaled, in newer files.
const SCALE_OUTPUTS_KEY: &str = "scale_decoder_outputs";

/// What newer files say of every T5, that its head shares the embedding, is so if the weights hold no other.
pub fn resolve_tied_embeddings(json: &mut Value, tensors: &dyn crate::tensors::TensorSource) {
    let has = |name: &str| tensors.entries().contains_key(name);
    if json["model_type"] == FAMILY.name
        && !json[SCALE_OUTPUTS_KEY].is_null()
        && has("shared.weight")
        && has("lm_head.weight")
    {
        json["tie_word_embeddings"] = false.into();
    }
}

fn read(json: &Value) -> Result<ModelConfig, ValidationError> {
    let fields = ConfigReader::new(FAMILY.name, json)?;
    // The head that shares the embedding scales what goes into it, the other doesn't, unless the file says so apart.
    let tied = fields.flag("tie_word_embeddings", true)?;
    let scaled = fields.flag(SCALE_OUTPUTS_KEY, tied)?;
    let scale = scaled.then(|| fields.size("d_model", 512)).transpose()?.map(|width| 1.0 / (width as f64).sqrt());
    let head = LanguageModelHeadConfig { tied, scale, ..LanguageModelHeadConfig::default() };
    let defaults =
        Defaults { family: &FAMILY, vocab: 32_128, intermediate: 2048, layers: 6, heads: 8, feed_forward: "relu" };
    read_with_head(&fields, &defaults, head)
}

/// The model, its head given.
pub(super) fn read_with_head(
    fields: &ConfigReader,
    defaults: &Defaults,
    head: LanguageModelHeadConfig,
) -> Result<ModelConfig, ValidationError> {
    fields.require("is_encoder_decoder", true)?;
    fields.require("is_decoder", false)?;
    fields.ignore(&["n_positions", "classifier_dropout", "max_position_embeddings"]);
    if let Some(class) = fields.get("architectures").and_then(|list| list[0].as_str())
        && !defaults.family.architectures.contains(&class)
    {
        let instead = format!("one of {}", defaults.family.architectures.join(", "));
        return Err(
            ValidationError::new("architectures", format!("Kiln doesn't implement `{class}`")).with_suggestion(instead)
        );
    }
    let norm = NormConfig::Rms(RmsNormConfig { eps: fields.float("layer_norm_epsilon")?.unwrap_or(1e-6) });
    let heads = fields.size("num_heads", defaults.heads)?;
    let parts = (heads_config(fields, heads)?, read_feed_forward(fields, defaults)?);
    let layers = fields.size("num_layers", defaults.layers)?;
    let bias = RelativeBiasConfig {
        num_buckets: fields.size("relative_attention_num_buckets", 32)?,
        max_distance: fields.size("relative_attention_max_distance", 128)?,
        bidirectional: Some(false),
        heads: Some(heads),
    };
    let encoder = EncoderConfig {
        position: Some(PositionConfig::T5(RelativeBiasConfig { bidirectional: Some(true), ..bias.clone() })),
        blocks: Some(build_blocks(layers, &[AttentionSource::default()], &parts, &norm)),
        norm: Some(norm.clone()),
    };
    let config = ModelConfig {
        stack: Stack::EncoderDecoder,
        visibility: Visibility::Prefix,
        vocab: fields.size("vocab_size", defaults.vocab)?,
        hidden: fields.size("d_model", 512)?,
        position: PositionConfig::T5(bias),
        dropout: fields.dropout(&["dropout_rate"], 0.1)?,
        blocks: build_blocks(
            fields.size("num_decoder_layers", layers)?,
            &[AttentionSource::default(), AttentionSource::Cross(NoOptions {})],
            &parts,
            &norm,
        ),
        encoder: Some(encoder),
        norm: norm.clone(),
        head: HeadConfig::Language(head),
        ..ModelConfig::default()
    };
    fields.finish()?;
    Ok(config)
}

/// Heads whose scores have no scale.
fn heads_config(fields: &ConfigReader, heads: usize) -> Result<MultiHeadProjectionConfig, ValidationError> {
    let head_dim = Some(fields.size("d_kv", 64)?);
    Ok(MultiHeadProjectionConfig { heads, head_dim, scale: Some(1.0), ..MultiHeadProjectionConfig::default() })
}

/// Equal blocks: an attention to each source, then the feed-forward.
fn build_blocks(
    repeat: usize,
    sources: &[AttentionSource],
    (heads, feed_forward): &(MultiHeadProjectionConfig, PartConfig),
    norm: &NormConfig,
) -> Vec<BlockConfig> {
    let attention = |source: &AttentionSource| {
        let projection = ProjectionConfig::Heads(heads.clone());
        PartConfig::Attention(AttentionConfig { source: source.clone(), projection, ..AttentionConfig::default() })
    };
    let parts = sources.iter().map(attention).chain([feed_forward.clone()]);
    let junction = JunctionConfig::Pre(NormPlacementConfig { norm: norm.clone() });
    let sublayers = parts.map(|part| SublayerConfig { junction: junction.clone(), parts: vec![part] }).collect();
    vec![BlockConfig { repeat, sublayers, ..BlockConfig::default() }]
}

/// `relu`, `gated-gelu` (whose GELU is the one by tanh), `gated-silu`…
fn read_feed_forward(fields: &ConfigReader, defaults: &Defaults) -> Result<PartConfig, ValidationError> {
    const KEY: &str = "feed_forward_proj";
    let word = fields.string(KEY, defaults.feed_forward)?;
    let (gated, function) = word.strip_prefix("gated-").map_or((false, word), |function| (true, function));
    let function = if word == "gated-gelu" { "gelu_new" } else { function };
    fields.require("is_gated_act", gated)?;
    let found = fields.string("dense_act_fn", function)?;
    let activation = activation::from_name(if found == function { KEY } else { "dense_act_fn" }, found)?;
    let inner = Some(fields.size("d_ff", defaults.intermediate)?);
    Ok(match gated {
        true => PartConfig::GatedMlp(GatedMlpConfig { intermediate: inner, activation, bias: false }),
        false => PartConfig::Mlp(MlpConfig { intermediate: inner, activation, bias: false }),
    })
}

pub(super) fn write(config: &ModelConfig) -> Result<Value, ValidationError> {
    let refuse = |path: &str, has: &str| Err(ValidationError::new(path, format!("the family has {has}")));
    let parts: Vec<_> = config.blocks.iter().flat_map(|b| &b.sublayers).flat_map(|s| &s.parts).take(3).collect();
    let [PartConfig::Attention(attention), _, feed_forward] = parts[..] else {
        return refuse("model.blocks", "attention, cross attention and a feed-forward in each of the decoder's");
    };
    let (gate, activation, inner) = match feed_forward {
        PartConfig::Mlp(plain) => ("", plain.activation, plain.intermediate),
        PartConfig::GatedMlp(gated) => ("gated-", gated.activation, gated.intermediate),
        _ => return refuse("model.blocks", "plain or gated feed-forwards"),
    };
    let ProjectionConfig::Heads(heads) = &attention.projection else {
        return refuse("model.blocks", "attention with heads");
    };
    let (PositionConfig::T5(bias), NormConfig::Rms(norm)) = (&config.position, &config.norm) else {
        return refuse("model", "t5 positions and RMS norms");
    };
    let HeadConfig::Language(head) = &config.head else { return refuse("model.head", "logits") };
    let function =
        if gate.is_empty() || activation != Activation::GeluTanh { activation::name(activation) } else { "gelu" };
    Ok(json!({
        "vocab_size": config.vocab, "d_model": config.hidden, "d_kv": heads.head_dim, "d_ff": inner,
        "num_layers": config.encoder_model_config().map_or(0, |encoder| encoder.num_layers()),
        "num_decoder_layers": config.num_layers(), "num_heads": heads.heads,
        "relative_attention_num_buckets": bias.num_buckets, "relative_attention_max_distance": bias.max_distance,
        "dropout_rate": config.dropout, "layer_norm_epsilon": norm.eps, "is_encoder_decoder": true,
        "feed_forward_proj": format!("{gate}{function}"), "tie_word_embeddings": head.tied,
        SCALE_OUTPUTS_KEY: head.scale.is_some(),
        "decoder_start_token_id": 0,
    }))
}
