//! GPT-2 (Radford et al., 2019): learned positions, LayerNorms before attention and a plain feed-forward, biases.

use super::{
    Family, activation,
    binding::{Binding, Slice},
    config_reader::ConfigReader,
};
use crate::config::{BlockConfig, ModelConfig, SublayerConfig};
use kiln_nn::{
    head::{HeadConfig, LanguageModelHeadConfig},
    junction::{JunctionConfig, NormPlacementConfig},
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
    // Masks that older files keep. A bias of the attention's is called `c_attn.bias` or `c_proj.bias`.
    ignored_suffixes: &[".attn.bias", ".attn.masked_bias"],
    read_config: read,
    write_config: write,
    bindings,
};

fn read(json: &Value) -> Result<ModelConfig, ValidationError> {
    let fields = ConfigReader::new(FAMILY.name, json)?;
    fields.require("add_cross_attention", false)?;
    fields.require("is_causal", true)?;
    // The order of the same products, and what belongs to heads that Kiln doesn't read.
    fields.ignore(&["reorder_and_upcast_attn", "n_ctx", "summary_type", "summary_use_proj", "summary_activation"]);
    fields.ignore(&["summary_proj_to_labels", "summary_first_dropout"]);
    let hidden = fields.size("n_embd", 768)?;
    let norm =
        NormConfig::Layer(LayerNormConfig { eps: fields.float("layer_norm_epsilon")?.unwrap_or(1e-5), bias: true });
    let feed_forward = PartConfig::Mlp(MlpConfig {
        intermediate: Some(fields.integer("n_inner")?.unwrap_or(4 * hidden)),
        activation: activation::read(&fields, "activation_function", "gelu_new")?,
        bias: true,
    });
    let config = ModelConfig {
        vocab: fields.size("vocab_size", 50_257)?,
        hidden,
        position: PositionConfig::Learned(LearnedPositionConfig {
            max_position_embeddings: fields.size("n_positions", 1024)?,
            offset: 0,
        }),
        dropout: fields.dropout(&["resid_pdrop", "embd_pdrop", "attn_pdrop"], 0.1)?,
        blocks: build_blocks(&read_attention_heads(&fields, hidden)?, &feed_forward, &norm),
        head: HeadConfig::Language(LanguageModelHeadConfig {
            tied: fields.flag("tie_word_embeddings", true)?,
            ..LanguageModelHeadConfig::default()
        }),
        norm,
        ..ModelConfig::default()
    };
    fields.finish()?;
    Ok(config)
}

/// The heads of each layer: only what scores are multiplied by can differ.
fn read_attention_heads(
    fields: &ConfigReader,
    hidden: usize,
) -> Result<Vec<MultiHeadProjectionConfig>, ValidationError> {
    let (layers, heads) = (fields.layer_count("n_layer", 12)?, fields.size("n_head", 12)?);
    let own = 1.0 / ((hidden / heads) as f64).sqrt();
    let whole = if fields.flag("scale_attn_weights", true)? { own } else { 1.0 };
    let by_layer = fields.flag("scale_attn_by_inverse_layer_idx", false)?;
    let scale = |layer: usize| if by_layer { whole / (layer + 1) as f64 } else { whole };
    let each = |layer| MultiHeadProjectionConfig {
        heads,
        bias: true,
        scale: Some(scale(layer)).filter(|scale| *scale != own),
        ..MultiHeadProjectionConfig::default()
    };
    Ok((0..layers).map(each).collect())
}

fn build_blocks(
    attentions: &[MultiHeadProjectionConfig],
    feed_forward: &PartConfig,
    norm: &NormConfig,
) -> Vec<BlockConfig> {
    let junction = JunctionConfig::Pre(NormPlacementConfig { norm: norm.clone() });
    let sublayer = |part| SublayerConfig { junction: junction.clone(), parts: vec![part] };
    let block = |same: &[MultiHeadProjectionConfig]| {
        let projection = ProjectionConfig::Heads(same[0].clone());
        let attention = PartConfig::Attention(AttentionConfig { projection, ..AttentionConfig::default() });
        let sublayers = vec![sublayer(attention), sublayer(feed_forward.clone())];
        BlockConfig { repeat: same.len(), sublayers, ..BlockConfig::default() }
    };
    attentions.chunk_by(|a, b| a == b).map(block).collect()
}

fn write(config: &ModelConfig) -> Result<Value, ValidationError> {
    let refuse = |path: &str, has: &str| Err(ValidationError::new(path, format!("the family has {has}")));
    let parts = config.blocks.iter().flat_map(|b| &b.sublayers).flat_map(|s| &s.parts);
    let (mut heads, mut plain) = (Vec::new(), None);
    for part in parts {
        match part {
            PartConfig::Attention(AttentionConfig { projection: ProjectionConfig::Heads(own), .. }) => heads.push(own),
            PartConfig::Mlp(own) => plain = plain.or(Some(own)),
            _ => return refuse("model.blocks", "attention with heads and plain feed-forwards alone"),
        }
    }
    let (Some(plain), Some(first)) = (plain, heads.first()) else {
        return refuse("model.blocks", "attention and a plain feed-forward in each");
    };
    let PositionConfig::Learned(LearnedPositionConfig { max_position_embeddings: length, .. }) = config.position else {
        return refuse("model.position", "learned positions");
    };
    let (NormConfig::Layer(norm), HeadConfig::Language(head)) = (&config.norm, &config.head) else {
        return refuse("model", "a LayerNorm before its head, and logits");
    };
    Ok(json!({
        "vocab_size": config.vocab, "n_positions": length, "n_embd": config.hidden, "n_layer": config.num_layers(),
        "n_head": first.heads, "n_inner": plain.intermediate, "activation_function": activation::name(plain.activation),
        "layer_norm_epsilon": norm.eps, "tie_word_embeddings": head.tied, "resid_pdrop": config.dropout,
        "embd_pdrop": config.dropout, "attn_pdrop": config.dropout, "scale_attn_weights": first.scale != Some(1.0),
        "scale_attn_by_inverse_layer_idx": heads.iter().any(|own| own.scale != first.scale),
    }))
}

fn bindings(config: &ModelConfig) -> Vec<Binding> {
    let mut ties = vec![
        Binding::identity("embedding", "transformer.wte.weight"),
        Binding::identity("position.weight", "transformer.wpe.weight"),
    ];
    for i in 0..config.num_layers() {
        let (kiln, file) = (format!("blocks.{i}"), format!("transformer.h.{i}"));
        for (part, name) in ["q", "k", "v"].into_iter().enumerate() {
            for (axis, end) in [(1, "weight"), (0, "bias")] {
                let tie =
                    Binding::identity(format!("{kiln}.attention.{name}.{end}"), format!("{file}.attn.c_attn.{end}"));
                ties.push(tie.with_slice(Slice::contiguous(
                    axis,
                    part * config.hidden,
                    config.hidden,
                    3 * config.hidden,
                )));
            }
        }
        // The file's matrices are `[in, out]`, as Kiln's are.
        let rest = [
            ("attention.o", "attn.c_proj"),
            ("attention_norm", "ln_1"),
            ("feed_forward_norm", "ln_2"),
            ("feed_forward.up", "mlp.c_fc"),
            ("feed_forward.down", "mlp.c_proj"),
        ];
        for (ours, theirs) in rest {
            ties.extend(Binding::norm(&format!("{kiln}.{ours}"), &format!("{file}.{theirs}"), true));
        }
    }
    ties.extend(Binding::norm("norm", "transformer.ln_f", true));
    ties.push(Binding::lm_head(&config.head, "lm_head.weight"));
    ties
}
