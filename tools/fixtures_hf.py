# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.15.0", "transformers==5.24.0", "numpy==2.4.6", "safetensors==0.8.0"]
# ///
"""Write tiny models of the reference code with their outputs, and check that it reads the models that Kiln saved.

    python tools/fixtures_hf.py --out crates/kiln-laws/fixtures/hf
    python tools/fixtures_hf.py --check FOLDER --fixtures crates/kiln-laws/fixtures/hf --record FILE

A case is a Hugging Face folder with an additional file `expected.safetensors`: the logits of three texts of unequal length,
padded on the right and on the left; hidden states; the gradient of sum(logits * cotangent) with respect to every weight; 64
greedy tokens. `control.json` is the configuration with one option changed, and `control` its logits. A case is refused if
the two differ too little. Everything is computed in f32.
"""

import copy

import numpy as np
import safetensors
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.models.mpt import modeling_mpt

import checking
from fixtures import agrees, differs

LENGTHS, WIDTH, GREEDY = (11, 7, 4), 11, 64

LLAMA3 = {"rope_type": "llama3", "rope_theta": 400.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 40}
YARN = {"rope_type": "yarn", "rope_theta": 300.0, "factor": 4.0, "original_max_position_embeddings": 24}
PLAIN = {"rope_type": "default", "rope_theta": 400.0}
RAMP = YARN | {"truncate": False, "beta_fast": 2.0, "beta_slow": 0.25}

# name: model_type, options, options changed in the control.
CASES = {
    "gpt2-tied": ("gpt2", dict(vocab_size=37, n_positions=96, n_embd=12, n_layer=2, n_head=3, layer_norm_epsilon=1e-3),
                  dict(activation_function="relu")),
    "gpt2-scaled": ("gpt2", dict(vocab_size=41, n_positions=80, n_embd=20, n_layer=3, n_head=4, n_inner=28,
                                 activation_function="silu", tie_word_embeddings=False, layer_norm_epsilon=1e-2,
                                 scale_attn_by_inverse_layer_idx=True),
                    dict(scale_attn_by_inverse_layer_idx=False)),
    "gpt2-unscaled": ("gpt2", dict(vocab_size=29, n_positions=80, n_embd=8, n_layer=1, n_head=2,
                                   scale_attn_weights=False, activation_function="gelu"),
                      dict(scale_attn_weights=True)),
    "llama-biases": ("llama", dict(vocab_size=43, hidden_size=16, intermediate_size=26, num_hidden_layers=2,
                                   num_attention_heads=4, num_key_value_heads=2, head_dim=6, attention_bias=True,
                                   mlp_bias=True, tie_word_embeddings=True, rms_norm_eps=1e-3,
                                   rope_parameters=PLAIN | {"rope_theta": 50.0}),
                     dict(rope_parameters=PLAIN | {"rope_theta": 10000.0})),
    "llama-llama3": ("llama", dict(vocab_size=31, hidden_size=24, intermediate_size=20, num_hidden_layers=2,
                                   num_attention_heads=3, num_key_value_heads=1, hidden_act="gelu", rms_norm_eps=1e-2,
                                   rope_parameters=LLAMA3),
                     dict(rope_parameters=PLAIN)),
    "llama-yarn": ("llama", dict(vocab_size=23, hidden_size=8, intermediate_size=12, num_hidden_layers=1,
                                 num_attention_heads=1, head_dim=16, rope_parameters=YARN),
                   dict(rope_parameters=PLAIN | {"rope_theta": 300.0})),
    "mistral-window": ("mistral", dict(vocab_size=33, hidden_size=16, intermediate_size=18, num_hidden_layers=2,
                                       num_attention_heads=4, num_key_value_heads=2, sliding_window=4,
                                       rms_norm_eps=1e-3),
                       dict(sliding_window=None)),
    "mistral-tied": ("mistral", dict(vocab_size=27, hidden_size=12, intermediate_size=14, num_hidden_layers=3,
                                     num_attention_heads=2, num_key_value_heads=1, head_dim=10, sliding_window=3,
                                     tie_word_embeddings=True),
                     dict(sliding_window=4)),
    "phi3-window": ("phi3", dict(vocab_size=25, hidden_size=16, intermediate_size=14, num_hidden_layers=2,
                                 num_attention_heads=4, num_key_value_heads=2, sliding_window=4),
                    dict(sliding_window=None)),
    "phi3-tied": ("phi3", dict(vocab_size=31, hidden_size=12, intermediate_size=18, num_hidden_layers=1,
                               num_attention_heads=2, tie_word_embeddings=True, rope_parameters=PLAIN),
                  dict(rope_parameters=PLAIN | {"rope_theta": 10000.0})),
    "qwen2-windows": ("qwen2", dict(vocab_size=35, hidden_size=12, intermediate_size=22, num_hidden_layers=3,
                                    num_attention_heads=2, num_key_value_heads=1, use_sliding_window=True,
                                    sliding_window=4, max_window_layers=1),
                      dict(use_sliding_window=False, layer_types=["full_attention"] * 3)),
    "qwen2-tied": ("qwen2", dict(vocab_size=39, hidden_size=18, intermediate_size=16, num_hidden_layers=2,
                                 num_attention_heads=3, num_key_value_heads=3, tie_word_embeddings=True,
                                 rope_parameters=PLAIN),
                   dict(rope_parameters=PLAIN | {"rope_theta": 10000.0})),
    "qwen3-heads": ("qwen3", dict(vocab_size=29, hidden_size=16, intermediate_size=22, num_hidden_layers=2,
                                  num_attention_heads=4, num_key_value_heads=2, head_dim=6, attention_bias=True,
                                  rms_norm_eps=1e-3),
                    dict(rms_norm_eps=0.5)),
    "qwen3-windows": ("qwen3", dict(vocab_size=35, hidden_size=12, intermediate_size=18, num_hidden_layers=3,
                                    num_attention_heads=2, num_key_value_heads=1, head_dim=8, use_sliding_window=True,
                                    sliding_window=4, max_window_layers=1, tie_word_embeddings=True),
                      dict(use_sliding_window=False, layer_types=["full_attention"] * 3)),
    "gemma-scaled": ("gemma", dict(vocab_size=31, hidden_size=16, intermediate_size=20, num_hidden_layers=2,
                                   num_attention_heads=4, num_key_value_heads=1, head_dim=6, rms_norm_eps=1e-3),
                     dict(hidden_act="relu")),
    "gemma-untied": ("gemma", dict(vocab_size=27, hidden_size=12, intermediate_size=26, num_hidden_layers=1,
                                   num_attention_heads=2, num_key_value_heads=2, head_dim=8, attention_bias=True,
                                   tie_word_embeddings=False),
                     dict(rope_parameters=PLAIN | {"rope_theta": 100.0})),
    "gemma2-capped": ("gemma2", dict(vocab_size=33, hidden_size=16, intermediate_size=20, num_hidden_layers=3,
                                     num_attention_heads=4, num_key_value_heads=2, head_dim=6, sliding_window=4,
                                     query_pre_attn_scalar=9, attn_logit_softcapping=3.0, final_logit_softcapping=2.0),
                      dict(attn_logit_softcapping=1.0)),
    "gemma2-uncapped": ("gemma2", dict(vocab_size=29, hidden_size=12, intermediate_size=14, num_hidden_layers=2,
                                       num_attention_heads=2, num_key_value_heads=1, head_dim=8, sliding_window=3,
                                       query_pre_attn_scalar=8, attn_logit_softcapping=None, final_logit_softcapping=None,
                                       layer_types=["full_attention", "sliding_attention"]),
                        dict(layer_types=["full_attention", "full_attention"])),
    "mixtral-experts": ("mixtral", dict(vocab_size=31, hidden_size=16, intermediate_size=12, num_hidden_layers=2,
                                        num_attention_heads=4, num_key_value_heads=2, num_local_experts=4,
                                        num_experts_per_tok=2, rms_norm_eps=1e-3),
                        dict(num_experts_per_tok=3)),
    "mixtral-window": ("mixtral", dict(vocab_size=27, hidden_size=12, intermediate_size=8, num_hidden_layers=1,
                                       num_attention_heads=2, num_key_value_heads=1, num_local_experts=3,
                                       num_experts_per_tok=2, sliding_window=4, tie_word_embeddings=True),
                       dict(sliding_window=None)),
    "olmo2-grouped": ("olmo2", dict(vocab_size=33, hidden_size=16, intermediate_size=22, num_hidden_layers=2,
                                    num_attention_heads=4, num_key_value_heads=2, rms_norm_eps=1e-3),
                      dict(rms_norm_eps=0.5)),
    "olmo2-tied": ("olmo2", dict(vocab_size=29, hidden_size=12, intermediate_size=14, num_hidden_layers=1,
                                 num_attention_heads=2, attention_bias=True, tie_word_embeddings=True),
                   dict(rope_parameters=PLAIN | {"rope_theta": 100.0})),
    "granite-factors": ("granite", dict(vocab_size=31, hidden_size=16, intermediate_size=18, num_hidden_layers=2,
                                        num_attention_heads=4, num_key_value_heads=2, embedding_multiplier=3.0,
                                        attention_multiplier=0.3, residual_multiplier=0.5, logits_scaling=8.0),
                        dict(residual_multiplier=1.0)),
    "granite-biases": ("granite", dict(vocab_size=27, hidden_size=12, intermediate_size=16, num_hidden_layers=1,
                                       num_attention_heads=2, attention_bias=True, mlp_bias=True,
                                       attention_multiplier=0.5, tie_word_embeddings=True),
                       dict(attention_multiplier=1.0)),
    "starcoder2-window": ("starcoder2", dict(vocab_size=31, hidden_size=16, intermediate_size=20, num_hidden_layers=2,
                                             num_attention_heads=4, num_key_value_heads=2, sliding_window=4,
                                             norm_epsilon=1e-3),
                          dict(sliding_window=None)),
    "starcoder2-plain": ("starcoder2", dict(vocab_size=27, hidden_size=12, intermediate_size=14, num_hidden_layers=1,
                                            num_attention_heads=2, num_key_value_heads=1, use_bias=False,
                                            tie_word_embeddings=False),
                         dict(hidden_act="relu")),
    "gpt_neox-parallel": ("gpt_neox", dict(vocab_size=31, hidden_size=16, intermediate_size=22, num_hidden_layers=2,
                                           num_attention_heads=2, layer_norm_eps=1e-3,
                                           rope_parameters=PLAIN | {"partial_rotary_factor": 0.5}),
                          dict(use_parallel_residual=False)),
    "gpt_neox-serial": ("gpt_neox", dict(vocab_size=27, hidden_size=24, intermediate_size=18, num_hidden_layers=2,
                                         num_attention_heads=3, use_parallel_residual=False, attention_bias=False,
                                         tie_word_embeddings=True,
                                         rope_parameters=PLAIN | {"partial_rotary_factor": 0.75}),
                        dict(rope_parameters=PLAIN | {"partial_rotary_factor": 0.25})),
    "bloom-tied": ("bloom", dict(vocab_size=33, hidden_size=16, n_layer=2, n_head=4, layer_norm_epsilon=1e-3),
                   dict(n_head=2)),
    "bloom-untied": ("bloom", dict(vocab_size=27, hidden_size=18, n_layer=1, n_head=3, tie_word_embeddings=False),
                     dict(n_head=2)),
    "phi-grouped": ("phi", dict(vocab_size=31, hidden_size=16, intermediate_size=22, num_hidden_layers=2,
                                num_attention_heads=2, num_key_value_heads=1, layer_norm_eps=1e-3),
                    dict(hidden_act="relu")),
    "phi-quarter": ("phi", dict(vocab_size=27, hidden_size=24, intermediate_size=18, num_hidden_layers=1,
                                num_attention_heads=3, rope_parameters=PLAIN | {"partial_rotary_factor": 0.25}),
                    dict(rope_parameters=PLAIN | {"partial_rotary_factor": 0.75})),
    "gptj-half": ("gptj", dict(vocab_size=31, n_embd=16, n_layer=2, n_head=2, rotary_dim=4, n_positions=96,
                               layer_norm_epsilon=1e-3),
                  dict(rotary_dim=2)),
    "gptj-whole": ("gptj", dict(vocab_size=27, n_embd=12, n_layer=1, n_head=3, rotary_dim=4, n_inner=20, n_positions=80,
                                activation_function="gelu"),
                   dict(rotary_dim=2)),
    "smollm3-nope": ("smollm3", dict(vocab_size=29, hidden_size=16, intermediate_size=20, num_hidden_layers=3,
                                     num_attention_heads=4, num_key_value_heads=2, no_rope_layers=[1, 0, 1],
                                     rms_norm_eps=1e-3),
                     dict(no_rope_layers=[1, 1, 1])),
    "smollm3-untied": ("smollm3", dict(vocab_size=33, hidden_size=12, intermediate_size=14, num_hidden_layers=2,
                                       num_attention_heads=2, num_key_value_heads=1, no_rope_layer_interval=2,
                                       attention_bias=True, mlp_bias=True, tie_word_embeddings=False),
                       dict(no_rope_layers=[0, 0])),
    "diffllama-grouped": ("diffllama", dict(vocab_size=29, hidden_size=16, intermediate_size=20, num_hidden_layers=3,
                                            num_attention_heads=4, num_key_value_heads=2, head_dim=6, rms_norm_eps=1e-3),
                          dict(rms_norm_eps=0.1)),
    "diffllama-tied": ("diffllama", dict(vocab_size=33, hidden_size=12, intermediate_size=14, num_hidden_layers=1,
                                         num_attention_heads=2, attention_bias=True, tie_word_embeddings=True),
                       dict(rope_parameters=PLAIN | {"rope_theta": 100.0})),
    "qwen3_moe-mixed": ("qwen3_moe", dict(vocab_size=29, hidden_size=16, intermediate_size=20, num_hidden_layers=2,
                                          num_attention_heads=4, num_key_value_heads=2, head_dim=6, num_experts=4,
                                          num_experts_per_tok=2, moe_intermediate_size=8, norm_topk_prob=True,
                                          mlp_only_layers=[0]),
                        dict(num_experts_per_tok=3)),
    "qwen3_moe-plain": ("qwen3_moe", dict(vocab_size=31, hidden_size=12, intermediate_size=16, num_hidden_layers=1,
                                          num_attention_heads=2, num_key_value_heads=1, head_dim=8, num_experts=3,
                                          num_experts_per_tok=2, moe_intermediate_size=4, norm_topk_prob=False,
                                          tie_word_embeddings=True, attention_bias=True),
                        dict(norm_topk_prob=True)),
    "falcon-grouped": ("falcon", dict(vocab_size=31, hidden_size=24, ffn_hidden_size=22, num_hidden_layers=2,
                                      num_attention_heads=6, num_kv_heads=2, new_decoder_architecture=True,
                                      layer_norm_epsilon=1e-3),
                       dict(activation="relu")),
    "falcon-shared": ("falcon", dict(vocab_size=27, hidden_size=16, ffn_hidden_size=18, num_hidden_layers=1,
                                     num_attention_heads=4, num_kv_heads=2, new_decoder_architecture=True,
                                     num_ln_in_parallel_attn=1, tie_word_embeddings=False),
                      dict(rope_parameters=PLAIN | {"rope_theta": 5.0})),
    "falcon-query": ("falcon", dict(vocab_size=29, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, bias=True,
                                    rope_parameters=PLAIN | {"rope_theta": 50.0}),
                     dict(layer_norm_epsilon=0.5)),
    "falcon-alibi": ("falcon", dict(vocab_size=33, hidden_size=16, ffn_hidden_size=26, num_hidden_layers=2,
                                    num_attention_heads=4, multi_query=False, parallel_attn=False, alibi=True, bias=True),
                     dict(alibi=False)),
    "opt-before": ("opt", dict(vocab_size=31, hidden_size=16, ffn_dim=22, num_hidden_layers=2, num_attention_heads=4,
                               max_position_embeddings=96, attention_dropout=0.1),
                   dict(activation_function="gelu")),
    "opt-after": ("opt", dict(vocab_size=27, hidden_size=12, ffn_dim=20, num_hidden_layers=2, num_attention_heads=3,
                              max_position_embeddings=80, word_embed_proj_dim=10, do_layer_norm_before=False,
                              dropout=0.0),
                  dict(activation_function="silu")),
    "opt-bare": ("opt", dict(vocab_size=29, hidden_size=18, ffn_dim=14, num_hidden_layers=1, num_attention_heads=2,
                             max_position_embeddings=72, word_embed_proj_dim=8, enable_bias=False,
                             _remove_final_layer_norm=True, tie_word_embeddings=False, dropout=0.0),
                 dict(activation_function="gelu")),
    "gpt_bigcode-query": ("gpt_bigcode", dict(vocab_size=31, n_positions=96, n_embd=16, n_layer=2, n_head=4, n_inner=22,
                                              layer_norm_epsilon=1e-3),
                          dict(scale_attn_weights=False)),
    "gpt_bigcode-heads": ("gpt_bigcode", dict(vocab_size=27, n_positions=80, n_embd=12, n_layer=1, n_head=3,
                                              multi_query=False, scale_attn_weights=False, tie_word_embeddings=False),
                          dict(activation_function="relu")),
    "stablelm-heads": ("stablelm", dict(vocab_size=31, hidden_size=24, intermediate_size=18, num_hidden_layers=2,
                                        num_attention_heads=4, num_key_value_heads=2, qk_layernorm=True,
                                        use_qkv_bias=True, layer_norm_eps=1e-3,
                                        rope_parameters=PLAIN | {"partial_rotary_factor": 0.34}),
                       dict(rope_parameters=PLAIN | {"partial_rotary_factor": 1.0})),
    "stablelm-parallel": ("stablelm", dict(vocab_size=27, hidden_size=16, intermediate_size=22, num_hidden_layers=1,
                                           num_attention_heads=2, num_key_value_heads=2, use_parallel_residual=True,
                                           tie_word_embeddings=True),
                          dict(hidden_act="relu")),
    "cohere-normed": ("cohere", dict(vocab_size=31, hidden_size=24, intermediate_size=18, num_hidden_layers=2,
                                     num_attention_heads=4, num_key_value_heads=2, use_qk_norm=True, logit_scale=0.5,
                                     layer_norm_eps=1e-3),
                      dict(layer_norm_eps=0.5)),
    "cohere-biases": ("cohere", dict(vocab_size=27, hidden_size=16, intermediate_size=20, num_hidden_layers=1,
                                     num_attention_heads=2, attention_bias=True, logit_scale=2.0,
                                     tie_word_embeddings=False, rope_parameters=PLAIN),
                      dict(logit_scale=1.0)),
    "qwen2_moe-mixed": ("qwen2_moe", dict(vocab_size=29, hidden_size=16, intermediate_size=20, num_hidden_layers=2,
                                          num_attention_heads=4, num_key_value_heads=2, num_experts=4,
                                          num_experts_per_tok=2, moe_intermediate_size=8, norm_topk_prob=True,
                                          shared_expert_intermediate_size=10, mlp_only_layers=[0],
                                          use_sliding_window=True, sliding_window=4),
                        dict(use_sliding_window=False, layer_types=["full_attention"] * 2)),
    "qwen2_moe-plain": ("qwen2_moe", dict(vocab_size=31, hidden_size=12, intermediate_size=16, num_hidden_layers=1,
                                          num_attention_heads=2, num_key_value_heads=1, num_experts=3,
                                          num_experts_per_tok=2, moe_intermediate_size=4,
                                          shared_expert_intermediate_size=6, qkv_bias=False, tie_word_embeddings=True),
                        dict(norm_topk_prob=True)),
    "mpt-clipped": ("mpt", dict(vocab_size=31, d_model=16, n_layers=2, n_heads=4, max_seq_len=96, layer_norm_epsilon=1e-3,
                                attn_config=dict(clip_qkv=0.7, softmax_scale=0.4)),
                    dict(attn_config=dict(clip_qkv=0.2, softmax_scale=0.4))),
    "mpt-slopes": ("mpt", dict(vocab_size=27, d_model=18, n_layers=1, n_heads=3, max_seq_len=80, tie_word_embeddings=False,
                               attn_config=dict(alibi_bias_max=2)),
                   dict(attn_config=dict(alibi_bias_max=8))),
    "deepseek_v3-groups": ("deepseek_v3", dict(vocab_size=29, hidden_size=12, intermediate_size=14, num_hidden_layers=2,
                                               num_attention_heads=2, num_key_value_heads=2, q_lora_rank=6,
                                               kv_lora_rank=8, qk_nope_head_dim=6, qk_rope_head_dim=4, v_head_dim=5,
                                               first_k_dense_replace=1, n_routed_experts=8, num_experts_per_tok=3,
                                               n_group=2, topk_group=1, moe_intermediate_size=4, n_shared_experts=2,
                                               rms_norm_eps=1e-3,
                                               rope_parameters=YARN | {"mscale": 0.7, "mscale_all_dim": 0.9}),
                           dict(topk_group=2)),
    "deepseek_v3-plain": ("deepseek_v3", dict(vocab_size=27, hidden_size=16, intermediate_size=14, num_hidden_layers=1,
                                              num_attention_heads=3, num_key_value_heads=3, q_lora_rank=None,
                                              kv_lora_rank=6, qk_nope_head_dim=4, qk_rope_head_dim=6, v_head_dim=4,
                                              first_k_dense_replace=0, n_routed_experts=4, num_experts_per_tok=2,
                                              n_group=1, topk_group=1, moe_intermediate_size=4, norm_topk_prob=False,
                                              routed_scaling_factor=1.0, rope_interleave=False, attention_bias=True,
                                              tie_word_embeddings=True),
                          dict(rope_interleave=True)),
    "mamba2-groups": ("mamba2", dict(vocab_size=29, hidden_size=12, num_hidden_layers=2, num_heads=4, head_dim=6,
                                     state_size=5, n_groups=2, conv_kernel=4, chunk_size=4, layer_norm_epsilon=1e-3),
                      dict(time_step_limit=[0.1, 0.4])),
    "mamba2-biases": ("mamba2", dict(vocab_size=31, hidden_size=8, num_hidden_layers=1, num_heads=2, head_dim=12,
                                     expand=3, state_size=7, n_groups=1, conv_kernel=3, use_bias=True,
                                     use_conv_bias=False, tie_word_embeddings=True),
                      dict(layer_norm_epsilon=0.5)),
    "lfm2-mixed": ("lfm2", dict(vocab_size=29, hidden_size=12, intermediate_size=27, num_hidden_layers=3,
                                num_attention_heads=3, num_key_value_heads=1, head_dim=6, conv_L_cache=4,
                                layer_types=["conv", "full_attention", "conv"], block_multiple_of=5, norm_eps=1e-2,
                                block_ffn_dim_multiplier=1.3, tie_word_embeddings=False,
                                rope_parameters=PLAIN | {"rope_theta": 50.0}),
                   dict(norm_eps=0.5)),
    "lfm2-biases": ("lfm2", dict(vocab_size=31, hidden_size=16, intermediate_size=22, num_hidden_layers=2,
                                 num_attention_heads=2, num_key_value_heads=2, conv_bias=True, full_attn_idxs=[0],
                                 block_auto_adjust_ff_dim=False, rope_parameters=YARN),
                    dict(rope_parameters=PLAIN | {"rope_theta": 300.0})),
    "gpt_oss-windows": ("gpt_oss", dict(vocab_size=29, hidden_size=12, intermediate_size=20, num_hidden_layers=3,
                                        num_attention_heads=4, num_key_value_heads=2, head_dim=6, sliding_window=4,
                                        num_local_experts=5, num_experts_per_tok=2, swiglu_limit=0.5,
                                        rms_norm_eps=1e-3, rope_parameters=RAMP),
                        dict(swiglu_limit=1.0)),
    "gpt_oss-tied": ("gpt_oss", dict(vocab_size=31, hidden_size=16, intermediate_size=4, num_hidden_layers=2,
                                     num_attention_heads=2, num_key_value_heads=1, head_dim=10, sliding_window=3,
                                     layer_types=["full_attention", "sliding_attention"], num_local_experts=3,
                                     num_experts_per_tok=3, swiglu_alpha=0.75, attention_bias=False,
                                     tie_word_embeddings=True, rope_parameters=PLAIN),
                     dict(swiglu_alpha=3.0)),
}


def mpt_biases(self, heads, length, _bias_max=8, device=None):
    """The bias with the exponent of config.json, as in the authors' code; the reference always takes its default."""
    return modeling_mpt.build_mpt_alibi_tensor(heads, length, self.config.attn_config.alibi_bias_max, device)


modeling_mpt.MptModel.build_mpt_alibi_tensor = mpt_biases


def kernel(config):
    """The attention code to compare with. Falcon's eager code adds ALiBi twice: in the mask, and to the scores."""
    return "sdpa" if getattr(config, "alibi", False) else "eager"


def made(model_type, options):
    """A model in eval mode, before its weights are drawn, without special tokens that would end a text."""
    # The configuration class modifies the dictionaries that it receives.
    options = copy.deepcopy(options)
    config = AutoConfig.for_model(model_type, **options, bos_token_id=None, eos_token_id=None, pad_token_id=None)
    config._attn_implementation = kernel(config)
    return unprojected(AutoModelForCausalLM.from_config(config, attn_implementation=kernel(config)).float().eval())


def unprojected(model):
    """Keep the last hidden state as it is before OPT projects it to the width of the embeddings."""
    decoder, inputs = getattr(model.base_model, "decoder", None), []

    def replace(_, given, output):
        if output.hidden_states:
            output.hidden_states = (*output.hidden_states[:-1], inputs[-1])
        inputs.clear()

    if getattr(decoder, "project_out", None) is not None:
        decoder.project_out.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
        decoder.register_forward_hook(replace)
    return model


QUERIES_KEYS = ("q_proj.weight", "k_proj.weight", "c_attn.weight", "qkv_proj.weight", "query_key_value.weight",
                "Wqkv.weight")


def draw(model, seed, doubled=QUERIES_KEYS):
    """Draw weights large enough that every option matters."""
    rng = np.random.default_rng(seed)
    for name, parameter in model.named_parameters():
        values = torch.from_numpy(rng.standard_normal(tuple(parameter.shape)).astype(np.float32))
        scale = 0.3 if parameter.dim() == 1 else 1.0 / parameter.shape[-1] ** 0.5
        if any(part in name for part in doubled):
            scale *= 2.0
        is_norm = "norm" in name.lower() or ".ln_" in name
        parameter.data = values * scale + (1.0 if is_norm and name.endswith("weight") else 0.0)
    for name, bias in selection_biases(model):
        bias.copy_(torch.from_numpy(rng.standard_normal(tuple(bias.shape)).astype(np.float32)) * 0.1)


def selection_biases(model):
    """The buffers of a model that a file has: what DeepSeek V3 adds to the scores of experts. They have no gradient."""
    return [(name, buffer) for name, buffer in model.named_buffers() if name.endswith("e_score_correction_bias")]


def texts(vocab):
    rng = np.random.default_rng(5)
    return [torch.from_numpy(rng.integers(0, vocab, n)) for n in LENGTHS]


def padded(rows, left):
    ids, mask = torch.zeros(len(rows), WIDTH, dtype=torch.long), torch.zeros(len(rows), WIDTH, dtype=torch.long)
    for row, text in enumerate(rows):
        where = slice(WIDTH - len(text), WIDTH) if left else slice(0, len(text))
        ids[row, where], mask[row, where] = text, 1
    return ids, mask, (mask.cumsum(1) - 1).clamp(min=0)


def saved_form(model_type, name, value):
    """The tensors, by name, in which a folder holds a parameter: experts have one for each map."""
    if model_type == "gpt_neox" and name == "lm_head.weight":
        return [("embed_out.weight", value)]
    if model_type not in EXPERT_MAPS or ".mlp." not in name:
        return [(name, value)]
    part, gate, up, down = EXPERT_MAPS[model_type]
    base, map = name.split(".mlp.")
    if map == "experts.down_proj":
        return [(f"{base}.{part}.experts.{e}.{down}.weight", one) for e, one in enumerate(value)]
    if map == "experts.gate_up_proj":
        halves = [(e, one.chunk(2)) for e, one in enumerate(value)]
        return [(f"{base}.{part}.experts.{e}.{w}.weight", half) for e, pair in halves for w, half in zip((gate, up), pair)]
    return [(f"{base}.{part}.{map}", value)]


# Names of the feed-forward part and of the maps of an expert in a folder.
EXPERT_MAPS = {"mixtral": ("block_sparse_moe", "w1", "w3", "w2")} | {
    model_type: ("mlp", "gate_proj", "up_proj", "down_proj") for model_type in ("qwen2_moe", "qwen3_moe", "deepseek_v3")}


def run(model, rows, left=False, **more):
    ids, mask, positions = padded(rows, left)
    return model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False, **more), mask


def states(model, rows, result):
    """Embeddings, the states behind each layer but the last, and those behind the last norm."""
    if model.config.model_type != "mamba2":
        return result.hidden_states
    # The class leaves out the embeddings, and has the states behind the last layer too.
    return model.get_input_embeddings()(padded(rows, False)[0]), *result.hidden_states[:-2], result.hidden_states[-1]


def left_logits(model, rows):
    """Logits of rows padded on the left, and the mask."""
    result, mask = run(model, rows, left=True)
    if not (getattr(model.config, "use_bias", False) or getattr(model.config, "conv_bias", False)):
        return result.logits, mask
    # Behind the mask, the class adds the bias to padding too, and the convolution reads it: run the rows one at a time.
    logits = torch.zeros_like(result.logits)
    for row, text in enumerate(rows):
        logits[row, WIDTH - len(text):] = model(input_ids=text[None], use_cache=False).logits[0]
    return logits, mask


def greedy(model, prompt):
    """Greedy tokens with the cache, and the minimum logit margin to the second-best token. Checks them without the cache."""
    ids, leads = prompt.clone()[None], []
    cached = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=GREEDY, do_sample=False)
    for _ in range(GREEDY):
        best = model(input_ids=ids, use_cache=False).logits[0, -1].topk(2)
        leads.append((best.values[0] - best.values[1]).item())
        ids = torch.cat([ids, best.indices[:1][None]], 1)
    assert torch.equal(ids, cached), "tokens with and without cache differ"
    return ids[0, len(prompt):], min(leads)


def every_expert_is_used(model):
    """Whether every expert has a gradient, so that none could be another's."""
    run(model, texts(model.config.vocab_size))[0].logits.square().sum().backward()
    gradients = [p.grad for name, p in model.named_parameters() if "experts.down_proj" in name]
    used = all(gradient.flatten(1).abs().amax(1).gt(0).all() for gradient in gradients)
    model.zero_grad()
    return used


def lively(name, model):
    """Draw weights until the greedy tokens vary, each has a clear margin, and every expert is used."""
    for seed in range(1000):
        draw(model, seed)
        model.tie_weights()
        with torch.no_grad():
            tokens, lead = greedy(model, texts(model.config.vocab_size)[0][:5])
        if lead > 2e-3 and len(set(tokens.tolist())) >= 6 and every_expert_is_used(model):
            return tokens
    raise AssertionError(f"{name}: no seed gives varied tokens with clear margins")


def case(name, out):
    model_type, options, change = CASES[name]
    model = made(model_type, options)
    tokens = lively(name, model)
    rows = texts(model.config.vocab_size)
    result, mask = run(model, rows, output_hidden_states=True)
    logits, live = result.logits.detach(), mask.bool()
    rng = np.random.default_rng(6)
    cotangent = torch.from_numpy(rng.standard_normal(tuple(logits.shape)).astype(np.float32)) * live[..., None]
    (result.logits * cotangent).sum().backward()
    with torch.no_grad():
        left, left_mask = left_logits(model, rows)
        agrees(left[left_mask.bool()], logits[live], 1e-5)
        other = made(model_type, options | change)
        other.load_state_dict(model.state_dict())
        control = run(other, rows)[0].logits
    differs(control[live], logits[live], 1e-2)
    tensors = {"ids": padded(rows, False)[0], "left.ids": padded(rows, True)[0], "lengths": torch.tensor(LENGTHS),
               "logits": logits, "left.logits": left, "control": control, "cotangent": cotangent,
               "greedy": tokens, "prompt": rows[0][:5]}
    tensors |= {f"hidden.{i}": state.detach() for i, state in enumerate(states(model, rows, result))}
    tensors |= {f"gradient.{name}": torch.zeros_like(bias) for name, bias in selection_biases(model)}
    for n, p in model.named_parameters():
        tensors |= {f"gradient.{name}": value for name, value in saved_form(model_type, n, p.grad)}
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    model.config.use_cache = True
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "control.json").write_text(other.config.to_json_string(use_diff=False))
    save_file({n: t.detach().clone().contiguous() for n, t in tensors.items()}, folder / "expected.safetensors")
    print(f"{name}: {len(set(tokens.tolist()))} different tokens, control {(control - logits)[live].abs().max():.2f}")


def check(folder, fixtures):
    """Check that models saved by Kiln load without missing or unexpected keys and give the same logits."""
    lines = []
    for saved in sorted(path for path in folder.iterdir() if (path / "config.json").exists()):
        attention = kernel(AutoConfig.from_pretrained(saved))
        model, info = AutoModelForCausalLM.from_pretrained(saved, output_loading_info=True, attn_implementation=attention)
        for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
            assert not info[what], f"{saved.name}: {what}: {info[what]}"
        expected = load_file(fixtures / saved.name / "expected.safetensors")
        with torch.no_grad():
            rows = [ids[:n] for ids, n in zip(expected["ids"], expected["lengths"].tolist())]
            result, mask = run(model.eval(), rows)
        live = mask.bool()
        agrees(result.logits[live], expected["logits"][live], 1e-6)
        files = len(list(saved.glob("*.safetensors")))
        lines.append(f"{saved.name}: {files} file(s), no key missing, unexpected or mismatched; "
                     f"logits apart by {(result.logits - expected['logits'])[live].abs().max():.1e}")
    return lines


def main():
    parser = checking.options(__doc__)
    parser.add_argument("--only", choices=CASES, help="write only this case")
    asked = checking.parsed(parser)
    if asked.out:
        for name in [asked.only] if asked.only else CASES:
            case(name, asked.out)
    if asked.check:
        lines = check(asked.check, asked.fixtures)
        checking.record("Models", [transformers, torch, safetensors], lines, asked.record)


if __name__ == "__main__":
    main()
