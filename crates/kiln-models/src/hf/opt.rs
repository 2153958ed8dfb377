//! OPT (2205.01068): learned positions from index 2 of their table, ReLU, and norms before the parts or, in OPT-350M, after them.
//!
//! OPT-350M also has embeddings that are narrower than the hidden states (`word_embed_proj_dim`), with a matrix before the first
//! layer and one after the last. Reference: `modeling_opt.py` of transformers.

use super::{
    Family,
    config_reader::ConfigReader,
    keys::{Absent::*, Constant::*, Convert, Key::*},
    names::{linear, same},
    template::Holes,
};
use kiln_spec::ValidationError;
use serde_json::{Map, Value, json};

pub(super) const FAMILY: Family = Family {
    name: "opt",
    aliases: &[],
    architectures: &["OPTForCausalLM", "OPTModel"],
    prefix: "model.",
    ignored_suffixes: &[],
    keys: &[
        Size("vocab_size", "vocab", Is(50_272)),
        Size("hidden_size", "hidden", Is(768)),
        Size("ffn_dim", "intermediate", Is(3072)),
        Size("max_position_embeddings", "length", Is(2048)),
        Layers("num_hidden_layers", "layers", 12),
        Size("num_attention_heads", "heads", Is(12)),
        Activation("activation_function", "activation", "relu"),
        Flag("enable_bias", "bias", true),
        Flag("tie_word_embeddings", "tied", true),
        Converted(&EmbeddingWidth),
        Converted(&NormPlacement),
        Only("layer_norm_elementwise_affine", Bool(true)),
        Dropout(&["dropout", "attention_dropout"], "dropout", 0.1),
        NoDropout("layerdrop"),
        // The standard deviation of initial weights.
        Ignored(&["init_std"]),
        Only("is_causal", Bool(true)),
        Written("use_cache", Bool(true)),
    ],
    template: r#"{
        "vocab": "$vocab", "hidden": "$hidden", "dropout": "$dropout", "embedding": { "factorized": "$factorized" },
        "position": { "learned": { "max_position_embeddings": "$length", "offset": 2 } },
        "blocks": { "$each": "$layers", "block": { "sublayers": [
            { "junction": "$junction",
              "parts": [{ "attention": { "projection": { "heads": { "heads": "$heads", "bias": "$bias" } } } }] },
            { "junction": "$junction",
              "parts": [{ "mlp": { "intermediate": "$intermediate", "activation": "$activation", "bias": "$bias" } }] }
        ] } },
        "norm": "$final_norm",
        "head": { "language": { "tied": "$tied", "width": "$head_width" } }
    }"#,
    names: &[&[
        same("embedding", "model.decoder.embed_tokens.weight"),
        same("position", "model.decoder.embed_positions"),
        linear("embedded.project_in", "model.decoder.project_in"),
        linear("blocks.{i}.attention.q", "model.decoder.layers.{i}.self_attn.q_proj"),
        linear("blocks.{i}.attention.k", "model.decoder.layers.{i}.self_attn.k_proj"),
        linear("blocks.{i}.attention.v", "model.decoder.layers.{i}.self_attn.v_proj"),
        linear("blocks.{i}.attention.o", "model.decoder.layers.{i}.self_attn.out_proj"),
        linear("blocks.{i}.feed_forward.up", "model.decoder.layers.{i}.fc1"),
        linear("blocks.{i}.feed_forward.down", "model.decoder.layers.{i}.fc2"),
        same("blocks.{i}.attention_norm", "model.decoder.layers.{i}.self_attn_layer_norm"),
        same("blocks.{i}.feed_forward_norm", "model.decoder.layers.{i}.final_layer_norm"),
        same("norm", "model.decoder.final_layer_norm"),
        linear("head.project_out", "model.decoder.project_out"),
        linear("head", "lm_head"),
        same("embedding", "lm_head.weight").if_tied(),
    ]],
    gguf: None,
};

/// `word_embed_proj_dim`: the width of the token table and of the head's matrix. Holes: `factorized`, `head_width`. Reads the
/// holes `hidden` and `tied`.
struct EmbeddingWidth;

impl Convert for EmbeddingWidth {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let hidden = holes.integer("hidden");
        let width = Some(fields.size("word_embed_proj_dim", hidden)?).filter(|width| *width != hidden);
        let factorized = width.map(|width| json!({ "width": width, "bias": false, "projection": "first" }));
        holes.set("factorized", factorized);
        // A tied head has the width of the table.
        let is_tied = *holes.get("tied") == true;
        holes.set("head_width", width.filter(|_| !is_tied));
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        let width = holes.get("factorized").get("width").unwrap_or(holes.get("hidden"));
        json.insert("word_embed_proj_dim".into(), width.clone());
        Ok(())
    }
}

/// `do_layer_norm_before`, and `_remove_final_layer_norm`, which older models with norms before the parts have. Holes:
/// `junction`, `final_norm`.
struct NormPlacement;

impl Convert for NormPlacement {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let is_before = fields.flag("do_layer_norm_before", true)?;
        let has_final = is_before && !fields.flag("_remove_final_layer_norm", false)?;
        let norm = json!({ "layer": { "eps": 1e-5, "bias": true } });
        holes.set("junction", json!({ (if is_before { "pre" } else { "post" }): { "norm": norm } }));
        holes.set("final_norm", if has_final { norm } else { "none".into() });
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        let is_before = holes.get("junction").get("pre").is_some();
        json.insert("do_layer_norm_before".into(), is_before.into());
        json.insert("_remove_final_layer_norm".into(), (is_before && holes.get("final_norm") == "none").into());
        Ok(())
    }
}
