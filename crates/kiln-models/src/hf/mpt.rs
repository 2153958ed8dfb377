//! MPT (MosaicML 2023): ALiBi, LayerNorm without bias, no biases, and q, k and v one after the other in one tensor.
//!
//! Options of attention are a table in the table, `attn_config`. `alibi_bias_max` is honored as in the authors' program;
//! transformers always computes with 8. Reference: `modeling_mpt.py` of transformers, which has ALiBi whatever
//! `learned_pos_emb` says.

use super::{
    Family,
    config_reader::ConfigReader,
    gguf::{self, Gguf, GgufFields, GgufMetadata},
    keys::{Absent::*, Constant::*, Convert, Key::*},
    names::{fused, linear, same},
    scales::FourTimesHidden,
    template::Holes,
};
use kiln_spec::ValidationError;
use serde_json::{Map, Value, json};

pub(super) const FAMILY: Family = Family {
    name: "mpt",
    aliases: &[],
    architectures: &["MptForCausalLM", "MptModel", "MPTForCausalLM"],
    prefix: "transformer.",
    ignored_suffixes: &[],
    keys: &[
        Size("vocab_size", "vocab", Is(50_368)),
        Size("d_model", "hidden", Is(2048)),
        Layers("n_layers", "layers", 24),
        Size("n_heads", "heads", Is(16)),
        Only("expansion_ratio", Whole(4)),
        Converted(&FourTimesHidden),
        Float("layer_norm_epsilon", "eps", 1e-5),
        Flag("tie_word_embeddings", "tied", true),
        Converted(&AttentionTable),
        Only("no_bias", Bool(true)),
        Only("logit_scale", Nothing),
        Only("embedding_fraction", Whole(1)),
        Converted(&NormType),
        NoDropout("emb_pdrop"),
        NoDropout("resid_pdrop"),
        // The longest text, a position table that ALiBi replaces, and where weights are initialized.
        Ignored(&["max_seq_len", "learned_pos_emb", "init_device"]),
        Only("is_causal", Bool(true)),
        Written("use_cache", Bool(true)),
    ],
    template: r#"{
        "vocab": "$vocab", "hidden": "$hidden", "position": { "alibi": { "alibi_bias_max": "$alibi_bias_max" } },
        "blocks": { "$each": "$layers", "block": { "sublayers": [
            { "junction": { "pre": { "norm": { "layer": { "eps": "$eps", "bias": false } } } }, "parts": [{ "attention": {
                "projection": { "heads": { "heads": "$heads", "scale": "$score_scale", "clip_qkv": "$clip_qkv" } } } }] },
            { "junction": { "pre": { "norm": { "layer": { "eps": "$eps", "bias": false } } } },
              "parts": [{ "mlp": { "intermediate": "$intermediate", "activation": "gelu", "bias": false } }] }
        ] } },
        "norm": { "layer": { "eps": "$eps", "bias": false } },
        "head": { "language": { "tied": "$tied" } }
    }"#,
    names: &[&[
        same("embedding", "transformer.wte.weight"),
        fused(
            &["blocks.{i}.attention.q", "blocks.{i}.attention.k", "blocks.{i}.attention.v"],
            "transformer.blocks.{i}.attn.Wqkv",
        ),
        linear("blocks.{i}.attention.o", "transformer.blocks.{i}.attn.out_proj"),
        linear("blocks.{i}.feed_forward.up", "transformer.blocks.{i}.ffn.up_proj"),
        linear("blocks.{i}.feed_forward.down", "transformer.blocks.{i}.ffn.down_proj"),
        same("blocks.{i}.attention_norm", "transformer.blocks.{i}.norm_1"),
        same("blocks.{i}.feed_forward_norm", "transformer.blocks.{i}.norm_2"),
        same("norm", "transformer.norm_f"),
        linear("head", "lm_head"),
        same("embedding", "lm_head.weight").if_tied(),
    ]],
    gguf: Some(Gguf { names: gguf::names::FUSED, ..Gguf::new("mpt") }),
};

/// `norm_type`: kinds of LayerNorm that differ in rounding. No hole.
struct NormType;

impl Convert for NormType {
    fn read(&self, fields: &ConfigReader, _holes: &mut Holes) -> Result<(), ValidationError> {
        match fields.string("norm_type", "low_precision_layernorm")? {
            "layernorm" | "low_precision_layernorm" => Ok(()),
            other => {
                let reason = format!("expected layernorm or low_precision_layernorm, found \"{other}\"");
                Err(ValidationError::new("norm_type", reason))
            }
        }
    }

    fn write(&self, _holes: &Holes, _json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        Ok(())
    }
}

/// `attn_config`. Holes: `clip_qkv`, `score_scale`, `alibi_bias_max`.
struct AttentionTable;

const TABLE: &str = "attn_config";
const CLAMP_KEY: &str = "attention.clamp_kqv";
const ALIBI_KEY: &str = "attention.max_alibi_bias";

impl Convert for AttentionTable {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let empty = json!({});
        let table = ConfigReader::new(fields.family(), fields.get(TABLE).unwrap_or(&empty));
        let table = table.map_err(|error| error.with_path_prefix(TABLE))?;
        read_table(&table, holes).map_err(|error| error.with_path_prefix(TABLE))?;
        fields.take_warnings(TABLE, &table);
        Ok(())
    }

    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        let max = holes.float("alibi_bias_max");
        // The reference's class has a whole number.
        let max = if max.fract() == 0.0 { json!(max as u64) } else { json!(max) };
        let table = json!({
            "alibi": true, "alibi_bias_max": max,
            "clip_qkv": holes.get("clip_qkv"), "softmax_scale": holes.get("score_scale"),
        });
        json.insert(TABLE.into(), table);
        Ok(())
    }

    /// The scale of scores is that of the width of a head.
    fn read_gguf(&self, fields: &GgufFields, holes: &mut Holes) -> Result<(), ValidationError> {
        holes.set("clip_qkv", fields.float(CLAMP_KEY)?.filter(|limit| *limit != 0.0));
        holes.set("score_scale", Value::Null);
        holes.set("alibi_bias_max", fields.float(ALIBI_KEY)?.unwrap_or(8.0));
        Ok(())
    }

    fn write_gguf(&self, holes: &Holes, out: &mut GgufMetadata) -> Result<(), ValidationError> {
        out.set(CLAMP_KEY, holes.get("clip_qkv").clone());
        out.set(ALIBI_KEY, holes.float("alibi_bias_max"));
        Ok(())
    }
}

fn read_table(table: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
    table.require("attn_type", "multihead_attention")?;
    table.require("alibi", true)?;
    for key in ["prefix_lm", "qk_ln", "attn_uses_sequence_id"] {
        table.require(key, false)?;
    }
    // The kernel.
    table.ignore(&["attn_impl"]);
    table.ignore_dropout("attn_pdrop")?;
    // The reference has no limit where the number is 0.
    holes.set("clip_qkv", table.float("clip_qkv")?.filter(|limit| *limit != 0.0));
    holes.set("score_scale", table.float("softmax_scale")?);
    holes.set("alibi_bias_max", table.float("alibi_bias_max")?.unwrap_or(8.0));
    table.finish()
}
