//! Holes of the templates and where GGUF keeps their values: one table for all families.

use super::metadata::{GgufFields, GgufMetadata};
use crate::hf::template::Holes;
use kiln_spec::ValidationError;
use serde_json::Value;

/// Where a file keeps the value of a hole.
#[derive(Clone, Copy)]
pub(super) enum HoleSource {
    /// A required size.
    Size(&'static str),
    /// A required size, and the smallest that llama.cpp implements.
    SizeFrom(usize, &'static str),
    /// A required number of layers.
    Layers(&'static str),
    /// A size; absent: that of the family's class.
    Optional(&'static str),
    /// A size; absent or 0: none.
    OrNone(&'static str),
    /// The width of the MLP: required, unless the file states the width of experts.
    FeedForward(&'static str),
    /// The number of key-value heads, or that of each layer, 0 without attention; absent: as many as query heads.
    KeyValueHeads(&'static str),
    /// The width of a head; absent: the width of the model by the number of heads.
    HeadWidth(&'static str),
    /// A number; absent: that of the family's class.
    Number(&'static str),
    /// The ε of the norms. The key depends on their kind.
    Epsilon,
    /// A boolean; absent: that of the family's class.
    Flag(&'static str),
    /// The number of rows of a tensor, which is also stated under a key.
    Rows(&'static str, Option<&'static str>),
    /// Whether the file has one of these tensors.
    Present(&'static [&'static str]),
    /// Whether the file lacks this tensor.
    Absent(&'static str),
}

use HoleSource::*;

/// The table.
const HOLES: &[(&str, HoleSource)] = &[
    ("vocab", Rows("token_embd.weight", Some("vocab_size"))),
    ("length", Rows("position_embd.weight", Some("context_length"))),
    ("types", Rows("token_types.weight", None)),
    ("hidden", Size("embedding_length")),
    ("layers", Layers("block_count")),
    ("intermediate", FeedForward("feed_forward_length")),
    ("heads", Size("attention.head_count")),
    ("kv_heads", KeyValueHeads("attention.head_count_kv")),
    ("head_dim", HeadWidth("attention.key_length")),
    ("eps", Epsilon),
    ("tied", Absent("output.weight")),
    ("bias", Present(QKV_BIASES)),
    ("qkv_bias", Present(QKV_BIASES)),
    ("mlp_bias", Present(&["blk.0.ffn_up.bias"])),
    ("parallel", Flag("use_parallel_residual")),
    ("embedding_scale", Number("embedding_scale")),
    ("residual_multiplier", Number("residual_scale")),
    ("score_scale", Number("attention.scale")),
    ("score_softcap", Number("attn_logit_softcapping")),
    ("logit_softcap", Number("final_logit_softcapping")),
    ("experts", Size("expert_count")),
    ("top_k", Size("expert_used_count")),
    ("expert_intermediate", Optional("expert_feed_forward_length")),
    ("shared_intermediate", Optional("expert_shared_feed_forward_length")),
    ("n_group", Size("expert_group_count")),
    ("topk_group", Size("expert_group_used_count")),
    // Latent attention.
    ("q_rank", OrNone("attention.q_lora_rank")),
    ("kv_rank", Size("attention.kv_lora_rank")),
    ("nope", Size("attention.key_length_mla")),
    ("rope", Size("rope.dimension_count")),
    ("value", Size("attention.value_length_mla")),
    // State-space models.
    ("state_size", Size("ssm.state_size")),
    ("groups", Size("ssm.group_count")),
    ("conv_width", Size("ssm.conv_kernel")),
    // Short convolutions.
    ("filter_width", SizeFrom(2, "shortconv.l_cache")),
    // T5.
    ("encoder_layers", Layers("block_count")),
    ("buckets", Size("attention.relative_buckets_count")),
];

const QKV_BIASES: &[&str] = &["blk.0.attn_q.bias", "blk.0.attn_qkv.bias"];

/// The place of a hole; `None` if GGUF has none.
fn find(hole: &str) -> Option<HoleSource> {
    HOLES.iter().find(|(name, _)| *name == hole).map(|(_, place)| *place)
}

impl GgufFields<'_> {
    /// The value of a hole. `default` is that of the family's class; `holes` are those that are read already.
    ///
    /// # Errors
    /// A required key that is missing, or a value of the wrong type or range.
    pub(in crate::hf) fn hole(&self, hole: &str, default: Value, holes: &Holes) -> Result<Value, ValidationError> {
        let renamed = self.gguf.renamed_key(hole);
        let Some(place) = find(hole) else { return Ok(default) };
        let named = |key: &'static str| renamed.unwrap_or(key);
        let or = |value: Option<usize>| value.map_or(default.clone(), Value::from);
        Ok(match place {
            Size(key) => self.size(named(key))?.into(),
            SizeFrom(min, key) => self.size_from(named(key), min)?.into(),
            // A decoder beside an encoder has as many layers, if the file does not say.
            Layers(key) if renamed.is_some() && self.get(named(key)).is_none() => default,
            Layers(key) => self.layer_count(named(key))?.into(),
            FeedForward(key) if self.get("expert_feed_forward_length").is_none() => self.size(named(key))?.into(),
            FeedForward(key) | Optional(key) => or(self.integer(named(key))?),
            OrNone(key) => self.integer(named(key))?.filter(|size| *size > 0).into(),
            KeyValueHeads(key) => self.key_value_heads(named(key), holes)?.into(),
            HeadWidth(key) => {
                let width = holes.integer("hidden") / holes.integer("heads").max(1);
                self.integer(named(key))?.unwrap_or(width).into()
            }
            Number(key) => self.float(named(key))?.map_or(default, Value::from),
            Epsilon => {
                let [own, other] = self.epsilon_keys.map(|key| self.float(key));
                own?.or(other?).map_or(default, Value::from)
            }
            Flag(key) => self.flag(named(key))?.map_or(default, Value::from),
            Rows(tensor, _) => self.num_rows(tensor)?.into(),
            Present(tensors) => tensors.iter().any(|name| self.has_tensor(name)).into(),
            Absent(tensor) => (!self.has_tensor(tensor)).into(),
        })
    }
}

impl GgufFields<'_> {
    /// The number of key-value heads in all layers with attention.
    fn key_value_heads(&self, key: &str, holes: &Holes) -> Result<usize, ValidationError> {
        let by_layer = self.integers(key, holes.integer("layers"))?.unwrap_or_default();
        let mut with_attention = by_layer.into_iter().filter(|heads| *heads > 0);
        let first = with_attention.next().unwrap_or(holes.integer("heads"));
        match with_attention.find(|other| *other != first) {
            Some(other) => {
                let reason = format!("expected one number for all layers with attention, found {first} and {other}");
                Err(self.error(key, reason))
            }
            None => Ok(first),
        }
    }

    /// Checks a number that all models of the family have, if the file states it.
    pub(super) fn require_hole(&self, hole: &str, constant: &Value) -> Result<(), ValidationError> {
        let (Some(Epsilon), Some(expected)) = (find(hole), constant.as_f64()) else { return Ok(()) };
        let found = self.hole(hole, constant.clone(), &Holes::default())?;
        match found.as_f64() {
            // Files have 32-bit floats.
            Some(found) if found as f32 != expected as f32 => {
                Err(self.error(self.epsilon_keys[0], format!("only {expected:e} is supported here, found {found:e}")))
            }
            _ => Ok(()),
        }
    }
}

impl GgufMetadata {
    /// Writes the value of a hole, if GGUF has a key for it.
    pub(in crate::hf) fn set_hole(&mut self, hole: &str, value: Value) {
        let renamed = self.gguf.renamed_key(hole);
        let (place, mut value) = (find(hole), value);
        if matches!(place, Some(OrNone(_))) && value.is_null() {
            value = 0.into();
        }
        let key = match place {
            Some(Epsilon) => self.epsilon_key,
            Some(Rows(_, Some(key))) => key,
            Some(
                Size(key)
                | SizeFrom(_, key)
                | Layers(key)
                | Optional(key)
                | OrNone(key)
                | FeedForward(key)
                | KeyValueHeads(key)
                | HeadWidth(key)
                | Number(key)
                | Flag(key),
            ) => key,
            Some(Rows(_, None) | Present(_) | Absent(_)) | None => return,
        };
        self.set(renamed.unwrap_or(key), value);
    }
}
