//! Tensor names of GGUF: one table for all architectures, parameter ↔ tensor.
//!
//! An architecture is a list of groups. An entry whose parameter a model does not have has no effect, so that most
//! architectures share all groups. Names are those of llama.cpp (`gguf.constants.TENSOR_NAMES` of its Python package).

use super::super::{
    binding::ValueMap,
    names::{Name, fused, linear, same},
};

/// Groups of names of an architecture.
pub(in crate::hf) type Groups = &'static [&'static [Name]];

/// q, k and v in a matrix each.
pub(in crate::hf) const SEPARATE: Groups = &[OUTER, SEPARATE_QKV, FUSED_QKV, ATTENTION, FEED_FORWARD, NORMS_BEFORE];

/// q, k and v in a matrix each, with the rows of rotary pairs adjacent.
pub(in crate::hf) const INTERLEAVED: Groups = &[OUTER, INTERLEAVED_QKV, ATTENTION, FEED_FORWARD, NORMS_BEFORE];

/// q, k and v in one matrix, one after the other.
pub(in crate::hf) const FUSED: Groups = &[OUTER, FUSED_QKV, SEPARATE_QKV, ATTENTION, FEED_FORWARD, NORMS_BEFORE];

/// q, k and v in one matrix, gate and up projection in another.
pub(in crate::hf) const FUSED_GATE: Groups = &[OUTER, FUSED_QKV, SEPARATE_QKV, ATTENTION, FUSED_GATE_UP, NORMS_BEFORE];

/// Norm weights are stored as 1 + w.
pub(in crate::hf) const UNIT_OFFSET: Groups =
    &[OUTER, SEPARATE_QKV, FUSED_QKV, ATTENTION, FEED_FORWARD, UNIT_OFFSET_NORMS];

/// A norm after each part, none before it.
pub(in crate::hf) const NORMS_AFTER_PARTS: Groups =
    &[OUTER, SEPARATE_QKV, FUSED_QKV, ATTENTION, FEED_FORWARD, NORMS_AFTER];

/// A norm after each sum, as in BERT.
pub(in crate::hf) const NORMS_AFTER_SUMS: Groups =
    &[OUTER, SEPARATE_QKV, FUSED_QKV, ATTENTION, FEED_FORWARD, POST_NORMS];

/// q and k have norms with weights for each head.
pub(in crate::hf) const HEAD_NORMS: Groups =
    &[OUTER, SEPARATE_QKV, FUSED_QKV, OUTPUT, HEAD_QK_NORMS, FEED_FORWARD, NORMS_BEFORE];

/// As [`FUSED`], with parallel parts that may have a norm each.
pub(in crate::hf) const FUSED_PART_NORMS: Groups =
    &[OUTER, FUSED_QKV, SEPARATE_QKV, ATTENTION, FEED_FORWARD, PART_NORMS];

/// Encoder and decoder, as in T5.
pub(in crate::hf) const ENCODER_DECODER: Groups = &[OUTER, T5_DECODER, T5_ENCODER];

/// Latent attention, with the matrices of keys and values of each head.
pub(in crate::hf) const LATENT: Groups = &[OUTER, LATENT_ATTENTION, FEED_FORWARD, NORMS_BEFORE];

/// Short convolutions in layers without attention.
pub(in crate::hf) const SHORT_CONVOLUTIONS: Groups =
    &[OUTER, SHORT_CONVOLUTION, SEPARATE_QKV, FUSED_QKV, ATTENTION, FEED_FORWARD, NORMS_BEFORE];

/// State-space models without attention.
pub(in crate::hf) const STATE_SPACE: Groups = &[OUTER, MAMBA2];

/// Embeddings and head. A head that is tied to the embedding has no tensor.
const OUTER: &[Name] = &[
    same("embedding", "token_embd.weight"),
    same("embedded.types", "token_types.weight"),
    same("embedded.norm", "token_embd_norm"),
    linear("head", "output"),
];

const SEPARATE_QKV: &[Name] = &[
    linear("blocks.{i}.attention.q", "blk.{i}.attn_q"),
    linear("blocks.{i}.attention.k", "blk.{i}.attn_k"),
    linear("blocks.{i}.attention.v", "blk.{i}.attn_v"),
];

const FUSED_QKV: &[Name] = &[fused(QKV, "blk.{i}.attn_qkv")];

const QKV: &[&str] = &["blocks.{i}.attention.q", "blocks.{i}.attention.k", "blocks.{i}.attention.v"];

const INTERLEAVED_QKV: &[Name] = &[
    linear("blocks.{i}.attention.q", "blk.{i}.attn_q").interleaved(),
    linear("blocks.{i}.attention.k", "blk.{i}.attn_k").interleaved(),
    linear("blocks.{i}.attention.v", "blk.{i}.attn_v"),
    fused(QKV, "blk.{i}.attn_qkv").interleaved(),
];

/// The output of attention.
const OUTPUT: &[Name] = &[linear("blocks.{i}.attention.o", "blk.{i}.attn_output")];

const HEAD_QK_NORMS: &[Name] = &[
    same("blocks.{i}.attention.q_norm", "blk.{i}.attn_q_norm").head_rows(),
    same("blocks.{i}.attention.k_norm", "blk.{i}.attn_k_norm").head_rows(),
];

const ATTENTION: &[Name] = &[
    same("position", "position_embd"),
    linear("blocks.{i}.attention.o", "blk.{i}.attn_output"),
    same("blocks.{i}.attention.q_norm", "blk.{i}.attn_q_norm"),
    same("blocks.{i}.attention.k_norm", "blk.{i}.attn_k_norm"),
];

/// MLPs, gated or not, and mixtures of experts: stacked, or in older files each expert by itself.
const FEED_FORWARD: &[Name] = &[
    linear("blocks.{i}.feed_forward.gate", "blk.{i}.ffn_gate"),
    linear("blocks.{i}.feed_forward.up", "blk.{i}.ffn_up"),
    linear("blocks.{i}.feed_forward.down", "blk.{i}.ffn_down"),
    linear("blocks.{i}.feed_forward.router", "blk.{i}.ffn_gate_inp"),
    same("blocks.{i}.feed_forward.selection_bias", "blk.{i}.exp_probs_b.bias"),
    linear("blocks.{i}.feed_forward.shared.gate", "blk.{i}.ffn_gate_shexp"),
    linear("blocks.{i}.feed_forward.shared.up", "blk.{i}.ffn_up_shexp"),
    linear("blocks.{i}.feed_forward.shared.down", "blk.{i}.ffn_down_shexp"),
    linear("blocks.{i}.feed_forward.shared_gate", "blk.{i}.ffn_gate_inp_shexp"),
    linear("blocks.{i}.feed_forward.experts.gate", "blk.{i}.ffn_gate_exps"),
    linear("blocks.{i}.feed_forward.experts.up", "blk.{i}.ffn_up_exps"),
    linear("blocks.{i}.feed_forward.experts.down", "blk.{i}.ffn_down_exps"),
    fused(&["blocks.{i}.feed_forward.experts.gate", "blocks.{i}.feed_forward.experts.up"], "blk.{i}.ffn_gate_up_exps"),
    linear("blocks.{i}.feed_forward.experts.gate", "blk.{i}.ffn_gate.{e}"),
    linear("blocks.{i}.feed_forward.experts.up", "blk.{i}.ffn_up.{e}"),
    linear("blocks.{i}.feed_forward.experts.down", "blk.{i}.ffn_down.{e}"),
];

/// The norm of attention is the second where the MLP has its own.
const PART_NORMS: &[Name] = &[
    same("norm", "output_norm"),
    same("blocks.{i}.attention_norm", "blk.{i}.attn_norm_2").with_part_norms(),
    same("blocks.{i}.feed_forward_norm", "blk.{i}.attn_norm").with_part_norms(),
    same("blocks.{i}.attention_norm", "blk.{i}.attn_norm").without_part_norms(),
];

/// The gate stands before the up projection in `ffn_up`.
const FUSED_GATE_UP: &[Name] = &[
    fused(&["blocks.{i}.feed_forward.gate", "blocks.{i}.feed_forward.up"], "blk.{i}.ffn_up"),
    linear("blocks.{i}.feed_forward.down", "blk.{i}.ffn_down"),
];

/// A norm before each part, and before and after it.
const NORMS_BEFORE: &[Name] = &[
    same("norm", "output_norm"),
    same("blocks.{i}.attention_norm", "blk.{i}.attn_norm"),
    same("blocks.{i}.attention_norm.before", "blk.{i}.attn_norm"),
    same("blocks.{i}.attention_norm.after", "blk.{i}.post_attention_norm"),
    same("blocks.{i}.feed_forward_norm", "blk.{i}.ffn_norm"),
    same("blocks.{i}.feed_forward_norm.before", "blk.{i}.ffn_norm"),
    same("blocks.{i}.feed_forward_norm.after", "blk.{i}.post_ffw_norm"),
];

const UNIT_OFFSET_NORMS: &[Name] = &mapped::<{ NORMS_BEFORE.len() }>(NORMS_BEFORE, ValueMap::SubtractOne);

const NORMS_AFTER: &[Name] = &[
    same("norm", "output_norm"),
    same("blocks.{i}.attention_norm", "blk.{i}.post_attention_norm"),
    same("blocks.{i}.feed_forward_norm", "blk.{i}.post_ffw_norm"),
];

const POST_NORMS: &[Name] = &[
    same("blocks.{i}.attention_norm", "blk.{i}.attn_output_norm"),
    same("blocks.{i}.feed_forward_norm", "blk.{i}.layer_output_norm"),
];

const LATENT_ATTENTION: &[Name] = &[
    linear("blocks.{i}.attention.q", "blk.{i}.attn_q").without("blocks.{i}.attention.q_down.weight"),
    linear("blocks.{i}.attention.q_down", "blk.{i}.attn_q_a"),
    same("blocks.{i}.attention.q_norm", "blk.{i}.attn_q_a_norm"),
    linear("blocks.{i}.attention.q", "blk.{i}.attn_q_b").with("blocks.{i}.attention.q_down.weight"),
    fused(&["blocks.{i}.attention.kv_down", "blocks.{i}.attention.k_rope"], "blk.{i}.attn_kv_a_mqa"),
    same("blocks.{i}.attention.kv_norm", "blk.{i}.attn_kv_a_norm"),
    linear("blocks.{i}.attention.k", "blk.{i}.attn_k_b.weight").not_transposed().head_matrices(),
    linear("blocks.{i}.attention.v", "blk.{i}.attn_v_b.weight").head_matrices(),
    linear("blocks.{i}.attention.o", "blk.{i}.attn_output"),
];

const MAMBA2: &[Name] = &[
    same("norm", "output_norm"),
    same("blocks.{i}.mixer_norm", "blk.{i}.attn_norm"),
    fused(
        &[
            "blocks.{i}.mixer.gate",
            "blocks.{i}.mixer.x",
            "blocks.{i}.mixer.b",
            "blocks.{i}.mixer.c",
            "blocks.{i}.mixer.dt",
        ],
        "blk.{i}.ssm_in",
    ),
    fused(&["blocks.{i}.mixer.x_conv", "blocks.{i}.mixer.b_conv", "blocks.{i}.mixer.c_conv"], "blk.{i}.ssm_conv1d"),
    same("blocks.{i}.mixer.dt_bias", "blk.{i}.ssm_dt.bias"),
    same("blocks.{i}.mixer.a_log", "blk.{i}.ssm_a").mapped(ValueMap::LogNeg).with_unit_axis(1),
    same("blocks.{i}.mixer.d", "blk.{i}.ssm_d").with_unit_axis(1),
    same("blocks.{i}.mixer.norm", "blk.{i}.ssm_norm").head_rows(),
    linear("blocks.{i}.mixer.out", "blk.{i}.ssm_out"),
];

/// The last norm has the name that the embedding's norm has elsewhere.
const SHORT_CONVOLUTION: &[Name] = &[
    same("norm", "token_embd_norm"),
    same("blocks.{i}.mixer_norm", "blk.{i}.attn_norm"),
    fused(&["blocks.{i}.mixer.b", "blocks.{i}.mixer.c", "blocks.{i}.mixer.x"], "blk.{i}.shortconv.in_proj"),
    linear("blocks.{i}.mixer.conv", "blk.{i}.shortconv.conv"),
    linear("blocks.{i}.mixer.out", "blk.{i}.shortconv.out_proj"),
];

const T5_DECODER: &[Name] = &[
    same("position", "dec.blk.0.attn_rel_b"),
    same("norm", "dec.output_norm"),
    linear("blocks.{i}.attention.q", "dec.blk.{i}.attn_q"),
    linear("blocks.{i}.attention.k", "dec.blk.{i}.attn_k"),
    linear("blocks.{i}.attention.v", "dec.blk.{i}.attn_v"),
    linear("blocks.{i}.attention.o", "dec.blk.{i}.attn_o"),
    same("blocks.{i}.attention_norm", "dec.blk.{i}.attn_norm"),
    linear("blocks.{i}.cross_attention.q", "dec.blk.{i}.cross_attn_q"),
    linear("blocks.{i}.cross_attention.k", "dec.blk.{i}.cross_attn_k"),
    linear("blocks.{i}.cross_attention.v", "dec.blk.{i}.cross_attn_v"),
    linear("blocks.{i}.cross_attention.o", "dec.blk.{i}.cross_attn_o"),
    same("blocks.{i}.cross_attention_norm", "dec.blk.{i}.cross_attn_norm"),
    linear("blocks.{i}.feed_forward.gate", "dec.blk.{i}.ffn_gate"),
    linear("blocks.{i}.feed_forward.up", "dec.blk.{i}.ffn_up"),
    linear("blocks.{i}.feed_forward.down", "dec.blk.{i}.ffn_down"),
    same("blocks.{i}.feed_forward_norm", "dec.blk.{i}.ffn_norm"),
];

const T5_ENCODER: &[Name] = &[
    same("encoder.position", "enc.blk.0.attn_rel_b"),
    same("encoder.norm", "enc.output_norm"),
    linear("encoder.blocks.{i}.attention.q", "enc.blk.{i}.attn_q"),
    linear("encoder.blocks.{i}.attention.k", "enc.blk.{i}.attn_k"),
    linear("encoder.blocks.{i}.attention.v", "enc.blk.{i}.attn_v"),
    linear("encoder.blocks.{i}.attention.o", "enc.blk.{i}.attn_o"),
    same("encoder.blocks.{i}.attention_norm", "enc.blk.{i}.attn_norm"),
    linear("encoder.blocks.{i}.feed_forward.gate", "enc.blk.{i}.ffn_gate"),
    linear("encoder.blocks.{i}.feed_forward.up", "enc.blk.{i}.ffn_up"),
    linear("encoder.blocks.{i}.feed_forward.down", "enc.blk.{i}.ffn_down"),
    same("encoder.blocks.{i}.feed_forward_norm", "enc.blk.{i}.ffn_norm"),
];

/// The entries with a value map each.
const fn mapped<const N: usize>(names: &[Name], map: ValueMap) -> [Name; N] {
    let mut out = [same("", ""); N];
    let mut i = 0;
    while i < N {
        out[i] = names[i].mapped(map);
        i += 1;
    }
    out
}
