# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.15.0", "transformers==5.24.0", "numpy==2.4.6", "safetensors==0.8.0"]
# ///
"""Write tiny random models of transformers as Kiln describes them: a configuration, and weights under Kiln's names.

    python tools/fixtures_parts.py --out crates/kiln-laws/fixtures/parts

Each file has the tensors `weights.<name>` (matrices as [in, out]), `tokens` [2, 9], `logits` [18, vocabulary], `cotangent`, and
`dembedding`, the gradient of sum(logits * cotangent) with respect to the token table. Its metadata has the configuration of
the model (`config`) and one that lacks an option (`control`), as JSON; the test requires that the control's logits differ.
Weights are exact in f32; everything else is computed in f64 where the reference does not use f32 itself.
"""

import argparse
import copy
import json
import math
from pathlib import Path

import numpy as np
import torch
import transformers as hf
from safetensors.torch import save as to_bytes

HIDDEN, HEADS, GROUPS, INNER, VOCAB, LENGTH = 16, 4, 2, 20, 24, 9
BASE = dict(vocab_size=VOCAB, hidden_size=HIDDEN, num_hidden_layers=2, num_attention_heads=HEADS)
SPECIAL = dict(pad_token_id=0, bos_token_id=1, eos_token_id=2)
LLAMA = BASE | SPECIAL | dict(num_key_value_heads=GROUPS, intermediate_size=INNER, max_position_embeddings=32)
MODELS = {}


def model(name):
    """Register a function that returns the reference's configuration, Kiln's configuration, the control's, and the names."""
    return lambda function: MODELS.setdefault(name, function)


# --- Kiln's configurations ---


def rms(eps=1e-6, **more):
    return {"rms": {"eps": eps} | more}


def layer(eps=1e-5, bias=True):
    return {"layer": {"eps": eps, "bias": bias}}


def rotary(theta=10000.0, **more):
    return {"rotary": {"theta": theta} | more}


def heads(**options):
    return {"heads": {"heads": HEADS} | options}


def attention(projection, **more):
    return {"attention": {"projection": projection} | more}


def gated(activation="silu", intermediate=INNER, **more):
    return {"gated_mlp": {"intermediate": intermediate, "activation": activation} | more}


def mlp(activation, intermediate=INNER, bias=True):
    return {"mlp": {"intermediate": intermediate, "activation": activation, "bias": bias}}


def under(junction, norm, *parts, **more):
    return {"junction": {junction: {"norm": norm} | more}, "parts": list(parts)}


def language(tied=False, **more):
    return {"language": {"tied": tied} | more}


def window(before, after=0):
    return {"window": {"before": before, "after": after}}


def decoder(blocks, norm, position, head, **more):
    return {"vocab": VOCAB, "hidden": HIDDEN, "blocks": blocks, "norm": norm, "position": position, "head": head} | more


def encoder(blocks, norm, position, head, **more):
    return decoder(blocks, norm, position, head, stack="encoder", visibility="bidirectional") | more


def block(*sublayers, repeat=2):
    return {"repeat": repeat, "sublayers": list(sublayers)}


def changed(config, *changes):
    """A copy of the configuration with values changed: (path, value); None removes the key."""
    config = copy.deepcopy(config)
    for path, value in changes:
        *parents, last = path
        table = config
        for key in parents:
            table = table[key]
        if value is None:
            del table[last]
        else:
            table[last] = value
    return config


def part(block, sublayer, index=0):
    return ["blocks", block, "sublayers", sublayer, "parts", index]


# --- Kiln's names ---


class Names:
    """Kiln's weights, taken from the reference's by name."""

    def __init__(self, state):
        self.state, self.weights = state, {}

    def take(self, ours, theirs, form=lambda x: x):
        self.weights[ours] = form(self.state[theirs])

    def linear(self, ours, theirs, bias=False):
        self.take(f"{ours}.weight", f"{theirs}.weight", lambda x: x.T)
        if bias:
            self.take(f"{ours}.bias", f"{theirs}.bias")

    def norm(self, ours, theirs, bias=False):
        self.take(f"{ours}.weight", f"{theirs}.weight", lambda x: x.flatten())
        if bias:
            self.take(f"{ours}.bias", f"{theirs}.bias")

    def fused(self, ours, theirs, split, bias=False):
        """A fused map whose rows `split` divides into those of our maps."""
        for kind, form in (("weight", lambda x: x.T), ("bias", lambda x: x)):
            if kind == "weight" or bias:
                for name, rows in zip(ours, split(self.state[f"{theirs}.{kind}"])):
                    self.weights[f"{name}.{kind}"] = form(rows)


def by_head(x):
    """q, k and v of rows [head, (q, k, v), width]."""
    rows = x.reshape(HEADS, 3, -1, *x.shape[1:])
    return [rows[:, i].reshape(-1, *x.shape[1:]) for i in range(3)]


def by_group(x):
    """q, k and v of rows [group, (queries of the group, k, v), width]."""
    rows = x.reshape(GROUPS, HEADS // GROUPS + 2, -1, *x.shape[1:])
    return [r.reshape(-1, *x.shape[1:]) for r in (rows[:, :-2], rows[:, -2], rows[:, -1])]


def rows(*sizes):
    return lambda x: x.split(list(sizes))


QKV = ("attention.q", "attention.k", "attention.v")


def fused_qkv(names, block, theirs, split, bias=False):
    names.fused([f"{block}.{map}" for map in QKV], theirs, split, bias)


def llama_layer(names, i, *, bias=False, out_bias=False, mlp=True, mlp_norm="post_attention_layernorm", norm_bias=False,
                parallel=False, o="o_proj"):
    ours, theirs = f"blocks.{i}", f"model.layers.{i}"
    for map, own in (("q", bias), ("k", bias), ("v", bias)):
        names.linear(f"{ours}.attention.{map}", f"{theirs}.self_attn.{map}_proj", own)
    names.linear(f"{ours}.attention.o", f"{theirs}.self_attn.{o}", out_bias)
    names.norm(f"{ours}.attention_norm", f"{theirs}.input_layernorm", norm_bias)
    if not parallel:
        names.norm(f"{ours}.feed_forward_norm", f"{theirs}.{mlp_norm}", norm_bias)
    if mlp:
        gated_maps(names, f"{ours}.feed_forward", f"{theirs}.mlp")


def gated_maps(names, ours, theirs):
    for map in ("gate", "up", "down"):
        names.linear(f"{ours}.{map}", f"{theirs}.{map}_proj")


def expert_maps(names, i, shared=None):
    ours, theirs = f"blocks.{i}.feed_forward", f"model.layers.{i}.mlp"
    names.linear(f"{ours}.router", f"{theirs}.gate")
    half = names.state[f"{theirs}.experts.gate_up_proj"].shape[1] // 2
    names.take(f"{ours}.experts.gate.weight", f"{theirs}.experts.gate_up_proj", lambda x: x[:, :half].transpose(1, 2))
    names.take(f"{ours}.experts.up.weight", f"{theirs}.experts.gate_up_proj", lambda x: x[:, half:].transpose(1, 2))
    names.take(f"{ours}.experts.down.weight", f"{theirs}.experts.down_proj", lambda x: x.transpose(1, 2))
    if shared:
        gated_maps(names, f"{ours}.shared", f"{theirs}.{shared}")


def qk_norms(names, i, bias=False, q="q_norm", k="k_norm"):
    for ours, theirs in (("q_norm", q), ("k_norm", k)):
        names.norm(f"blocks.{i}.attention.{ours}", f"model.layers.{i}.self_attn.{theirs}", bias)


def ends(names, norm="model.norm", norm_bias=False, head=True):
    names.take("embedding", "model.embed_tokens.weight")
    names.norm("norm", norm, norm_bias)
    if head:
        names.linear("head", "lm_head")


def llama_names(head=True, norm_bias=False, extra=lambda names, i: None, **options):
    def fill(names):
        ends(names, norm_bias=norm_bias, head=head)
        for i in range(2):
            llama_layer(names, i, norm_bias=norm_bias, **options)
            extra(names, i)

    return fill


def each_block(fill_ends, fill_block):
    def fill(names):
        fill_ends(names)
        for i in range(2):
            fill_block(names, i)

    return fill


# --- decoders like Llama ---


def llama_like(norm, qkv, feed_forward, head=None, junction="pre", position=None, **more):
    return decoder([block(under(junction, norm, qkv), under(junction, norm, feed_forward))], norm,
                   position or rotary(), head or language(), **more)


QK_NORM = [*part(0, 0), "attention", "projection", "heads", "qk_norm"]


@model("qwen3")
def qwen3():
    projection = heads(kv_heads=GROUPS, head_dim=6, qk_norm={"norm": rms(), "scope": "head"})
    config = llama_like(rms(), attention(projection), gated())
    return hf.Qwen3Config(**LLAMA, head_dim=6), config, changed(config, (QK_NORM, None)), llama_names(extra=qk_norms)


@model("gemma")
def gemma():
    norm = rms(unit_offset=True)
    config = llama_like(norm, attention(heads(kv_heads=GROUPS, head_dim=6)), gated("gelu_tanh"), language(True),
                        embedding={"scale": 4.0})
    control = changed(config, (["norm"], rms()))
    return hf.GemmaConfig(**LLAMA, head_dim=6), config, control, llama_names(head=False)


@model("gemma2")
def gemma2():
    norm = rms(unit_offset=True)
    projection = heads(kv_heads=GROUPS, head_dim=6, scale=9 ** -0.5)
    score = {"softmax": {"softcap": 3.0}}

    def of(pattern):
        return block(under("sandwich", norm, attention(projection, pattern=pattern, score=score)),
                     under("sandwich", norm, gated("gelu_tanh")), repeat=1)

    config = decoder([of(window(2)), of("global")], norm, rotary(), language(True, softcap=2.0), embedding={"scale": 4.0})

    def names(names):
        ends(names, head=False)
        for i in range(2):
            llama_layer(names, i)
            for ours, place, theirs in (("attention_norm", "before", "input_layernorm"),
                                        ("attention_norm", "after", "post_attention_layernorm"),
                                        ("feed_forward_norm", "before", "pre_feedforward_layernorm"),
                                        ("feed_forward_norm", "after", "post_feedforward_layernorm")):
                names.norm(f"blocks.{i}.{ours}.{place}", f"model.layers.{i}.{theirs}")
                names.weights.pop(f"blocks.{i}.{ours}.weight", None)

    reference = hf.Gemma2Config(**LLAMA, head_dim=6, sliding_window=3, query_pre_attn_scalar=9, attn_logit_softcapping=3.0,
                                final_logit_softcapping=2.0,
                                layer_types=["sliding_attention", "full_attention"])
    return reference, config, changed(config, (["head", "language", "softcap"], None)), names


@model("olmo2")
def olmo2():
    projection = heads(kv_heads=GROUPS, qk_norm={"norm": rms(1e-5), "scope": "all_heads"})
    config = llama_like(rms(1e-5), attention(projection), gated(), junction="res_post")

    def names(names):
        ends(names)
        for i in range(2):
            names.state[f"model.layers.{i}.input_layernorm.weight"] = torch.zeros(0)
            llama_layer(names, i, mlp_norm="post_feedforward_layernorm")
            names.norm(f"blocks.{i}.attention_norm", f"model.layers.{i}.post_attention_layernorm")
            qk_norms(names, i)

    control = changed(config, ([*QK_NORM, "scope"], "each_head"))
    return hf.Olmo2Config(**LLAMA, rms_norm_eps=1e-5), config, control, names


@model("granite")
def granite():
    norm = rms()
    parts = [under("pre", norm, f, residual_multiplier=0.5) for f in (attention(heads(kv_heads=GROUPS, scale=0.3)), gated())]
    config = decoder([block(*parts)], norm, rotary(), language(scale=0.125), embedding={"scale": 3.0})
    reference = hf.GraniteConfig(**LLAMA, embedding_multiplier=3.0, attention_multiplier=0.3, residual_multiplier=0.5,
                                 logits_scaling=8.0)
    control = changed(config, (["blocks", 0, "sublayers", 0, "junction", "pre", "residual_multiplier"], 1.0))
    return reference, config, control, llama_names()


@model("smollm3")
def smollm3():
    def of(**more):
        return block(under("pre", rms(), attention(heads(kv_heads=GROUPS), **more)), under("pre", rms(), gated()), repeat=1)

    config = decoder([of(), of(position="none")], rms(), rotary(2000000.0), language(True))
    control = changed(config, ([*part(1, 0), "attention", "position"], None))
    return hf.SmolLM3Config(**LLAMA, no_rope_layers=[1, 0], tie_word_embeddings=True), config, control, llama_names(head=False)


@model("starcoder2")
def starcoder2():
    config = llama_like(layer(), attention(heads(kv_heads=GROUPS, bias=True), pattern=window(2)), mlp("gelu_tanh"),
                        language(True))

    def extra(names, i):
        names.linear(f"blocks.{i}.feed_forward.up", f"model.layers.{i}.mlp.c_fc", True)
        names.linear(f"blocks.{i}.feed_forward.down", f"model.layers.{i}.mlp.c_proj", True)

    control = changed(config, ([*part(0, 0), "attention", "pattern"], None))
    reference = hf.Starcoder2Config(**LLAMA, sliding_window=3)
    return reference, config, control, llama_names(head=False, bias=True, out_bias=True, norm_bias=True, mlp=False, extra=extra)


@model("cohere")
def cohere():
    norm = layer(bias=False)
    projection = heads(kv_heads=GROUPS, qk_norm={"norm": norm, "scope": "each_head"})
    config = decoder([block(under("pre", norm, attention(projection), gated()))], norm, rotary(500000.0, interleaved=True),
                     language(True, scale=0.25))
    reference = hf.CohereConfig(**LLAMA, use_qk_norm=True, logit_scale=0.25)
    control = changed(config, (["position", "rotary", "interleaved"], False))
    return reference, config, control, llama_names(head=False, parallel=True, extra=qk_norms)


@model("stablelm")
def stablelm():
    projection = heads(kv_heads=GROUPS, bias=True, out_bias=False, qk_norm={"norm": layer(bias=False), "scope": "each_head"})
    config = llama_like(layer(), attention(projection), gated(), position=rotary(partial_factor=0.5))

    def extra(names, i):
        for ours, theirs, count in (("q_norm", "q_layernorm", HEADS), ("k_norm", "k_layernorm", GROUPS)):
            own = [names.state[f"model.layers.{i}.self_attn.{theirs}.norms.{h}.weight"] for h in range(count)]
            names.weights[f"blocks.{i}.attention.{ours}.weight"] = torch.cat(own)

    reference = hf.StableLmConfig(**LLAMA, qk_layernorm=True, use_qkv_bias=True, layer_norm_eps=1e-5,
                                  rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5})
    control = changed(config, (["position", "rotary", "partial_factor"], 1.0))
    return reference, config, control, llama_names(norm_bias=True, bias=True, extra=extra)


@model("phi")
def phi():
    projection = heads(bias=True, qk_norm={"norm": layer(), "scope": "head"})
    config = decoder([block(under("pre", layer(), attention(projection), mlp("gelu_tanh")))], layer(),
                     rotary(partial_factor=0.5), language(bias=True))

    def names(names):
        ends(names, "model.final_layernorm", True)
        names.take("head.bias", "lm_head.bias")
        for i in range(2):
            llama_layer(names, i, bias=True, out_bias=True, mlp=False, norm_bias=True, parallel=True, o="dense")
            names.linear(f"blocks.{i}.feed_forward.up", f"model.layers.{i}.mlp.fc1", True)
            names.linear(f"blocks.{i}.feed_forward.down", f"model.layers.{i}.mlp.fc2", True)
            qk_norms(names, i, True, "q_layernorm", "k_layernorm")

    reference = hf.PhiConfig(**LLAMA | dict(num_key_value_heads=HEADS), qk_layernorm=True, hidden_act="gelu_new",
                             rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5})
    return reference, config, changed(config, (QK_NORM, None)), names


# --- mixtures of experts ---


def experts(**options):
    return {"experts": {"router_aux_loss_coef": 0.0, "router_z_loss_coef": 0.0} | options}


@model("mixtral")
def mixtral():
    moe = experts(num_experts=4, top_k=2, norm_topk_prob=True, expert=gated())
    config = llama_like(rms(1e-5), attention(heads(kv_heads=GROUPS)), moe, position=rotary(1000000.0))
    control = changed(config, ([*part(0, 1), "experts", "norm_topk_prob"], False))
    reference = hf.MixtralConfig(**LLAMA, num_local_experts=4, num_experts_per_tok=2,
                                 rope_parameters={"rope_type": "default", "rope_theta": 1000000.0})
    return reference, config, control, llama_names(mlp=False, extra=expert_maps)


@model("qwen2_moe")
def qwen2_moe():
    moe = experts(num_experts=4, top_k=2, norm_topk_prob=False, expert=gated(intermediate=6),
                  shared_expert=gated(intermediate=10), shared_expert_gate=True)
    config = llama_like(rms(), attention(heads(kv_heads=GROUPS, bias=True, out_bias=False)), moe)

    def extra(names, i):
        expert_maps(names, i, "shared_expert")
        names.linear(f"blocks.{i}.feed_forward.shared_gate", f"model.layers.{i}.mlp.shared_expert_gate")

    reference = hf.Qwen2MoeConfig(**LLAMA, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=6,
                                  shared_expert_intermediate_size=10, norm_topk_prob=False)
    control = changed(config, ([*part(0, 1), "experts", "shared_expert_gate"], False))
    return reference, config, control, llama_names(mlp=False, bias=True, extra=extra)


@model("qwen3_moe")
def qwen3_moe():
    qkv = attention(heads(kv_heads=GROUPS, head_dim=6, qk_norm={"norm": rms(), "scope": "head"}))
    moe = experts(num_experts=4, top_k=2, norm_topk_prob=True, expert=gated(intermediate=6))

    def of(feed_forward):
        return block(under("pre", rms(), qkv), under("pre", rms(), feed_forward), repeat=1)

    config = decoder([of(gated()), of(moe)], rms(), rotary(), language())

    def names(names):
        ends(names)
        for i in range(2):
            llama_layer(names, i, mlp=i == 0)
            qk_norms(names, i)
        expert_maps(names, 1)

    reference = hf.Qwen3MoeConfig(**LLAMA, head_dim=6, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=6,
                                  norm_topk_prob=True, mlp_only_layers=[0])
    return reference, config, changed(config, ([*part(1, 1), "experts", "top_k"], 3)), names


R, N, P, E = 7, 5, 4, 3


def latent_layer(names, i, q_rank=None, bias=False):
    ours, theirs = f"blocks.{i}.attention", f"model.layers.{i}.self_attn"
    if q_rank:
        names.linear(f"{ours}.q_down", f"{theirs}.q_a_proj", bias)
        names.norm(f"{ours}.q_norm", f"{theirs}.q_a_layernorm")
        names.linear(f"{ours}.q", f"{theirs}.q_b_proj")
    else:
        names.linear(f"{ours}.q", f"{theirs}.q_proj")
    names.fused([f"{ours}.kv_down", f"{ours}.k_rope"], f"{theirs}.kv_a_proj_with_mqa", rows(R, P), bias)
    names.norm(f"{ours}.kv_norm", f"{theirs}.kv_a_layernorm")
    up = names.state[f"{theirs}.kv_b_proj.weight"].reshape(HEADS, N + E, R)
    names.weights[f"{ours}.k"] = up[:, :N].reshape(-1, R).T
    names.weights[f"{ours}.v"] = up[:, N:].reshape(-1, R).T
    names.linear(f"{ours}.o", f"{theirs}.o_proj", bias)
    names.norm(f"blocks.{i}.attention_norm", f"model.layers.{i}.input_layernorm")
    names.norm(f"blocks.{i}.feed_forward_norm", f"model.layers.{i}.post_attention_layernorm")


def deepseek(moe, projection, position):
    latent = {"latent": {"heads": HEADS, "kv_lora_rank": R, "qk_nope_head_dim": N, "qk_rope_head_dim": P, "v_head_dim": E,
                         "norm": rms()} | projection}

    def of(feed_forward):
        return block(under("pre", rms(), attention(latent)), under("pre", rms(), feed_forward), repeat=1)

    return decoder([of(gated()), of(moe)], rms(), position, language())


DEEPSEEK = LLAMA | dict(num_key_value_heads=HEADS, kv_lora_rank=R, qk_nope_head_dim=N, qk_rope_head_dim=P, v_head_dim=E,
                        n_routed_experts=8, n_group=4, topk_group=2, num_experts_per_tok=3, moe_intermediate_size=6,
                        first_k_dense_replace=1, n_shared_experts=2, routed_scaling_factor=2.5)


def deepseek_names(bias_name=None, **options):
    def fill(names):
        ends(names)
        for i in range(2):
            latent_layer(names, i, **options)
        gated_maps(names, "blocks.0.feed_forward", "model.layers.0.mlp")
        expert_maps(names, 1, "shared_experts")
        if bias_name:
            names.take("blocks.1.feed_forward.selection_bias", f"model.layers.1.mlp.gate.{bias_name}")

    return fill


@model("deepseek_v3")
def deepseek_v3():
    mscale = 0.1 * 0.8 * math.log(4.0) + 1.0
    yarn = {"yarn": {"factor": 4.0, "original_max_position_embeddings": 8, "attention_factor": 1.0}}
    moe = experts(num_experts=8, top_k=3, scoring_func="sigmoid", selection_bias={}, norm_topk_prob=True,
                  groups={"n_group": 4, "topk_group": 2, "score": "top_two_sum"}, routed_scaling_factor=2.5,
                  expert=gated(intermediate=6), shared_expert=gated(intermediate=12))
    projection = {"q_lora_rank": 9, "bias": True, "scale": (N + P) ** -0.5 * mscale**2}
    config = deepseek(moe, projection, rotary(interleaved=True, scaling=yarn))
    reference = hf.DeepseekV3Config(**DEEPSEEK, q_lora_rank=9, norm_topk_prob=True, attention_bias=True,
                                    rope_parameters={"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "mscale": 0.8,
                                                     "mscale_all_dim": 0.8, "original_max_position_embeddings": 8,
                                                     "beta_fast": 32, "beta_slow": 1})
    control = changed(config, ([*part(1, 1), "experts", "groups"], None))
    return reference, config, control, deepseek_names("e_score_correction_bias", q_rank=9, bias=True)


@model("deepseek_v2")
def deepseek_v2():
    moe = experts(num_experts=8, top_k=3, norm_topk_prob=False, routed_scaling_factor=2.5,
                  groups={"n_group": 4, "topk_group": 2, "score": "max"},
                  expert=gated(intermediate=6), shared_expert=gated(intermediate=12))
    config = deepseek(moe, {}, rotary(interleaved=True))
    reference = hf.DeepseekV2Config(**DEEPSEEK, q_lora_rank=None, topk_method="group_limited_greedy", norm_topk_prob=False)
    control = changed(config, ([*part(1, 1), "experts", "groups", "score"], "top_two_sum"))
    return reference, config, control, deepseek_names()


# --- decoders like GPT ---


def gpt_neox_of(parallel):
    parts = [attention(heads(bias=True)), mlp("gelu")]
    if parallel:
        sublayers = [under("pre", "none", *parts) | {"part_norm": layer()}]
        control = [under("pre", layer(), *parts)]
    else:
        sublayers = [under("pre", layer(), part) for part in parts]
        control = [under("pre", "none", *parts) | {"part_norm": layer()}]

    config = decoder([block(*sublayers)], layer(), rotary(partial_factor=0.5), language())

    def fill_ends(names):
        names.take("embedding", "gpt_neox.embed_in.weight")
        names.norm("norm", "gpt_neox.final_layer_norm", True)
        names.linear("head", "lm_head")

    def fill_block(names, i):
        ours, theirs = f"blocks.{i}", f"gpt_neox.layers.{i}"
        names.norm(f"{ours}.attention_norm", f"{theirs}.input_layernorm", True)
        names.norm(f"{ours}.feed_forward_norm", f"{theirs}.post_attention_layernorm", True)
        fused_qkv(names, ours, f"{theirs}.attention.query_key_value", by_head, True)
        names.linear(f"{ours}.attention.o", f"{theirs}.attention.dense", True)
        names.linear(f"{ours}.feed_forward.up", f"{theirs}.mlp.dense_h_to_4h", True)
        names.linear(f"{ours}.feed_forward.down", f"{theirs}.mlp.dense_4h_to_h", True)

    reference = hf.GPTNeoXConfig(**BASE, intermediate_size=INNER, use_parallel_residual=parallel,
                                 rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5})
    return reference, config, config | {"blocks": [block(*control)]}, each_block(fill_ends, fill_block)


@model("gpt_neox")
def gpt_neox():
    return gpt_neox_of(True)


@model("gpt_neox-serial")
def gpt_neox_serial():
    return gpt_neox_of(False)


def bloom_block(names, i, split, bias=True, norms=(("attention_norm", "input_layernorm"),
                                                   ("feed_forward_norm", "post_attention_layernorm"))):
    ours, theirs = f"blocks.{i}", f"transformer.h.{i}"
    for name, their_name in norms:
        names.norm(f"{ours}.{name}", f"{theirs}.{their_name}", True)
    fused_qkv(names, ours, f"{theirs}.self_attention.query_key_value", split, bias)
    names.linear(f"{ours}.attention.o", f"{theirs}.self_attention.dense", bias)
    names.linear(f"{ours}.feed_forward.up", f"{theirs}.mlp.dense_h_to_4h", bias)
    names.linear(f"{ours}.feed_forward.down", f"{theirs}.mlp.dense_4h_to_h", bias)


def bloom_ends(names):
    names.take("embedding", "transformer.word_embeddings.weight")
    names.norm("norm", "transformer.ln_f", True)


@model("bloom")
def bloom():
    parts = [under("pre", layer(), part) for part in (attention(heads(bias=True)), mlp("gelu_tanh", 4 * HIDDEN))]
    config = decoder([block(*parts)], layer(), {"alibi": {}}, language(True), embedding={"norm": layer()})

    def fill_ends(names):
        bloom_ends(names)
        names.norm("embedded.norm", "transformer.word_embeddings_layernorm", True)

    reference = hf.BloomConfig(vocab_size=VOCAB, hidden_size=HIDDEN, n_layer=2, n_head=HEADS, **SPECIAL)
    control = changed(config, (["embedding"], {}))
    return reference, config, control, each_block(fill_ends, lambda names, i: bloom_block(names, i, by_head))


@model("falcon-multi-query")
def falcon_multi_query():
    parts = [attention(heads(kv_heads=1)), mlp("gelu", 4 * HIDDEN, False)]
    config = decoder([block(under("pre", layer(), *parts))], layer(), rotary(), language(True))
    reference = hf.FalconConfig(**BASE, **SPECIAL, multi_query=True, parallel_attn=True, alibi=False, bias=False)
    norms = [("attention_norm", "input_layernorm")]
    names = each_block(bloom_ends, lambda names, i: bloom_block(names, i, rows(HIDDEN, 4, 4), False, norms))
    return reference, config, changed(config, (["position"], "none")), names


@model("falcon-two-norms")
def falcon_two_norms():
    parts = [attention(heads(kv_heads=GROUPS)), mlp("gelu", 4 * HIDDEN, False)]
    config = decoder([block(under("pre", "none", *parts) | {"part_norm": layer()})], layer(), rotary(), language(True))
    reference = hf.FalconConfig(**BASE, **SPECIAL, new_decoder_architecture=True, num_kv_heads=GROUPS, alibi=False, bias=False)
    norms = [("attention_norm", "ln_attn"), ("feed_forward_norm", "ln_mlp")]
    names = each_block(bloom_ends, lambda names, i: bloom_block(names, i, by_group, False, norms))
    return reference, config, config | {"blocks": [block(under("pre", layer(), *parts))]}, names


@model("falcon-alibi")
def falcon_alibi():
    parts = [under("pre", layer(), part) for part in (attention(heads(bias=True)), mlp("gelu", 4 * HIDDEN))]
    config = decoder([block(*parts)], layer(), {"alibi": {"scaled": True}}, language(True))
    reference = hf.FalconConfig(**BASE, **SPECIAL, multi_query=False, parallel_attn=False, alibi=True, bias=True)
    control = changed(config, (["position", "alibi", "scaled"], False))
    return reference, config, control, each_block(bloom_ends, lambda names, i: bloom_block(names, i, by_head))


@model("gptj")
def gptj():
    two = {"heads": {"heads": 2}}
    config = decoder([block(under("pre", layer(), attention(two), mlp("gelu_tanh")))], layer(),
                     rotary(partial_factor=0.5, interleaved=True), language(bias=True))

    def fill_ends(names):
        names.take("embedding", "transformer.wte.weight")
        names.norm("norm", "transformer.ln_f", True)
        names.linear("head", "lm_head", True)

    def fill_block(names, i):
        ours, theirs = f"blocks.{i}", f"transformer.h.{i}"
        names.norm(f"{ours}.attention_norm", f"{theirs}.ln_1", True)
        for map, name in (("q", "q_proj"), ("k", "k_proj"), ("v", "v_proj"), ("o", "out_proj")):
            names.linear(f"{ours}.attention.{map}", f"{theirs}.attn.{name}")
        names.linear(f"{ours}.feed_forward.up", f"{theirs}.mlp.fc_in", True)
        names.linear(f"{ours}.feed_forward.down", f"{theirs}.mlp.fc_out", True)

    reference = hf.GPTJConfig(vocab_size=VOCAB, n_embd=HIDDEN, n_layer=2, n_head=2, rotary_dim=4, n_inner=INNER,
                              n_positions=32, bos_token_id=1, eos_token_id=2)
    return reference, config, changed(config, (["position", "rotary", "interleaved"], False)), each_block(fill_ends, fill_block)


@model("gpt_bigcode")
def gpt_bigcode():
    parts = [under("pre", layer(), part) for part in (attention(heads(kv_heads=1, bias=True)), mlp("gelu_tanh"))]
    config = decoder([block(*parts)], layer(), {"learned": {"max_position_embeddings": 32}}, language(True))

    def fill_ends(names):
        names.take("embedding", "transformer.wte.weight")
        names.take("position.weight", "transformer.wpe.weight")
        names.norm("norm", "transformer.ln_f", True)

    def fill_block(names, i):
        ours, theirs = f"blocks.{i}", f"transformer.h.{i}"
        names.norm(f"{ours}.attention_norm", f"{theirs}.ln_1", True)
        names.norm(f"{ours}.feed_forward_norm", f"{theirs}.ln_2", True)
        fused_qkv(names, ours, f"{theirs}.attn.c_attn", rows(HIDDEN, 4, 4), True)
        names.linear(f"{ours}.attention.o", f"{theirs}.attn.c_proj", True)
        names.linear(f"{ours}.feed_forward.up", f"{theirs}.mlp.c_fc", True)
        names.linear(f"{ours}.feed_forward.down", f"{theirs}.mlp.c_proj", True)

    reference = hf.GPTBigCodeConfig(vocab_size=VOCAB, n_embd=HIDDEN, n_layer=2, n_head=HEADS, n_inner=INNER, n_positions=32,
                                    **SPECIAL)
    control = changed(config, ([*part(0, 1), "mlp", "activation"], "relu"))
    return reference, config, control, each_block(fill_ends, fill_block)


@model("mpt")
def mpt():
    norm = layer(bias=False)
    projection = heads(clip_qkv=0.4, scale=0.3)
    parts = [under("pre", norm, part) for part in (attention(projection), mlp("gelu", 4 * HIDDEN, False))]
    config = decoder([block(*parts)], norm, {"alibi": {}}, language(True))

    def fill_ends(names):
        names.take("embedding", "transformer.wte.weight")
        names.norm("norm", "transformer.norm_f")

    def fill_block(names, i):
        ours, theirs = f"blocks.{i}", f"transformer.blocks.{i}"
        names.norm(f"{ours}.attention_norm", f"{theirs}.norm_1")
        names.norm(f"{ours}.feed_forward_norm", f"{theirs}.norm_2")
        fused_qkv(names, ours, f"{theirs}.attn.Wqkv", rows(HIDDEN, HIDDEN, HIDDEN))
        names.linear(f"{ours}.attention.o", f"{theirs}.attn.out_proj")
        names.linear(f"{ours}.feed_forward.up", f"{theirs}.ffn.up_proj")
        names.linear(f"{ours}.feed_forward.down", f"{theirs}.ffn.down_proj")

    own = {"clip_qkv": 0.4, "softmax_scale": 0.3}
    reference = hf.MptConfig(vocab_size=VOCAB, d_model=HIDDEN, n_layers=2, n_heads=HEADS, max_seq_len=32, attn_config=own)
    control = changed(config, ([*part(0, 0), "attention", "projection", "heads", "clip_qkv"], None))
    return reference, config, control, each_block(fill_ends, fill_block)


def opt_of(junction, final, width, **options):
    parts = [under(junction, layer(), part) for part in (attention(heads(bias=True)), mlp("relu"))]
    config = decoder([block(*parts)], final, {"learned": {"max_position_embeddings": 32, "offset": 2}}, language(True))
    if width:
        config["embedding"] = {"factorized": {"width": width, "bias": False, "projection": "first"}}

    def fill_ends(names):
        names.take("embedding", "model.decoder.embed_tokens.weight")
        names.take("position.weight", "model.decoder.embed_positions.weight")
        if width:
            names.linear("embedded.project_in", "model.decoder.project_in")
            names.linear("head.project_out", "model.decoder.project_out")
        if final != "none":
            names.norm("norm", "model.decoder.final_layer_norm", True)

    def fill_block(names, i):
        ours, theirs = f"blocks.{i}", f"model.decoder.layers.{i}"
        for map, name in (("q", "q_proj"), ("k", "k_proj"), ("v", "v_proj"), ("o", "out_proj")):
            names.linear(f"{ours}.attention.{map}", f"{theirs}.self_attn.{name}", True)
        names.norm(f"{ours}.attention_norm", f"{theirs}.self_attn_layer_norm", True)
        names.norm(f"{ours}.feed_forward_norm", f"{theirs}.final_layer_norm", True)
        names.linear(f"{ours}.feed_forward.up", f"{theirs}.fc1", True)
        names.linear(f"{ours}.feed_forward.down", f"{theirs}.fc2", True)

    reference = hf.OPTConfig(**BASE, **SPECIAL, ffn_dim=INNER, word_embed_proj_dim=width or HIDDEN, max_position_embeddings=32,
                             do_layer_norm_before=junction == "pre")
    control = changed(config, (["position", "learned", "offset"], 0))
    control["position"]["learned"]["max_position_embeddings"] = 34
    return reference, config, control, each_block(fill_ends, fill_block)


@model("opt")
def opt():
    return opt_of("pre", layer(), None)


@model("opt-factorized")
def opt_factorized():
    return opt_of("post", "none", 10)


# --- encoders ---


@model("distilbert")
def distilbert():
    norm = layer(1e-12)
    parts = [under("post", norm, part) for part in (attention(heads(bias=True)), mlp("gelu"))]
    head = language(True, bias=True, transform={"activation": "gelu", "norm": norm})
    config = encoder([block(*parts)], "none", {"learned": {"max_position_embeddings": 32}}, head, embedding={"norm": norm})

    def fill_ends(names):
        names.take("embedding", "distilbert.embeddings.word_embeddings.weight")
        names.take("position.weight", "distilbert.embeddings.position_embeddings.weight")
        names.norm("embedded.norm", "distilbert.embeddings.LayerNorm", True)
        names.linear("head.transform.dense", "vocab_transform", True)
        names.norm("head.transform.norm", "vocab_layer_norm", True)
        names.take("head.bias", "vocab_projector.bias")

    def fill_block(names, i):
        ours, theirs = f"blocks.{i}", f"distilbert.transformer.layer.{i}"
        for map, name in (("q", "q_lin"), ("k", "k_lin"), ("v", "v_lin"), ("o", "out_lin")):
            names.linear(f"{ours}.attention.{map}", f"{theirs}.attention.{name}", True)
        names.norm(f"{ours}.attention_norm", f"{theirs}.sa_layer_norm", True)
        names.norm(f"{ours}.feed_forward_norm", f"{theirs}.output_layer_norm", True)
        names.linear(f"{ours}.feed_forward.up", f"{theirs}.ffn.lin1", True)
        names.linear(f"{ours}.feed_forward.down", f"{theirs}.ffn.lin2", True)

    reference = hf.DistilBertConfig(vocab_size=VOCAB, dim=HIDDEN, n_layers=2, n_heads=HEADS, hidden_dim=INNER,
                                    max_position_embeddings=32, pad_token_id=0)
    return reference, config, changed(config, (["embedding"], {})), each_block(fill_ends, fill_block)


@model("electra")
def electra():
    norm = layer(1e-12)
    parts = [under("post", norm, part) for part in (attention(heads(bias=True)), mlp("gelu"))]
    head = language(True, bias=True, transform={"activation": "gelu", "norm": norm})
    embedding = {"type_vocab_size": 2, "norm": norm, "factorized": {"width": 10, "bias": True, "projection": "last"}}
    config = encoder([block(*parts)], "none", {"learned": {"max_position_embeddings": 32}}, head, embedding=embedding)

    def fill_ends(names):
        names.take("embedding", "electra.embeddings.word_embeddings.weight")
        names.take("position.weight", "electra.embeddings.position_embeddings.weight")
        names.take("embedded.types", "electra.embeddings.token_type_embeddings.weight")
        names.norm("embedded.norm", "electra.embeddings.LayerNorm", True)
        names.linear("embedded.project_in", "electra.embeddings_project", True)
        names.linear("head.transform.dense", "generator_predictions.dense", True)
        names.norm("head.transform.norm", "generator_predictions.LayerNorm", True)
        names.take("head.bias", "generator_lm_head.bias")

    def fill_block(names, i):
        ours, theirs = f"blocks.{i}", f"electra.encoder.layer.{i}"
        for map, name in (("q", "self.query"), ("k", "self.key"), ("v", "self.value"), ("o", "output.dense")):
            names.linear(f"{ours}.attention.{map}", f"{theirs}.attention.{name}", True)
        names.norm(f"{ours}.attention_norm", f"{theirs}.attention.output.LayerNorm", True)
        names.norm(f"{ours}.feed_forward_norm", f"{theirs}.output.LayerNorm", True)
        names.linear(f"{ours}.feed_forward.up", f"{theirs}.intermediate.dense", True)
        names.linear(f"{ours}.feed_forward.down", f"{theirs}.output.dense", True)

    reference = hf.ElectraConfig(**BASE, embedding_size=10, intermediate_size=INNER, max_position_embeddings=32, pad_token_id=0)
    return reference, config, changed(config, (["embedding", "factorized", "bias"], False)), each_block(fill_ends, fill_block)


@model("modernbert")
def modernbert():
    norm = layer(bias=False)

    def of(first, **more):
        qkv = attention(heads(), **more)
        return block(under("pre", "none" if first else norm, qkv), under("pre", norm, gated("gelu")), repeat=1)

    head = language(True, bias=True, transform={"activation": "gelu", "norm": norm, "bias": False})
    local = {"pattern": window(2, 2), "position": rotary(100.0)}
    config = encoder([of(True), of(False, **local)], norm, rotary(160000.0), head, embedding={"norm": norm})

    def fill_ends(names):
        names.take("embedding", "model.embeddings.tok_embeddings.weight")
        names.norm("embedded.norm", "model.embeddings.norm")
        names.norm("norm", "model.final_norm")
        names.linear("head.transform.dense", "head.dense")
        names.norm("head.transform.norm", "head.norm")
        names.take("head.bias", "decoder.bias")

    def fill_block(names, i):
        ours, theirs = f"blocks.{i}", f"model.layers.{i}"
        if i > 0:
            names.norm(f"{ours}.attention_norm", f"{theirs}.attn_norm")
        names.norm(f"{ours}.feed_forward_norm", f"{theirs}.mlp_norm")
        fused_qkv(names, ours, f"{theirs}.attn.Wqkv", rows(HIDDEN, HIDDEN, HIDDEN))
        names.linear(f"{ours}.attention.o", f"{theirs}.attn.Wo")
        names.fused([f"{ours}.feed_forward.gate", f"{ours}.feed_forward.up"], f"{theirs}.mlp.Wi", rows(INNER, INNER))
        names.linear(f"{ours}.feed_forward.down", f"{theirs}.mlp.Wo")

    rope = {"full_attention": {"rope_type": "default", "rope_theta": 160000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 100.0}}
    reference = hf.ModernBertConfig(**BASE, **SPECIAL, intermediate_size=INNER, local_attention=4, global_attn_every_n_layers=2,
                                    max_position_embeddings=32, cls_token_id=1, sep_token_id=2, rope_parameters=rope)
    control = changed(config, ([*part(1, 0), "attention", "position"], None))
    return reference, config, control, each_block(fill_ends, fill_block)


# --- files ---

ENCODERS = ("distilbert", "electra", "modernbert")


def random_weights(model, rng):
    """Weights of a size at which every option shows: matrices of rows with norm 1.5, other values moved by 0.3 N(0, 1)."""
    biases = [(name, value) for name, value in model.named_buffers() if name.endswith("e_score_correction_bias")]
    for name, value in [*model.named_parameters(), *biases]:
        noise = torch.from_numpy(rng.standard_normal(tuple(value.shape)).astype(np.float32))
        scale = 1.5 / math.sqrt(value.shape[-1]) if value.dim() > 1 and "norm" not in name.lower() else 0.3
        start = value.data if value.dim() == 1 or "norm" in name.lower() else 0.0
        value.data = (start + scale * noise).to(torch.float32).contiguous()


def write(name, out, number):
    config, ours, control, fill = MODELS[name]()
    # The eager code of Falcon adds ALiBi twice: with the mask, and by itself.
    kernel = "sdpa" if name == "falcon-alibi" else "eager"
    rng = np.random.default_rng(100 + number)
    auto = hf.AutoModelForMaskedLM if name in ENCODERS else hf.AutoModelForCausalLM
    config._experts_implementation = "eager"
    reference = auto.from_config(config, attn_implementation=kernel).eval()
    random_weights(reference, rng)
    reference.tie_weights()
    names = Names({key: value.clone() for key, value in reference.state_dict().items()})
    fill(names)
    reference = reference.double()
    tokens = torch.from_numpy(rng.integers(3, VOCAB, (2, LENGTH)))
    mask = {} if name in ENCODERS else {"use_cache": False}
    logits = reference(input_ids=tokens, **mask).logits.reshape(2 * LENGTH, VOCAB)
    cotangent = torch.from_numpy(rng.standard_normal(logits.shape).astype(np.float32)).double()
    table = reference.get_input_embeddings().weight
    (gradient,) = torch.autograd.grad((logits * cotangent).sum(), table)
    tensors = {f"weights.{key}": value for key, value in names.weights.items()}
    tensors |= {"tokens": tokens, "logits": logits, "cotangent": cotangent, "dembedding": gradient}
    kept = {key: value.detach() if value.dtype == torch.int64 else value.detach().float() for key, value in tensors.items()}
    metadata = {"config": json.dumps(ours), "control": json.dumps(control), "class": type(reference).__name__}
    data = to_bytes({key: value.clone().contiguous() for key, value in kept.items()}, metadata)
    (out / f"{name}.safetensors").write_bytes(data)
    print(f"{name:<20} {type(reference).__name__:<28} largest logit {logits.abs().max():.2f}, {len(data)} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(MODELS):
        if not arguments.only or name in arguments.only:
            write(name, arguments.out, number)


if __name__ == "__main__":
    main()
