//! GPT-2 (Radford et al. 2019): decoder of pre-norm blocks with LayerNorm, MLP, biases and learned positions.
//!
//! x ← x + attention(LayerNorm(x)), x ← x + MLP(LayerNorm(x)), with a final LayerNorm and a tied head. Reference:
//! `modeling_gpt2.py` of transformers. Two peculiarities of the file: its matrices are `[in, out]` (a `Conv1D`), as in
//! Kiln, and q, k and v are columns of one matrix, `c_attn`.
//!
//! | `config.json` | `ModelConfig` |
//! |---|---|
//! | `n_embd`, `vocab_size`, `n_positions` | `hidden`, `vocab`, `position.learned` |
//! | `n_layer`, `n_head` | `repeat` of the block, `heads` of its attention |
//! | `n_inner` (absent: 4 · `n_embd`), `activation_function` | `intermediate` and `activation` of `mlp` |
//! | `resid_pdrop`, `embd_pdrop`, `attn_pdrop` | `dropout`; the three must be equal |
//! | `scale_attn_weights`, `scale_attn_by_inverse_layer_idx` | `scale` of the attention, by layer |
//! | `layer_norm_epsilon`, `tie_word_embeddings` | `eps` of every norm, `tied` of the head |

use super::{
    Family,
    config_reader::ConfigReader,
    gguf::{self, Gguf},
    keys::{Absent::*, Constant::*, Convert, Key::*},
    names::{fused, linear, same},
    template::Holes,
};
use kiln_spec::ValidationError;
use serde_json::{Map, Value};

pub(super) const FAMILY: Family = Family {
    name: "gpt2",
    aliases: &[],
    architectures: &["GPT2LMHeadModel", "GPT2Model"],
    prefix: "transformer.",
    // Causal masks in older files. (The biases of attention are `c_attn.bias` and `c_proj.bias`.)
    ignored_suffixes: &[".attn.bias", ".attn.masked_bias"],
    keys: &[
        Only("add_cross_attention", Bool(false)),
        Only("is_causal", Bool(true)),
        // The first changes rounding only; the others belong to heads that are not supported.
        Ignored(&["reorder_and_upcast_attn", "n_ctx", "summary_type", "summary_use_proj", "summary_activation"]),
        Ignored(&["summary_proj_to_labels", "summary_first_dropout"]),
        Size("vocab_size", "vocab", Is(50_257)),
        Size("n_embd", "hidden", Is(768)),
        Size("n_positions", "length", Is(1024)),
        Layers("n_layer", "layers", 12),
        Size("n_head", "heads", Is(12)),
        Converted(&ScoreScale),
        Integer("n_inner", "intermediate", Times(4, "hidden")),
        Activation("activation_function", "activation", "gelu_new"),
        Dropout(&["resid_pdrop", "embd_pdrop", "attn_pdrop"], "dropout", 0.1),
        Float("layer_norm_epsilon", "eps", 1e-5),
        Flag("tie_word_embeddings", "tied", true),
    ],
    template: r#"{
        "vocab": "$vocab",
        "hidden": "$hidden",
        "position": { "learned": { "max_position_embeddings": "$length" } },
        "dropout": "$dropout",
        "blocks": { "$each": "$layers", "block": { "sublayers": [
            { "junction": { "pre": { "norm": { "layer": { "eps": "$eps" } } } },
              "parts": [{ "attention": { "projection": { "heads": { "heads": "$heads", "bias": true, "scale": "$scale[]" } } } }] },
            { "junction": { "pre": { "norm": { "layer": { "eps": "$eps" } } } },
              "parts": [{ "mlp": { "intermediate": "$intermediate", "activation": "$activation", "bias": true } }] }
        ] } },
        "norm": { "layer": { "eps": "$eps" } },
        "head": { "language": { "tied": "$tied" } }
    }"#,
    // The file's matrices are `[in, out]`, so that nothing is transposed.
    names: &[&[
        same("embedding", "transformer.wte.weight"),
        same("position", "transformer.wpe"),
        fused(
            &["blocks.{i}.attention.q", "blocks.{i}.attention.k", "blocks.{i}.attention.v"],
            "transformer.h.{i}.attn.c_attn",
        )
        .not_transposed(),
        same("blocks.{i}.attention.o", "transformer.h.{i}.attn.c_proj"),
        same("blocks.{i}.attention_norm", "transformer.h.{i}.ln_1"),
        same("blocks.{i}.feed_forward_norm", "transformer.h.{i}.ln_2"),
        same("blocks.{i}.feed_forward.up", "transformer.h.{i}.mlp.c_fc"),
        same("blocks.{i}.feed_forward.down", "transformer.h.{i}.mlp.c_proj"),
        same("norm", "transformer.ln_f"),
        linear("head", "lm_head"),
        same("embedding", "lm_head.weight").if_tied(),
    ]],
    gguf: Some(Gguf { names: gguf::names::FUSED, ..Gguf::new("gpt2") }),
};

/// `scale_attn_weights` and `scale_attn_by_inverse_layer_idx`: the factor of the scores of each layer, 1/√(head width) or 1,
/// divided by the layer's number from 1. Hole for each layer: `scale`.
struct ScoreScale;

/// 1/√(head width).
fn default_scale(holes: &Holes) -> f64 {
    1.0 / ((holes.integer("hidden") / holes.integer("heads").max(1)) as f64).sqrt()
}

impl Convert for ScoreScale {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let default = default_scale(holes);
        let scale = if fields.flag("scale_attn_weights", true)? { default } else { 1.0 };
        let by_layer = fields.flag("scale_attn_by_inverse_layer_idx", false)?;
        let scales = (1..=holes.integer("layers")).map(|layer| if by_layer { scale / layer as f64 } else { scale });
        let scales = scales.map(|scale| Value::from(Some(scale).filter(|scale| *scale != default)));
        holes.set("scale", scales.collect::<Vec<_>>());
        Ok(())
    }

    /// From the first layer and whether others differ; whether they follow the rule is found when the file is read back.
    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        let scales = holes.layers("scale");
        let is_one = scales.first().and_then(Value::as_f64) == Some(1.0);
        json.insert("scale_attn_weights".into(), (!is_one).into());
        json.insert("scale_attn_by_inverse_layer_idx".into(), scales.windows(2).any(|pair| pair[0] != pair[1]).into());
        Ok(())
    }
}
