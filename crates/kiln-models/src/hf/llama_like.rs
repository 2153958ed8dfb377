//! What Llama and its kin share: blocks of attention and a gated feed-forward, each behind an RMS norm, with rotary
//! positions. They differ in biases, windows and defaults.

mod bindings;

pub(super) use bindings::bindings;

use super::{activation, config_reader::ConfigReader, rope};
use crate::config::{BlockConfig, ModelConfig, SublayerConfig};
use kiln_nn::{
    head::{HeadConfig, LanguageModelHeadConfig},
    junction::{JunctionConfig, NormPlacementConfig},
    norm::{NormConfig, RmsNormConfig},
    part::{
        PartConfig,
        attention::{AttentionConfig, MultiHeadProjectionConfig, ProjectionConfig},
        feed_forward::gated_mlp::GatedMlpConfig,
    },
};
use kiln_spec::{Pattern, ValidationError};
use serde_json::{Value, json};

/// What a class has where the file is silent.
pub(super) struct Defaults {
    pub family: &'static str,
    pub vocab: usize,
    pub intermediate: usize,
    pub kv_heads: Option<usize>,
}

/// What a family settles by itself.
#[derive(Default)]
pub(super) struct FamilyOptions {
    /// Whether q, k and v have biases.
    pub qkv_bias: bool,
    /// Whether the output has one.
    pub out_bias: bool,
    /// Whether the feed-forward has.
    pub mlp_bias: bool,
    /// The layers' windows, counted with the token itself; none: whole.
    pub windows: Vec<Option<usize>>,
}

/// Number of layers.
pub(super) fn num_layers(fields: &ConfigReader) -> Result<usize, ValidationError> {
    fields.layer_count("num_hidden_layers", 32)
}

/// The model, except for what is the family's own.
pub(super) fn read(
    fields: &ConfigReader,
    defaults: &Defaults,
    own: &FamilyOptions,
) -> Result<ModelConfig, ValidationError> {
    fields.require("attention_dropout", 0.0)?;
    fields.require("is_causal", true)?;
    fields.ignore(&["pretraining_tp", "max_position_embeddings"]);
    let norm = NormConfig::Rms(RmsNormConfig { eps: fields.float("rms_norm_eps")?.unwrap_or(1e-6) });
    let heads = fields.size("num_attention_heads", 32)?;
    let kv_default = if fields.is_null("num_key_value_heads") { None } else { defaults.kv_heads };
    let projection = MultiHeadProjectionConfig {
        heads,
        kv_heads: fields.integer("num_key_value_heads")?.or(kv_default),
        head_dim: fields.integer("head_dim")?,
        bias: own.qkv_bias,
        out_bias: Some(own.out_bias),
        scale: None,
    };
    let feed_forward = GatedMlpConfig {
        intermediate: Some(fields.size("intermediate_size", defaults.intermediate)?),
        activation: activation::read(fields, "hidden_act", "silu")?,
        bias: own.mlp_bias,
    };
    let config = ModelConfig {
        vocab: fields.size("vocab_size", defaults.vocab)?,
        hidden: fields.size("hidden_size", 4096)?,
        position: rope::read(fields, defaults.family, 10_000.0)?,
        head: HeadConfig::Language(LanguageModelHeadConfig {
            tied: fields.flag("tie_word_embeddings", false)?,
            ..LanguageModelHeadConfig::default()
        }),
        blocks: build_blocks(&own.windows, &projection, &feed_forward, &norm),
        norm,
        ..ModelConfig::default()
    };
    fields.finish()?;
    Ok(config)
}

/// Layers of the same window, one after the other, are one block that is repeated.
fn build_blocks(
    windows: &[Option<usize>],
    projection: &MultiHeadProjectionConfig,
    feed_forward: &GatedMlpConfig,
    norm: &NormConfig,
) -> Vec<BlockConfig> {
    let sublayer = |part| SublayerConfig {
        junction: JunctionConfig::Pre(NormPlacementConfig { norm: norm.clone() }),
        parts: vec![part],
    };
    let block = |same: &[Option<usize>]| {
        let attention = AttentionConfig {
            projection: ProjectionConfig::Heads(projection.clone()),
            pattern: same[0].map_or_else(Pattern::default, causal_window),
            ..AttentionConfig::default()
        };
        BlockConfig {
            repeat: same.len(),
            sublayers: vec![
                sublayer(PartConfig::Attention(attention)),
                sublayer(PartConfig::GatedMlp(feed_forward.clone())),
            ],
            ..BlockConfig::default()
        }
    };
    windows.chunk_by(|a, b| a == b).map(block).collect()
}

/// A window that counts the token itself.
fn causal_window(window: usize) -> Pattern {
    Pattern::window(u32::try_from(window.saturating_sub(1)).unwrap_or(u32::MAX), 0)
}

/// What a model of this form has in its first block, and the window of each layer, counted with the token itself.
pub(super) struct LlamaBlocks<'a> {
    pub heads: &'a MultiHeadProjectionConfig,
    pub feed_forward: &'a GatedMlpConfig,
    pub windows: Vec<Option<u32>>,
}

/// Looks for the form in a model.
///
/// # Errors
/// If some block doesn't have it.
pub(super) fn match_llama_blocks(config: &ModelConfig) -> Result<LlamaBlocks<'_>, ValidationError> {
    let mut found = Vec::new();
    for (b, block) in config.blocks.iter().enumerate() {
        let parts: Vec<&PartConfig> = block.sublayers.iter().flat_map(|s| &s.parts).collect();
        let [PartConfig::Attention(attention), PartConfig::GatedMlp(feed_forward)] = parts[..] else {
            let reason = "the family's blocks are attention and a gated feed-forward";
            return Err(ValidationError::new(format!("model.blocks[{b}]"), reason));
        };
        let ProjectionConfig::Heads(heads) = &attention.projection else {
            let reason = format!("the family has heads, not `{}`", attention.projection.name());
            return Err(ValidationError::new(
                format!("model.blocks[{b}].sublayers[0].parts[0].attention.projection"),
                reason,
            ));
        };
        let window = match &attention.pattern {
            Pattern::Window(window) => Some(window.before.saturating_add(1)),
            _ => None,
        };
        found.push((heads, feed_forward, std::iter::repeat_n(window, block.repeat)));
    }
    let Some((heads, feed_forward, _)) = found.first().cloned() else {
        return Err(ValidationError::new("model.blocks", "a model without blocks"));
    };
    Ok(LlamaBlocks { heads, feed_forward, windows: found.into_iter().flat_map(|(.., windows)| windows).collect() })
}

/// The `config.json`, except for what is the family's own.
pub(super) fn write(config: &ModelConfig, found: &LlamaBlocks) -> Result<Value, ValidationError> {
    let eps = match &config.norm {
        NormConfig::Rms(rms) => rms.eps,
        other => {
            return Err(ValidationError::new(
                "model.norm",
                format!("the family has RMS norms, not `{}`", other.name()),
            ));
        }
    };
    let HeadConfig::Language(head) = &config.head else {
        return Err(ValidationError::new("model.head", format!("the family has logits, not `{}`", config.head.name())));
    };
    let heads = found.heads;
    Ok(json!({
        "vocab_size": config.vocab,
        "hidden_size": config.hidden,
        "intermediate_size": found.feed_forward.intermediate,
        "num_hidden_layers": config.num_layers(),
        "num_attention_heads": heads.heads,
        "num_key_value_heads": heads.kv_heads.unwrap_or(heads.heads),
        "head_dim": heads.head_dim.unwrap_or(config.hidden / heads.heads.max(1)),
        "hidden_act": activation::name(found.feed_forward.activation),
        "rms_norm_eps": eps,
        "tie_word_embeddings": head.tied,
        "rope_parameters": rope::write(&config.position)?,
        "attention_dropout": 0.0,
        "use_cache": true,
    }))
}
