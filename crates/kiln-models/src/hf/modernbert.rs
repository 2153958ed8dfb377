//! ModernBERT (2412.13663): encoder of pre-norm blocks with rotary positions, gated feed-forward layers, and local attention in
//! most layers.
//!
//! Local layers have a rotary base of their own; the first layer has no norm before its attention. Reference:
//! `modeling_modernbert.py` of transformers.

use super::{
    Family, bert_like,
    class_head::ClassHead,
    config_reader::ConfigReader,
    gguf::{self, Gguf},
    keys::{Absent::*, Constant::*, Convert, Key::*},
    layer_rotary::LayerRotary,
    names::{fused, linear, same},
    template::Holes,
    windows::LocalAttention,
};
use kiln_spec::ValidationError;
use serde_json::{Map, Value, json};

/// Classes of the reference.
const CLASSES: &[&str] = &["ModernBertForMaskedLM", "ModernBertModel", "ModernBertForSequenceClassification"];

pub(super) const FAMILY: Family = Family {
    name: "modernbert",
    aliases: &[],
    architectures: CLASSES,
    prefix: "model.",
    ignored_suffixes: &[],
    keys: &[
        All(bert_like::COMMON_KEYS),
        Size("vocab_size", "vocab", Is(50_368)),
        Size("hidden_size", "hidden", Is(768)),
        Size("intermediate_size", "intermediate", Is(1152)),
        Layers("num_hidden_layers", "layers", 22),
        Size("num_attention_heads", "heads", Is(12)),
        Activation("hidden_activation", "activation", "gelu"),
        Float("norm_eps", "eps", 1e-5),
        Flag("norm_bias", "norm_bias", false),
        Flag("attention_bias", "bias", false),
        Flag("mlp_bias", "mlp_bias", false),
        Converted(&FirstNorm),
        Converted(&LocalAttention { absent: 128, global_every: 3 }),
        Converted(&LayerRotary { global: 160_000.0, local: 10_000.0 }),
        Converted(&ClassHead { class: "ModernBert", classes: CLASSES, activation: None, class_activation: None }),
        Activation("classifier_activation", "head_activation", "gelu"),
        Flag("classifier_bias", "transform_bias", false),
        Flag("decoder_bias", "decoder_bias", true),
        Converted(&ClassifierPooling),
        Dropout(&["attention_dropout", "embedding_dropout", "mlp_dropout"], "dropout", 0.0),
        // The longest text, initialization, choice of a kernel, dropout before a classifier, how a loss is computed, tokens.
        Ignored(&["max_position_embeddings", "initializer_cutoff_factor", "deterministic_flash_attn", "cls_token_id"]),
        Ignored(&["classifier_dropout", "sparse_prediction", "sparse_pred_ignore_index"]),
        Ignored(&["layer_norm_eps", "reference_compile", "repad_logits_with_grad"]),
    ],
    template: r#"{
        "stack": "encoder", "visibility": "bidirectional", "vocab": "$vocab", "hidden": "$hidden", "dropout": "$dropout",
        "embedding": { "norm": { "layer": { "eps": "$eps", "bias": "$norm_bias" } } }, "position": "none",
        "blocks": { "$each": "$layers", "block": { "sublayers": [
            { "junction": { "pre": { "norm": "$attention_norm[]" } },
              "parts": [{ "attention": { "pattern": "$pattern[]", "position": "$layer_position[]",
                  "projection": { "heads": { "heads": "$heads", "bias": "$bias" } } } }] },
            { "junction": { "pre": { "norm": { "layer": { "eps": "$eps", "bias": "$norm_bias" } } } },
              "parts": [{ "gated_mlp": { "intermediate": "$intermediate", "activation": "$activation", "bias": "$mlp_bias" } }] }
        ] } },
        "norm": { "layer": { "eps": "$eps", "bias": "$norm_bias" } },
        "head": { "$case": "$head",
            "language": { "language": { "tied": "$tied", "bias": "$decoder_bias",
                "transform": { "activation": "$head_activation", "bias": "$transform_bias",
                    "norm": { "layer": { "eps": "$eps", "bias": "$norm_bias" } } } } },
            "class": { "class": { "num_classes": "$num_classes", "pooling": "$pooling",
                "transform": { "activation": "$head_activation", "bias": "$transform_bias",
                    "norm": { "layer": { "eps": "$eps", "bias": "$norm_bias" } } } } },
            "embedding": { "embedding": { "pooling": "mean", "normalize": false } } }
    }"#,
    names: &[&[
        same("embedding", "model.embeddings.tok_embeddings.weight"),
        same("embedded.norm", "model.embeddings.norm"),
        same("blocks.{i}.attention_norm", "model.layers.{i}.attn_norm"),
        fused(
            &["blocks.{i}.attention.q", "blocks.{i}.attention.k", "blocks.{i}.attention.v"],
            "model.layers.{i}.attn.Wqkv",
        ),
        linear("blocks.{i}.attention.o", "model.layers.{i}.attn.Wo"),
        same("blocks.{i}.feed_forward_norm", "model.layers.{i}.mlp_norm"),
        fused(&["blocks.{i}.feed_forward.gate", "blocks.{i}.feed_forward.up"], "model.layers.{i}.mlp.Wi"),
        linear("blocks.{i}.feed_forward.down", "model.layers.{i}.mlp.Wo"),
        same("norm", "model.final_norm"),
        linear("head.transform.dense", "head.dense"),
        same("head.transform.norm", "head.norm"),
        same("head.bias", "decoder.bias"),
        same("embedding", "decoder.weight").if_tied(),
        linear("head.weight", "decoder.weight"),
        linear("head.classes", "classifier"),
    ]],
    gguf: Some(Gguf {
        names: gguf::names::FUSED_GATE,
        fixed: &[("norm_bias", Bool(false)), ("bias", Bool(false)), ("mlp_bias", Bool(false))],
        renamed: &[("activation", "hidden_activation")],
        windows: true,
        ..Gguf::new("modern-bert")
    }),
};

/// No key: the norm before the attention of each layer but the first, whose input is normalized already. Hole for each layer:
/// `attention_norm`.
struct FirstNorm;

impl Convert for FirstNorm {
    fn read(&self, _fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let norm = json!({ "layer": { "eps": holes.get("eps"), "bias": holes.get("norm_bias") } });
        let norms = (0..holes.integer("layers")).map(|layer| if layer == 0 { "none".into() } else { norm.clone() });
        holes.set("attention_norm", norms.collect::<Vec<_>>());
        Ok(())
    }

    fn write(&self, _holes: &Holes, _json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        Ok(())
    }
}

/// `classifier_pooling`: `cls` for the first token, or `mean`. Hole: `pooling`.
struct ClassifierPooling;

impl Convert for ClassifierPooling {
    fn read(&self, fields: &ConfigReader, holes: &mut Holes) -> Result<(), ValidationError> {
        let pooling = match fields.string("classifier_pooling", "cls")? {
            "cls" => "first",
            "mean" => "mean",
            other => {
                let reason = format!("expected \"cls\" or \"mean\", found \"{other}\"");
                return Err(ValidationError::new("classifier_pooling", reason));
            }
        };
        holes.set("pooling", pooling);
        Ok(())
    }

    /// Another pooling is found when the file is read back.
    fn write(&self, holes: &Holes, json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        if let Some(pooling) = holes.get("pooling").as_str() {
            json.insert("classifier_pooling".into(), if pooling == "mean" { "mean" } else { "cls" }.into());
        }
        Ok(())
    }
}
