//! Mamba-2 (2405.21060): a state-space model without attention and without feed-forward layers.
//!
//! Reference: `modeling_mamba2.py` of transformers.

use super::{
    Family,
    gguf::{self, Gguf},
    keys::{Absent::*, Constant::*, Key::*},
    names::{fused, linear, same},
    state_space::{Expansion, INNER_KEY, TimeStepLimit},
};

pub(super) const FAMILY: Family = Family {
    name: "mamba2",
    aliases: &[],
    architectures: &["Mamba2ForCausalLM", "Mamba2Model"],
    prefix: "backbone.",
    ignored_suffixes: &[],
    keys: &[
        Size("vocab_size", "vocab", Is(32_768)),
        Size("hidden_size", "hidden", Is(4096)),
        Layers("num_hidden_layers", "layers", 64),
        Size("num_heads", "heads", Is(128)),
        Size("head_dim", "head_dim", Is(64)),
        Converted(&Expansion),
        Size("state_size", "state_size", Is(128)),
        Size("n_groups", "groups", Is(8)),
        Size("conv_kernel", "conv_width", Is(4)),
        Flag("use_conv_bias", "conv_bias", true),
        Flag("use_bias", "bias", false),
        Float("time_step_min", "time_step_min", 0.001),
        Float("time_step_max", "time_step_max", 0.1),
        Float("time_step_floor", "time_step_floor", 1e-4),
        Converted(&TimeStepLimit),
        Float("layer_norm_epsilon", "eps", 1e-5),
        Flag("tie_word_embeddings", "tied", false),
        Only("hidden_act", Text("silu")),
        // How the scan is computed, precision, initialization; the last is not read.
        Ignored(&["chunk_size", "residual_in_fp32", "rescale_prenorm_residual", "time_step_rank"]),
        Written("use_cache", Bool(true)),
    ],
    template: r#"{
        "vocab": "$vocab", "hidden": "$hidden", "position": "none",
        "blocks": { "$each": "$layers", "block": { "sublayers": [
            { "junction": { "pre": { "norm": { "rms": { "eps": "$eps" } } } },
              "parts": [{ "mamba2": { "heads": "$heads", "head_dim": "$head_dim", "state_size": "$state_size",
                  "groups": "$groups", "norm_groups": "$groups", "norm_eps": "$eps", "conv_width": "$conv_width",
                  "conv_bias": "$conv_bias", "bias": "$bias", "time_step_range": ["$time_step_min", "$time_step_max"],
                  "time_step_floor": "$time_step_floor", "time_step_limit": "$time_step_limit" } }] }
        ] } },
        "norm": { "rms": { "eps": "$eps" } },
        "head": { "language": { "tied": "$tied" } }
    }"#,
    names: &[&[
        same("embedding", "backbone.embeddings.weight"),
        same("blocks.{i}.mixer_norm", "backbone.layers.{i}.norm"),
        fused(
            &[
                "blocks.{i}.mixer.gate",
                "blocks.{i}.mixer.x",
                "blocks.{i}.mixer.b",
                "blocks.{i}.mixer.c",
                "blocks.{i}.mixer.dt",
            ],
            "backbone.layers.{i}.mixer.in_proj",
        ),
        fused(
            &["blocks.{i}.mixer.x_conv", "blocks.{i}.mixer.b_conv", "blocks.{i}.mixer.c_conv"],
            "backbone.layers.{i}.mixer.conv1d",
        )
        .with_unit_axis(1),
        same("blocks.{i}.mixer.dt_bias", "backbone.layers.{i}.mixer.dt_bias"),
        same("blocks.{i}.mixer.a_log", "backbone.layers.{i}.mixer.A_log"),
        same("blocks.{i}.mixer.d", "backbone.layers.{i}.mixer.D"),
        same("blocks.{i}.mixer.norm", "backbone.layers.{i}.mixer.norm"),
        linear("blocks.{i}.mixer.out", "backbone.layers.{i}.mixer.out_proj"),
        same("norm", "backbone.norm_f"),
        linear("head", "lm_head"),
        same("embedding", "lm_head.weight").if_tied(),
    ]],
    // llama.cpp expects biases of the convolution, and none of the linear maps.
    gguf: Some(Gguf {
        names: gguf::names::STATE_SPACE,
        fixed: &[("conv_bias", Bool(true)), ("bias", Bool(false))],
        renamed: &[("heads", "ssm.time_step_rank"), ("head_dim", INNER_KEY)],
        ..Gguf::new("mamba2")
    }),
};
