//! GPT-2 (Radford et al. 2019): decoder of pre-norm blocks with LayerNorm, MLP, biases and learned positions.
//!
//! x ← x + attention(LayerNorm(x)), x ← x + MLP(LayerNorm(x)), with a final LayerNorm and a tied head. Reference:
//! `modeling_gpt2.py` of transformers. Two peculiarities of the file: its matrices are `[in, out]` (a `Conv1D`), as in
//! Kiln, and q, k and v are columns of one matrix, `c_attn`.
//!
//! | `config.json` | [`ModelConfig`] |
//! |---|---|
//! | `n_embd`, `vocab_size`, `n_positions` | `hidden`, `vocab`, `position.learned` |
//! | `n_layer`, `n_head` | `repeat` of the block, `heads` of its attention |
//! | `n_inner` (absent: 4 · `n_embd`), `activation_function` | `intermediate` and `activation` of `mlp` |
//! | `resid_pdrop`, `embd_pdrop`, `attn_pdrop` | `dropout`; the three must be equal |
//! | `scale_attn_weights`, `scale_attn_by_inverse_layer_idx` | `scale` of the attention, by layer |
//! | `layer_norm_epsilon`, `tie_word_embeddings` | `eps` of every norm, `tied` of the head |

use super::{
    Family, activation,
    binding::{Binding, Slice},
    config_reader::ConfigReader,
    family::inexpressible,
};
use crate::config::{BlockConfig, ModelConfig, SublayerConfig};
use kiln_nn::{
    head::{HeadConfig, LanguageModelHeadConfig},
    norm::{LayerNormConfig, NormConfig},
    part::{
        PartConfig,
        attention::{AttentionConfig, MultiHeadProjectionConfig, ProjectionConfig},
        feed_forward::mlp::MlpConfig,
    },
    position::{LearnedPositionConfig, PositionConfig},
};
use kiln_spec::ValidationError;
use serde_json::{Value, json};

pub(super) const FAMILY: Family = Family {
    name: "gpt2",
    aliases: &[],
    architectures: &["GPT2LMHeadModel", "GPT2Model"],
    prefix: "transformer.",
    // Causal masks in older files. (The biases of attention are `c_attn.bias` and `c_proj.bias`.)
    ignored_suffixes: &[".attn.bias", ".attn.masked_bias"],
    read_config: read,
    write_config: write,
    bindings,
};

/// The model of a `config.json`; layers with the same scale of scores are one repeated block.
fn read(fields: &ConfigReader) -> Result<ModelConfig, ValidationError> {
    fields.require("add_cross_attention", false)?;
    fields.require("is_causal", true)?;
    // The first changes rounding only; the others belong to heads that are not supported.
    fields.ignore(&["reorder_and_upcast_attn", "n_ctx", "summary_type", "summary_use_proj", "summary_activation"]);
    fields.ignore(&["summary_proj_to_labels", "summary_first_dropout"]);
    let hidden = fields.size("n_embd", 768)?;
    let norm =
        NormConfig::Layer(LayerNormConfig { eps: fields.float("layer_norm_epsilon")?.unwrap_or(1e-5), bias: true });
    let feed_forward = PartConfig::Mlp(MlpConfig {
        intermediate: Some(fields.integer("n_inner")?.unwrap_or(4 * hidden)),
        activation: activation::read(fields, "activation_function", "gelu_new")?,
        bias: true,
    });
    Ok(ModelConfig {
        vocab: fields.size("vocab_size", 50_257)?,
        hidden,
        position: PositionConfig::Learned(LearnedPositionConfig {
            max_position_embeddings: fields.size("n_positions", 1024)?,
            offset: 0,
        }),
        dropout: fields.dropout(&["resid_pdrop", "embd_pdrop", "attn_pdrop"], 0.1)?,
        blocks: build_blocks(&read_attention_heads(fields, hidden)?, &feed_forward, &norm),
        head: HeadConfig::Language(LanguageModelHeadConfig {
            tied: fields.flag("tie_word_embeddings", true)?,
            ..LanguageModelHeadConfig::default()
        }),
        norm,
        ..ModelConfig::default()
    })
}

/// The attention heads of each layer. Layers can differ in the scale of scores only:
/// `scale_attn_by_inverse_layer_idx` divides it by the layer's number from 1.
fn read_attention_heads(
    fields: &ConfigReader,
    hidden: usize,
) -> Result<Vec<MultiHeadProjectionConfig>, ValidationError> {
    let (layers, heads) = (fields.layer_count("n_layer", 12)?, fields.size("n_head", 12)?);
    let default_scale = 1.0 / ((hidden / heads) as f64).sqrt();
    let scale = if fields.flag("scale_attn_weights", true)? { default_scale } else { 1.0 };
    let by_layer = fields.flag("scale_attn_by_inverse_layer_idx", false)?;
    let scales = (1..=layers).map(|layer| if by_layer { scale / layer as f64 } else { scale });
    let layers = scales.map(|scale| MultiHeadProjectionConfig {
        heads,
        bias: true,
        scale: Some(scale).filter(|scale| *scale != default_scale),
        ..MultiHeadProjectionConfig::default()
    });
    Ok(layers.collect())
}

/// One block for each run of equal layers.
fn build_blocks(layers: &[MultiHeadProjectionConfig], mlp: &PartConfig, norm: &NormConfig) -> Vec<BlockConfig> {
    let mut blocks = Vec::new();
    for run in layers.chunk_by(|a, b| a == b) {
        let projection = ProjectionConfig::Heads(run[0].clone());
        let attention = PartConfig::Attention(AttentionConfig { projection, ..AttentionConfig::default() });
        let parts = [attention, mlp.clone()];
        let sublayers = parts.map(|part| SublayerConfig::pre_norm(norm, part)).into();
        blocks.push(BlockConfig::repeated(run.len(), sublayers));
    }
    blocks
}

/// The `config.json` of a model. Options of single layers are taken from the first one; differences are found when the
/// file is read back.
fn write(config: &ModelConfig) -> Result<Value, ValidationError> {
    let mut heads = Vec::new();
    let mut first_mlp = None;
    for (_, part) in config.parts() {
        match part {
            PartConfig::Attention(AttentionConfig { projection: ProjectionConfig::Heads(layer), .. }) => {
                heads.push(layer);
            }
            PartConfig::Mlp(mlp) => first_mlp = first_mlp.or(Some(mlp)),
            _ => return Err(inexpressible("model.blocks", "attention with `heads` and `mlp`")),
        }
    }
    let (Some(mlp), Some(first)) = (first_mlp, heads.first()) else {
        return Err(inexpressible("model.blocks", "blocks of attention and `mlp`"));
    };
    let PositionConfig::Learned(LearnedPositionConfig { max_position_embeddings: length, .. }) = config.position else {
        return Err(inexpressible("model.position", "learned positions"));
    };
    let (NormConfig::Layer(norm), HeadConfig::Language(head)) = (&config.norm, &config.head) else {
        return Err(inexpressible("model", "a final LayerNorm and a language-model head"));
    };
    Ok(json!({
        "vocab_size": config.vocab, "n_positions": length, "n_embd": config.hidden, "n_layer": config.num_layers(),
        "n_head": first.heads, "n_inner": mlp.intermediate, "activation_function": activation::name(mlp.activation),
        "layer_norm_epsilon": norm.eps, "tie_word_embeddings": head.tied, "resid_pdrop": config.dropout,
        "embd_pdrop": config.dropout, "attn_pdrop": config.dropout, "scale_attn_weights": first.scale != Some(1.0),
        "scale_attn_by_inverse_layer_idx": heads.iter().any(|layer| layer.scale != first.scale),
    }))
}

/// Tensor names. q, k and v are thirds of `c_attn`'s columns.
fn bindings(config: &ModelConfig) -> Vec<Binding> {
    let mut bindings = vec![
        Binding::identity("embedding", "transformer.wte.weight"),
        Binding::identity("position.weight", "transformer.wpe.weight"),
    ];
    for i in 0..config.num_layers() {
        let (block, layer) = (format!("blocks.{i}"), format!("transformer.h.{i}"));
        for (part, name) in ["q", "k", "v"].into_iter().enumerate() {
            for (axis, end) in [(1, "weight"), (0, "bias")] {
                let slice = Slice::contiguous(axis, part * config.hidden, config.hidden, 3 * config.hidden);
                let (parameter, tensor) =
                    (format!("{block}.attention.{name}.{end}"), format!("{layer}.attn.c_attn.{end}"));
                bindings.push(Binding::identity(parameter, tensor).with_slice(slice));
            }
        }
        // Linear layers as well as norms: the file's matrices are `[in, out]`, so that nothing is transposed.
        let rest = [
            ("attention.o", "attn.c_proj"),
            ("attention_norm", "ln_1"),
            ("feed_forward_norm", "ln_2"),
            ("feed_forward.up", "mlp.c_fc"),
            ("feed_forward.down", "mlp.c_proj"),
        ];
        for (ours, theirs) in rest {
            bindings.extend(Binding::norm(&format!("{block}.{ours}"), &format!("{layer}.{theirs}"), true));
        }
    }
    bindings.extend(Binding::norm("norm", "transformer.ln_f", true));
    bindings.push(Binding::lm_head(&config.head, "lm_head.weight"));
    bindings
}
