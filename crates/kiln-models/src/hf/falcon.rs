//! Falcon (2311.16867): multi-query or grouped-query attention in parallel with the MLP, rotary positions or ALiBi.
//!
//! | models | `new_decoder_architecture` | `multi_query` | `parallel_attn` | norms of a layer |
//! |---|---|---|---|---|
//! | 7B | false | true | true | one for both parts |
//! | 40B, 180B | true | ignored | true | one for each part |
//! | 11B (Falcon 2) | true | ignored | true | one for both parts (`num_ln_in_parallel_attn` 1) |
//! | RW-1B, RW-7B | false | false | false | one before each part |
//!
//! `query_key_value` has, for each key-value head, its queries, its key and its value; with multi-query attention that is one
//! group. ALiBi is multiplied by the factor of the scores, as in the reference's code for PyTorch's fused attention; its
//! eager code adds the bias a second time. Reference: `modeling_falcon.py` of transformers.

use super::{
    Family,
    alibi_or_rotary::AlibiOrRotary,
    config_reader::ConfigReader,
    family::inexpressible,
    gguf::{self, Gguf, GgufFields, GgufMetadata},
    keys::{Absent::*, Constant::*, Convert, Key::*},
    names::{fused, linear, same},
    rope::Rotary,
    template::Holes,
};
use kiln_spec::ValidationError;
use serde_json::{Map, Value};

pub(super) const FAMILY: Family = Family {
    name: "falcon",
    aliases: &[],
    architectures: &["FalconForCausalLM", "FalconModel"],
    prefix: "transformer.",
    ignored_suffixes: &["rotary_emb.inv_freq"],
    keys: &[
        Size("vocab_size", "vocab", Is(65_024)),
        Size("hidden_size", "hidden", Is(4544)),
        // An older name of the same.
        Only("n_embed", Nothing),
        Integer("ffn_hidden_size", "intermediate", Times(4, "hidden")),
        Layers("num_hidden_layers", "layers", 32),
        Size("num_attention_heads", "heads", Is(71)),
        Activation("activation", "activation", "gelu"),
        Float("layer_norm_epsilon", "eps", 1e-5),
        Flag("bias", "bias", false),
        Flag("tie_word_embeddings", "tied", true),
        Converted(&Architecture),
        Converted(&AlibiOrRotary(Rotary::scaled(2048))),
        NoDropout("hidden_dropout"),
        NoDropout("attention_dropout"),
        Only("is_causal", Bool(true)),
        Written("use_cache", Bool(true)),
    ],
    template: r#"{
        "vocab": "$vocab", "hidden": "$hidden", "position": "$position",
        "blocks": { "$each": "$layers", "block": { "sublayers": { "$case": "$form",
            "part_norms": [{ "junction": { "pre": { "norm": "none" } }, "part_norm": { "layer": { "eps": "$eps" } }, "parts": [
                { "attention": { "projection": { "heads": { "heads": "$heads", "kv_heads": "$kv_heads", "bias": "$bias" } } } },
                { "mlp": { "intermediate": "$intermediate", "activation": "$activation", "bias": "$bias" } }] }],
            "parallel": [{ "junction": { "pre": { "norm": { "layer": { "eps": "$eps" } } } }, "parts": [
                { "attention": { "projection": { "heads": { "heads": "$heads", "kv_heads": "$kv_heads", "bias": "$bias" } } } },
                { "mlp": { "intermediate": "$intermediate", "activation": "$activation", "bias": "$bias" } }] }],
            "serial": [
                { "junction": { "pre": { "norm": { "layer": { "eps": "$eps" } } } }, "parts": [{ "attention": {
                    "projection": { "heads": { "heads": "$heads", "kv_heads": "$kv_heads", "bias": "$bias" } } } }] },
                { "junction": { "pre": { "norm": { "layer": { "eps": "$eps" } } } },
                  "parts": [{ "mlp": { "intermediate": "$intermediate", "activation": "$activation", "bias": "$bias" } }] }]
        } } },
        "norm": { "layer": { "eps": "$eps" } },
        "head": { "language": { "tied": "$tied" } }
    }"#,
    names: &[&[
        same("embedding", "transformer.word_embeddings.weight"),
        fused(
            &["blocks.{i}.attention.q", "blocks.{i}.attention.k", "blocks.{i}.attention.v"],
            "transformer.h.{i}.self_attention.query_key_value",
        )
        .by_head(),
        linear("blocks.{i}.attention.o", "transformer.h.{i}.self_attention.dense"),
        linear("blocks.{i}.feed_forward.up", "transformer.h.{i}.mlp.dense_h_to_4h"),
        linear("blocks.{i}.feed_forward.down", "transformer.h.{i}.mlp.dense_4h_to_h"),
        same("blocks.{i}.attention_norm", "transformer.h.{i}.ln_attn").with_part_norms(),
        same("blocks.{i}.feed_forward_norm", "transformer.h.{i}.ln_mlp").with_part_norms(),
        same("blocks.{i}.attention_norm", "transformer.h.{i}.input_layernorm").without_part_norms(),
        same("blocks.{i}.feed_forward_norm", "transformer.h.{i}.post_attention_layernorm").without_part_norms(),
        same("norm", "transformer.ln_f"),
        linear("head", "lm_head"),
        same("embedding", "lm_head.weight").if_tied(),
    ]],
    gguf: Some(Gguf { names: gguf::names::FUSED_PART_NORMS, fixed: &[("bias", Bool(false))], ..Gguf::new("falcon") }),
};

/// The keys of the table above. Holes: `form` and `kv_heads`. Reads the hole `heads`.
struct Architecture;

impl Convert for Architecture {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let heads = holes.integer("heads");
        let (multi_query, parallel) = (fields.flag("multi_query", true)?, fields.flag("parallel_attn", true)?);
        let is_new = fields.flag("new_decoder_architecture", false)?;
        let max_norms = if is_new { 2 } else { 1 };
        let norms = fields.integer("num_ln_in_parallel_attn")?.unwrap_or(max_norms);
        let kv_heads = fields.integer("num_kv_heads")?.unwrap_or(heads);
        let refused = |key: &str, expected: String| {
            Err(ValidationError::new(key, format!("\"new_decoder_architecture\": {is_new} needs {expected}")))
        };
        if is_new && !parallel {
            return refused("parallel_attn", "true, found false".into());
        }
        if !(1..=max_norms).contains(&norms) {
            return refused("num_ln_in_parallel_attn", format!("from 1 to {max_norms}, found {norms}"));
        }
        if !is_new && !multi_query && kv_heads != heads {
            return refused("num_kv_heads", format!("{heads}, the number of heads, found {kv_heads}"));
        }
        let shared = if parallel { "parallel" } else { "serial" };
        holes.set("form", if norms == 2 { "part_norms" } else { shared });
        holes.set("kv_heads", if multi_query && !is_new { 1 } else { kv_heads });
        Ok(())
    }

    /// Parts are parallel in all files, with a norm each if there are two.
    fn read_gguf(&self, fields: &GgufFields, holes: &mut Holes) -> Result<(), ValidationError> {
        let has_two = fields.has_tensor("blk.0.attn_norm_2.weight");
        holes.set("form", if has_two { "part_norms" } else { "parallel" });
        holes.set("kv_heads", fields.hole("kv_heads", Value::Null, holes)?);
        Ok(())
    }

    fn write_gguf(&self, holes: &Holes, out: &mut GgufMetadata) -> Result<(), ValidationError> {
        if holes.get("form") == "serial" {
            let reason = "GGUF's architecture `falcon` has parallel parts only, found attention before the MLP";
            return Err(ValidationError::new("model.blocks[0].sublayers", reason));
        }
        out.set_hole("kv_heads", holes.get("kv_heads").clone());
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        let (form, heads, kv_heads) = (holes.get("form"), holes.integer("heads"), holes.integer("kv_heads"));
        let is_grouped = kv_heads != 1 && kv_heads != heads;
        if is_grouped && form == "serial" {
            return Err(inexpressible("model.blocks[0].sublayers", "parallel parts with grouped-query attention"));
        }
        let is_new = is_grouped || form == "part_norms";
        json.insert("new_decoder_architecture".into(), is_new.into());
        json.insert("parallel_attn".into(), (form != "serial").into());
        if is_new {
            json.insert("num_kv_heads".into(), kv_heads.into());
            json.insert("num_ln_in_parallel_attn".into(), (1 + u64::from(form == "part_norms")).into());
        } else {
            json.insert("multi_query".into(), (kv_heads == 1).into());
        }
        Ok(())
    }
}
