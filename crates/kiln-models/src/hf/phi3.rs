//! Phi-3 (2404.14219): the form of Llama with fused matrices in the file.
//!
//! `qkv_proj` has the rows of q, then k, then v; `gate_up_proj` those of the gate, then of the up-projection. Reference:
//! `modeling_phi3.py` of transformers.

use super::{
    Family,
    binding::{Binding, Slice},
    keys::{Absent::*, Constant::*, Key::*},
    llama_like,
    rope::{Rotary, RotaryClass},
    windows::SlidingWindow,
};
use crate::config::ModelConfig;

pub(super) const FAMILY: Family = Family {
    name: "phi3",
    aliases: &[],
    architectures: &["Phi3ForCausalLM", "Phi3Model"],
    prefix: "model.",
    // Rotary frequencies, which older files contain; Kiln computes them.
    ignored_suffixes: &["rotary_emb.inv_freq"],
    keys: &[
        Size("vocab_size", "vocab", Is(32_064)),
        Size("hidden_size", "hidden", Is(3072)),
        Size("intermediate_size", "intermediate", Is(8192)),
        Layers("num_hidden_layers", "layers", 32),
        Size("num_attention_heads", "heads", Is(32)),
        Integer("num_key_value_heads", "kv_heads", Null),
        Integer("head_dim", "head_dim", Null),
        Activation("hidden_act", "activation", "silu"),
        Float("rms_norm_eps", "eps", 1e-5),
        Flag("tie_word_embeddings", "tied", false),
        Converted(&Rotary { class: RotaryClass::Partial, max_length: 4096 }),
        Fixed("qkv_bias", Bool(false)),
        Fixed("out_bias", Nothing),
        Fixed("mlp_bias", Bool(false)),
        Converted(&SlidingWindow { absent: None }),
        NoDropout("resid_pdrop"),
        NoDropout("embd_pdrop"),
        NoDropout("attention_dropout"),
        Only("is_causal", Bool(true)),
        Ignored(&["pretraining_tp"]),
        Written("use_cache", Bool(true)),
    ],
    template: llama_like::TEMPLATE,
    bindings: bindings,
};

/// Llama's bindings, with slices of the fused tensors in place of `q_proj`, `k_proj`, `v_proj`, `gate_proj`, `up_proj`.
fn bindings(config: &ModelConfig) -> Vec<Binding> {
    let Some(blocks) = llama_like::first_block(config) else { return Vec::new() };
    let heads = blocks.heads;
    let head_dim = heads.head_dim.unwrap_or(config.hidden / heads.heads);
    let q = heads.heads * head_dim;
    let kv = heads.kv_heads.unwrap_or(heads.heads) * head_dim;
    let mlp = blocks.mlp.intermediate.unwrap_or_default();
    let bindings = llama_like::bindings(config).into_iter();
    bindings.map(|binding| fuse(binding, [q, kv, mlp])).collect()
}

/// The binding as a slice of its fused tensor, if it is a part of one. `q`, `kv` and `mlp` are numbers of rows.
fn fuse(binding: Binding, [q, kv, mlp]: [usize; 3]) -> Binding {
    let name = binding.tensor.trim_end_matches("_proj.weight");
    let Some((prefix, matrix)) = name.rsplit_once('.') else { return binding };
    let (fused, slice) = match matrix {
        "q" => ("qkv", Slice::contiguous(0, 0, q, q + 2 * kv)),
        "k" => ("qkv", Slice::contiguous(0, q, kv, q + 2 * kv)),
        "v" => ("qkv", Slice::contiguous(0, q + kv, kv, q + 2 * kv)),
        "gate" => ("gate_up", Slice::contiguous(0, 0, mlp, 2 * mlp)),
        "up" => ("gate_up", Slice::contiguous(0, mlp, mlp, 2 * mlp)),
        _ => return binding,
    };
    let tensor = format!("{prefix}.{fused}_proj.weight");
    Binding { tensor, ..binding.with_slice(slice) }
}
