//! Llama-like families: configuration, blocks and tensor names of Llama, Mistral, Phi-3 and Qwen2.
//!
//! Decoder of pre-norm blocks: x ← x + attention(RMSNorm(x)), x ← x + gated MLP(RMSNorm(x)), with rotary positions,
//! grouped-query attention and a final RMSNorm. The families differ in biases, sliding windows and defaults; what a family
//! sets itself is in [`FamilyOptions`] and [`Defaults`].
//!
//! | `config.json` | [`ModelConfig`] |
//! |---|---|
//! | `hidden_size`, `vocab_size` | `hidden`, `vocab` |
//! | `num_hidden_layers` | `repeat` of the blocks, one block for each run of layers with the same window |
//! | `num_attention_heads`, `num_key_value_heads`, `head_dim` | `heads`, `kv_heads`, `head_dim` of the attention |
//! | `intermediate_size`, `hidden_act` | `intermediate` and `activation` of `gated_mlp` |
//! | `rms_norm_eps` | `eps` of every RMSNorm |
//! | `rope_parameters` (older files: `rope_theta`, `rope_scaling`) | `position.rotary` |
//! | `tie_word_embeddings` | `tied` of the head |

use super::{
    activation,
    binding::Binding,
    config_reader::ConfigReader,
    family::inexpressible,
    rope::{self, RotaryClass},
};
use crate::config::{BlockConfig, ModelConfig, SublayerConfig};
use kiln_nn::{
    head::{HeadConfig, LanguageModelHeadConfig},
    norm::{NormConfig, RmsNormConfig},
    part::{
        PartConfig,
        attention::{AttentionConfig, MultiHeadProjectionConfig, ProjectionConfig},
        feed_forward::gated_mlp::GatedMlpConfig,
    },
};
use kiln_spec::{Pattern, ValidationError};
use serde_json::{Value, json};
use std::iter::repeat_n;

/// Defaults of a family's reference class, for absent keys.
pub(super) struct Defaults {
    /// `vocab_size`.
    pub vocab: usize,
    /// `hidden_size`.
    pub hidden: usize,
    /// `intermediate_size`.
    pub intermediate: usize,
    /// `num_key_value_heads`; `None`: as many as query heads.
    pub kv_heads: Option<usize>,
    /// `rms_norm_eps`.
    pub eps: f64,
    /// `max_position_embeddings`.
    pub max_length: usize,
    /// What the family's rotary class implements.
    pub rotary: RotaryClass,
}

/// Settings that a family reads itself.
#[derive(Default)]
pub(super) struct FamilyOptions {
    /// Biases of the query, key and value projections.
    pub qkv_bias: bool,
    /// Bias of the output projection.
    pub out_bias: bool,
    /// Biases of the gated MLP.
    pub mlp_bias: bool,
    /// Sliding window of each layer, the token itself included; `None`: full attention.
    pub windows: Vec<Option<usize>>,
}

/// Number of layers of a `config.json`.
pub(super) fn num_layers(fields: &ConfigReader) -> Result<usize, ValidationError> {
    fields.layer_count("num_hidden_layers", 32)
}

/// The model of a `config.json`. The family has read the keys of `options`; all others are read here.
pub(super) fn read(
    fields: &ConfigReader,
    defaults: &Defaults,
    options: &FamilyOptions,
) -> Result<ModelConfig, ValidationError> {
    fields.ignore_dropout("attention_dropout")?;
    fields.require("is_causal", true)?;
    fields.ignore(&["pretraining_tp"]);
    let norm = NormConfig::Rms(RmsNormConfig {
        eps: fields.float("rms_norm_eps")?.unwrap_or(defaults.eps),
        ..Default::default()
    });
    let (hidden, heads) = (fields.size("hidden_size", defaults.hidden)?, fields.size("num_attention_heads", 32)?);
    let head_dim = fields.integer("head_dim")?;
    // `null` means as many as query heads, also where an absent key has another default.
    let kv_default = if fields.is_null("num_key_value_heads") { None } else { defaults.kv_heads };
    let projection = MultiHeadProjectionConfig {
        heads,
        kv_heads: fields.integer("num_key_value_heads")?.or(kv_default),
        head_dim,
        bias: options.qkv_bias,
        out_bias: Some(options.out_bias),
        ..MultiHeadProjectionConfig::default()
    };
    let mlp = GatedMlpConfig {
        intermediate: Some(fields.size("intermediate_size", defaults.intermediate)?),
        activation: activation::read(fields, "hidden_act", "silu")?,
        bias: options.mlp_bias,
    };
    Ok(ModelConfig {
        vocab: fields.size("vocab_size", defaults.vocab)?,
        hidden,
        position: rope::read(fields, defaults.rotary, head_dim.unwrap_or(hidden / heads), defaults.max_length)?,
        head: HeadConfig::Language(LanguageModelHeadConfig {
            tied: fields.flag("tie_word_embeddings", false)?,
            ..LanguageModelHeadConfig::default()
        }),
        blocks: build_blocks(&options.windows, &projection, &mlp, &norm),
        norm,
        ..ModelConfig::default()
    })
}

/// One block for each run of layers with the same window.
fn build_blocks(
    windows: &[Option<usize>],
    projection: &MultiHeadProjectionConfig,
    mlp: &GatedMlpConfig,
    norm: &NormConfig,
) -> Vec<BlockConfig> {
    let mut blocks = Vec::new();
    for run in windows.chunk_by(|a, b| a == b) {
        let attention = AttentionConfig {
            projection: ProjectionConfig::Heads(projection.clone()),
            pattern: run[0].map_or_else(Pattern::default, causal_window),
            ..AttentionConfig::default()
        };
        let parts = [PartConfig::Attention(attention), PartConfig::GatedMlp(mlp.clone())];
        let sublayers = parts.map(|part| SublayerConfig::pre_norm(norm, part)).into();
        blocks.push(BlockConfig::repeated(run.len(), sublayers));
    }
    blocks
}

/// A causal window of so many tokens, the token itself included.
fn causal_window(window: usize) -> Pattern {
    Pattern::window(u32::try_from(window.saturating_sub(1)).unwrap_or(u32::MAX), 0)
}

/// Settings of a Llama-like model, for writing and naming.
pub(super) struct LlamaBlocks<'a> {
    /// Attention heads of the first block.
    pub heads: &'a MultiHeadProjectionConfig,
    /// Gated MLP of the first block.
    pub mlp: &'a GatedMlpConfig,
    /// Sliding window of each layer, the token itself included.
    pub windows: Vec<Option<u32>>,
}

/// Matches a model with the form of these families. Only kinds of parts are compared; other differences are found when
/// the written file is read back.
///
/// # Errors
/// If a block is not attention with `heads` and `gated_mlp`.
pub(super) fn match_llama_blocks(config: &ModelConfig) -> Result<LlamaBlocks<'_>, ValidationError> {
    let mut windows = Vec::new();
    let mut first = None;
    for (i, block) in config.blocks.iter().enumerate() {
        let parts: Vec<&PartConfig> = block.sublayers.iter().flat_map(|sublayer| &sublayer.parts).collect();
        let [PartConfig::Attention(attention), PartConfig::GatedMlp(mlp)] = parts[..] else {
            return Err(inexpressible(&format!("model.blocks[{i}]"), "blocks of attention and `gated_mlp`"));
        };
        let ProjectionConfig::Heads(heads) = &attention.projection else {
            let path = format!("model.blocks[{i}].sublayers[0].parts[0].attention.projection");
            return Err(inexpressible(&path, "the projection `heads`"));
        };
        let window = match &attention.pattern {
            Pattern::Window(window) => Some(window.before.saturating_add(1)),
            _ => None,
        };
        windows.extend(repeat_n(window, block.repeat));
        first = first.or(Some((heads, mlp)));
    }
    let (heads, mlp) = first.ok_or_else(|| inexpressible("model.blocks", "models with blocks"))?;
    Ok(LlamaBlocks { heads, mlp, windows })
}

/// The `config.json` of a model, without the family's own keys.
pub(super) fn write(config: &ModelConfig, blocks: &LlamaBlocks, rotary: RotaryClass) -> Result<Value, ValidationError> {
    let NormConfig::Rms(norm) = &config.norm else { return Err(inexpressible("model.norm", "RMSNorm")) };
    let HeadConfig::Language(head) = &config.head else {
        return Err(inexpressible("model.head", "a language-model head"));
    };
    let heads = blocks.heads;
    Ok(json!({
        "vocab_size": config.vocab,
        "hidden_size": config.hidden,
        "intermediate_size": blocks.mlp.intermediate,
        "num_hidden_layers": config.num_layers(),
        "num_attention_heads": heads.heads,
        "num_key_value_heads": heads.kv_heads.unwrap_or(heads.heads),
        "head_dim": heads.head_dim.unwrap_or(config.hidden / heads.heads.max(1)),
        "hidden_act": activation::name(blocks.mlp.activation),
        "rms_norm_eps": norm.eps,
        "tie_word_embeddings": head.tied,
        "rope_parameters": rope::write(&config.position, rotary)?,
        "attention_dropout": 0.0,
        "use_cache": true,
    }))
}

/// Tensor names of the whole model; none if it is not of this form.
pub(super) fn bindings(config: &ModelConfig) -> Vec<Binding> {
    let Ok(blocks) = match_llama_blocks(config) else { return Vec::new() };
    let mut bindings = vec![Binding::identity("embedding", "model.embed_tokens.weight")];
    bindings.extend((0..config.num_layers()).flat_map(|layer| layer_bindings(layer, &blocks)));
    bindings.extend(Binding::norm("norm", "model.norm", false));
    bindings.push(Binding::lm_head(&config.head, "lm_head.weight"));
    bindings
}

/// Tensor names of a layer.
fn layer_bindings(index: usize, blocks: &LlamaBlocks) -> Vec<Binding> {
    let (block, layer) = (format!("blocks.{index}"), format!("model.layers.{index}"));
    let bias = blocks.heads.bias;
    let linear = [
        ("attention.q", "self_attn.q_proj", bias),
        ("attention.k", "self_attn.k_proj", bias),
        ("attention.v", "self_attn.v_proj", bias),
        ("attention.o", "self_attn.o_proj", blocks.heads.out_bias.unwrap_or(bias)),
        ("feed_forward.gate", "mlp.gate_proj", blocks.mlp.bias),
        ("feed_forward.up", "mlp.up_proj", blocks.mlp.bias),
        ("feed_forward.down", "mlp.down_proj", blocks.mlp.bias),
    ];
    let mut bindings = Vec::new();
    for (ours, theirs, bias) in linear {
        bindings.extend(Binding::linear(&format!("{block}.{ours}"), &format!("{layer}.{theirs}"), bias));
    }
    for (ours, theirs) in [("attention_norm", "input_layernorm"), ("feed_forward_norm", "post_attention_layernorm")] {
        bindings.extend(Binding::norm(&format!("{block}.{ours}"), &format!("{layer}.{theirs}"), false));
    }
    bindings
}
