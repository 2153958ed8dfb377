//! T5 (1910.10683) and T5 version 1.1: encoder-decoder with RMSNorm, relative position biases and no biases in linear
//! layers.
//!
//! Scores have no scale 1/√d but a bias by distance in buckets, whose table the first block of each stack holds for all.
//! Version 1.0 has an MLP with ReLU and a head that is tied to the embedding and scales its input by 1/√M; version 1.1 has
//! a gated MLP and a head of its own. Reference: `modeling_t5.py` of transformers.
//!
//! | `config.json` | [`ModelConfig`] |
//! |---|---|
//! | `d_model`, `vocab_size`, `dropout_rate` | `hidden`, `vocab`, `dropout` |
//! | `num_layers`, `num_decoder_layers` | `repeat` of the encoder's and of the decoder's block |
//! | `num_heads`, `d_kv` | `heads`, `head_dim` of all attention parts |
//! | `relative_attention_num_buckets`, `relative_attention_max_distance` | `position.t5` of both stacks |
//! | `feed_forward_proj`, `d_ff` | the part `mlp` or `gated_mlp`, its activation and `intermediate` |
//! | `layer_norm_epsilon` | `eps` of every RMSNorm |
//! | `tie_word_embeddings`, `scale_decoder_outputs` | `tied` and `scale` of the head |

use super::{Family, activation, binding::Binding, config_reader::ConfigReader, family::inexpressible};
use crate::{
    config::{BlockConfig, ModelConfig, SublayerConfig, Visibility},
    stack::{EncoderConfig, Stack},
    tensors::TensorSource,
};
use kiln_nn::{
    head::{HeadConfig, LanguageModelHeadConfig},
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
    // Older files have a table in cross-attention, which the reference doesn't use.
    ignored_suffixes: &["EncDecAttention.relative_attention_bias.weight"],
    read_config: read,
    write_config: write,
    bindings,
};

/// Defaults of a family's reference class, for absent keys.
pub(super) struct Defaults {
    /// The family, for errors and class names.
    pub family: &'static Family,
    /// `vocab_size`.
    pub vocab: usize,
    /// `d_ff`.
    pub intermediate: usize,
    /// `num_layers`.
    pub layers: usize,
    /// `num_heads`.
    pub heads: usize,
    /// `feed_forward_proj`.
    pub feed_forward: &'static str,
}

const DEFAULTS: Defaults =
    Defaults { family: &FAMILY, vocab: 32_128, intermediate: 2048, layers: 6, heads: 8, feed_forward: "relu" };

/// Key of newer files: whether the input of the head is scaled by 1/√M.
const SCALE_OUTPUTS_KEY: &str = "scale_decoder_outputs";

/// Corrects `tie_word_embeddings` of a T5 by its tensors.
///
/// Newer versions of transformers write `true` for every T5. A file of such a version (it has `scale_decoder_outputs`) with
/// a tensor for the head besides the embedding has an untied head.
pub fn resolve_tied_embeddings(json: &mut Value, tensors: &dyn TensorSource) {
    let is_newer_t5 = json["model_type"] == FAMILY.name && !json[SCALE_OUTPUTS_KEY].is_null();
    if is_newer_t5 && ["shared.weight", "lm_head.weight"].iter().all(|name| tensors.entries().contains_key(*name)) {
        json["tie_word_embeddings"] = false.into();
    }
}

/// The model of a `config.json` of T5; the head depends on the version.
fn read(fields: &ConfigReader) -> Result<ModelConfig, ValidationError> {
    let tied = fields.flag("tie_word_embeddings", true)?;
    // Older files have no key for the scale: a tied head has it.
    let scaled = fields.flag(SCALE_OUTPUTS_KEY, tied)?;
    let hidden = fields.size("d_model", 512)? as f64;
    let scale = scaled.then(|| 1.0 / hidden.sqrt());
    let head = LanguageModelHeadConfig { tied, scale, ..LanguageModelHeadConfig::default() };
    read_with_head(fields, &DEFAULTS, head)
}

/// The model of a `config.json` with a given head.
pub(super) fn read_with_head(
    fields: &ConfigReader,
    defaults: &Defaults,
    head: LanguageModelHeadConfig,
) -> Result<ModelConfig, ValidationError> {
    fields.require("is_encoder_decoder", true)?;
    fields.require("is_decoder", false)?;
    fields.require("is_causal", true)?;
    fields.ignore(&["n_positions", "classifier_dropout", "max_position_embeddings"]);
    if let Some(class) = fields.get("architectures").and_then(|list| list[0].as_str())
        && !defaults.family.architectures.contains(&class)
    {
        return Err(defaults.family.unsupported_class(class));
    }
    let norm = NormConfig::Rms(RmsNormConfig {
        eps: fields.float("layer_norm_epsilon")?.unwrap_or(1e-6),
        ..Default::default()
    });
    let heads = fields.size("num_heads", defaults.heads)?;
    let parts = (read_heads(fields, heads)?, read_feed_forward(fields, defaults)?);
    let layers = fields.size("num_layers", defaults.layers)?;
    let bias = RelativeBiasConfig {
        num_buckets: fields.size("relative_attention_num_buckets", 32)?,
        max_distance: fields.size("relative_attention_max_distance", 128)?,
        bidirectional: Some(false),
        heads: Some(heads),
    };
    let sources = [AttentionSource::default(), AttentionSource::Cross(NoOptions {})];
    Ok(ModelConfig {
        stack: Stack::EncoderDecoder,
        visibility: Visibility::Prefix,
        vocab: fields.size("vocab_size", defaults.vocab)?,
        hidden: fields.size("d_model", 512)?,
        position: PositionConfig::T5(bias.clone()),
        dropout: fields.dropout(&["dropout_rate"], 0.1)?,
        blocks: vec![build_block(fields.size("num_decoder_layers", layers)?, &sources, &parts, &norm)],
        encoder: Some(EncoderConfig {
            position: Some(PositionConfig::T5(RelativeBiasConfig { bidirectional: Some(true), ..bias })),
            blocks: Some(vec![build_block(layers, &sources[..1], &parts, &norm)]),
            norm: Some(norm.clone()),
        }),
        norm,
        head: HeadConfig::Language(head),
        ..ModelConfig::default()
    })
}

/// Attention heads without a scale of scores.
fn read_heads(fields: &ConfigReader, heads: usize) -> Result<MultiHeadProjectionConfig, ValidationError> {
    let head_dim = Some(fields.size("d_kv", 64)?);
    Ok(MultiHeadProjectionConfig { heads, head_dim, scale: Some(1.0), ..MultiHeadProjectionConfig::default() })
}

/// `feed_forward_proj`: `relu`, `gated-silu`, …; `gated-gelu` means the GELU approximated by tanh.
fn read_feed_forward(fields: &ConfigReader, defaults: &Defaults) -> Result<PartConfig, ValidationError> {
    let name = fields.string("feed_forward_proj", defaults.feed_forward)?;
    let (gated, function) = name.strip_prefix("gated-").map_or((false, name), |function| (true, function));
    let function = if name == "gated-gelu" { "gelu_new" } else { function };
    fields.require("is_gated_act", gated)?;
    let given = fields.string("dense_act_fn", function)?;
    let key = if given == function { "feed_forward_proj" } else { "dense_act_fn" };
    let activation = activation::from_name(key, given)?;
    let intermediate = Some(fields.size("d_ff", defaults.intermediate)?);
    Ok(match gated {
        true => PartConfig::GatedMlp(GatedMlpConfig { intermediate, activation, bias: false }),
        false => PartConfig::Mlp(MlpConfig { intermediate, activation, bias: false }),
    })
}

/// `repeat` blocks of attention to each source, then the feed-forward part.
fn build_block(
    repeat: usize,
    sources: &[AttentionSource],
    (heads, feed_forward): &(MultiHeadProjectionConfig, PartConfig),
    norm: &NormConfig,
) -> BlockConfig {
    let mut sublayers = Vec::new();
    for source in sources.iter().cloned() {
        let projection = ProjectionConfig::Heads(heads.clone());
        let attention = AttentionConfig { source, projection, ..AttentionConfig::default() };
        sublayers.push(SublayerConfig::pre_norm(norm, PartConfig::Attention(attention)));
    }
    sublayers.push(SublayerConfig::pre_norm(norm, feed_forward.clone()));
    BlockConfig::repeated(repeat, sublayers)
}

/// The `config.json` of a model. The encoder is found equal or not when the file is read back.
fn write(config: &ModelConfig) -> Result<Value, ValidationError> {
    let parts: Vec<_> = config.parts().map(|(_, part)| part).take(3).collect();
    let [PartConfig::Attention(AttentionConfig { projection: ProjectionConfig::Heads(heads), .. }), _, feed_forward] =
        parts[..]
    else {
        return Err(inexpressible("model.blocks", "attention with `heads`, cross-attention and feed-forward"));
    };
    let (gate, activation, intermediate) = match feed_forward {
        PartConfig::Mlp(mlp) => ("", mlp.activation, mlp.intermediate),
        PartConfig::GatedMlp(mlp) => ("gated-", mlp.activation, mlp.intermediate),
        _ => return Err(inexpressible("model.blocks", "`mlp` and `gated_mlp` as feed-forward parts")),
    };
    let (PositionConfig::T5(bias), NormConfig::Rms(norm), HeadConfig::Language(head)) =
        (&config.position, &config.norm, &config.head)
    else {
        return Err(inexpressible("model", "t5 positions, RMSNorm and a language-model head"));
    };
    let is_gated_gelu = !gate.is_empty() && activation == Activation::GeluTanh;
    let function = if is_gated_gelu { "gelu" } else { activation::name(activation) };
    Ok(json!({
        "vocab_size": config.vocab, "d_model": config.hidden, "d_kv": heads.head_dim, "d_ff": intermediate,
        "num_layers": config.encoder_model_config().map_or(0, |encoder| encoder.num_layers()),
        "num_decoder_layers": config.num_layers(), "num_heads": heads.heads,
        "relative_attention_num_buckets": bias.num_buckets, "relative_attention_max_distance": bias.max_distance,
        "dropout_rate": config.dropout, "layer_norm_epsilon": norm.eps, "is_encoder_decoder": true,
        "feed_forward_proj": format!("{gate}{function}"), "tie_word_embeddings": head.tied,
        SCALE_OUTPUTS_KEY: head.scale.is_some(), "decoder_start_token_id": 0,
    }))
}

/// Tensor names of embedding, head, and both stacks.
fn bindings(config: &ModelConfig) -> Vec<Binding> {
    // Three names of one table: older files repeat it for each stack.
    let tables = ["shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"];
    let mut bindings = Vec::from(tables.map(|tensor| Binding::identity("embedding", tensor)));
    bindings.push(Binding::lm_head(&config.head, "lm_head.weight"));
    let encoder = config.encoder_model_config();
    for (prefix, stack, config) in [("", "decoder", Some(config)), ("encoder.", "encoder", encoder.as_ref())] {
        let Some(config) = config else { continue };
        let table = format!("{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight");
        bindings.push(Binding::identity(format!("{prefix}position.weight"), table));
        bindings.push(Binding::identity(format!("{prefix}norm.weight"), format!("{stack}.final_layer_norm.weight")));
        let blocks = config.blocks.iter().flat_map(|block| std::iter::repeat_n(block, block.repeat));
        for (i, block) in blocks.enumerate() {
            bindings.extend(block_bindings(block, &format!("{prefix}blocks.{i}"), &format!("{stack}.block.{i}")));
        }
    }
    bindings
}

/// Matrices of an attention part: parameter, tensor.
const QKVO: &[(&str, &str)] = &[("q", "q"), ("k", "k"), ("v", "v"), ("o", "o")];

/// Tensor names of a block: `layer.0` is self-attention, `layer.1` cross-attention (decoder only), the last the MLP.
fn block_bindings(config: &BlockConfig, ours: &str, theirs: &str) -> Vec<Binding> {
    let mut bindings = Vec::new();
    for (i, sublayer) in config.sublayers.iter().enumerate() {
        let (role, module, matrices): (_, _, &[_]) = match sublayer.parts.first() {
            Some(PartConfig::Attention(part)) if part.source.is_cross() => ("cross_attention", "EncDecAttention", QKVO),
            Some(PartConfig::Attention(_)) => ("attention", "SelfAttention", QKVO),
            Some(PartConfig::GatedMlp(_)) => {
                ("feed_forward", "DenseReluDense", &[("gate", "wi_0"), ("up", "wi_1"), ("down", "wo")])
            }
            _ => ("feed_forward", "DenseReluDense", &[("up", "wi"), ("down", "wo")]),
        };
        let layer = format!("{theirs}.layer.{i}");
        for (parameter, tensor) in matrices {
            let (parameter, tensor) = (format!("{ours}.{role}.{parameter}"), format!("{layer}.{module}.{tensor}"));
            bindings.extend(Binding::linear(&parameter, &tensor, false));
        }
        bindings.extend(Binding::norm(&format!("{ours}.{role}_norm"), &format!("{layer}.layer_norm"), false));
    }
    bindings
}
