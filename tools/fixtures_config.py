# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.15.0", "transformers==5.24.0", "numpy==2.4.6", "safetensors==0.8.0"]
# ///
"""Write tiny models of the reference code with many spellings of config.json, and their logits.

    python tools/fixtures_config.py --out crates/kiln-laws/fixtures/hf-config

`TYPE.safetensors` has the weights of a model type, `cases.json` the config.json of each case, and `expected.safetensors` the
token ids and, for each case, the logits of the last tokens. A case names another case whose logits must be equal (its keys
change nothing) or visibly different (they do); a case is refused where that is not so.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

import checking
from fixtures import agrees, differs
from fixtures_hf import draw

TOKENS, KEPT, VOCAB = 48, 4, 24

LLAMA = dict(vocab_size=VOCAB, hidden_size=16, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2,
             num_key_value_heads=1, head_dim=16, max_position_embeddings=64)
PHI3 = dict(model_type="phi3", vocab_size=VOCAB, hidden_size=20, intermediate_size=12, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=64, pad_token_id=None)
GPT2 = dict(model_type="gpt2", vocab_size=VOCAB, n_positions=64, n_embd=16, n_layer=2, n_head=4)

BASES = {
    "llama": dict(LLAMA, model_type="llama"),
    "mistral": dict(LLAMA, model_type="mistral", sliding_window=None),
    "qwen2": dict(LLAMA, model_type="qwen2"),
    "phi3": PHI3,
    "gpt2": GPT2,
}


def yarn(**more):
    """`rope_scaling` as older files have it."""
    scaling = dict(type="yarn", factor=4.0, original_max_position_embeddings=24) | more
    return dict(rope_theta=300.0, rope_scaling=scaling)


def older(kind, factor, **more):
    return dict(rope_scaling=dict(type=kind, factor=factor) | more)


# Betas with which the ends of YaRN's ramp, rounded or not, are some pairs apart.
BETAS = dict(beta_fast=4, beta_slow=0.25)

LLAMA3 = dict(low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16)

def longrope(pairs, kind="longrope", original=24, **more):
    """LongRoPE for heads with `pairs` pairs; the length outside of the table, as Phi-3 has it."""
    scaling = dict(type=kind, short_factor=[1.0 + 0.1 * i for i in range(pairs)],
                   long_factor=[1.5 + 0.7 * i for i in range(pairs)]) | more
    return dict(original_max_position_embeddings=original, rope_theta=300.0, rope_scaling=scaling)


# case: model type, changes of config.json, whether the logits are "equal" or "different", to those of which case.
CASES = {
    "llama": ("llama", {}, None, None),
    "llama-yarn": ("llama", yarn(), "different", "llama"),
    "llama-yarn-newer": ("llama", dict(rope_parameters=dict(rope_type="yarn", rope_theta=300.0, factor=4.0,
                                                            original_max_position_embeddings=24)),
                         "equal", "llama-yarn"),
    "llama-yarn-finetuned": ("llama", yarn(finetuned=True), "equal", "llama-yarn"),
    "llama-yarn-whole-factor": ("llama", yarn(factor=4), "equal", "llama-yarn"),
    "llama-yarn-ratio": ("llama", yarn(factor=None), "different", "llama-yarn"),
    "llama-yarn-same-factor": ("llama", yarn(factor=64 / 24), "equal", "llama-yarn-ratio"),
    "llama-yarn-theta": ("llama", yarn() | dict(rope_theta=10000.0), "different", "llama-yarn"),
    "llama-yarn-betas": ("llama", yarn(**BETAS), "different", "llama-yarn"),
    "llama-yarn-untruncated": ("llama", yarn(**BETAS, truncate=False), "different", "llama-yarn-betas"),
    "llama-yarn-null-truncate": ("llama", yarn(**BETAS, truncate=None), "equal", "llama-yarn-untruncated"),
    "llama-yarn-outer-length": ("llama", dict(original_max_position_embeddings=48) | yarn(), "different", "llama-yarn"),
    "llama-yarn-same-length": ("llama", yarn(original_max_position_embeddings=48), "equal", "llama-yarn-outer-length"),
    "llama-yarn-short": ("llama", yarn(original_max_position_embeddings=2), "different", "llama-yarn"),
    "llama-yarn-no-length": ("llama", older("yarn", 4.0), "different", "llama-yarn"),
    "llama-yarn-zero-betas": ("llama", yarn(beta_fast=0, beta_slow=0), "equal", "llama-yarn"),
    "llama-yarn-attention-factor": ("llama", yarn(attention_factor=1.5), "different", "llama-yarn"),
    "llama-yarn-mscale": ("llama", yarn(mscale=0.707, mscale_all_dim=2.0), "different", "llama-yarn"),
    "llama-yarn-mscale-alone": ("llama", yarn(mscale=0.707), "equal", "llama-yarn"),
    "llama-linear": ("llama", older("linear", 2), "different", "llama"),
    "llama-linear-both": ("llama", older("linear", 2.0) | dict(rope_parameters=dict(rope_type="default", rope_theta=9.0)),
                          "equal", "llama-linear"),
    "llama-llama3": ("llama", older("llama3", 8.0, **LLAMA3), "different", "llama"),
    "llama-llama3-no-length": ("llama", older("llama3", 8.0, low_freq_factor=1.0, high_freq_factor=4.0), "different",
                               "llama-llama3"),
    # The text has 48 tokens.
    "llama-dynamic": ("llama", dict(max_position_embeddings=32) | older("dynamic", 2.0), "different", "llama"),
    "llama-dynamic-within": ("llama", dict(max_position_embeddings=48) | older("dynamic", 2.0), "equal", "llama"),
    "llama-dynamic-factor": ("llama", dict(max_position_embeddings=32) | older("dynamic", 4.0), "different", "llama-dynamic"),
    "llama-longrope": ("llama", longrope(8, factor=4.0), "different", "llama"),
    "llama-longrope-within": ("llama", longrope(8, factor=4.0, original=48), "different", "llama-longrope"),
    "llama-longrope-ratio": ("llama", longrope(8), "different", "llama-longrope"),
    "llama-longrope-inner": ("llama", dict(rope_parameters=longrope(8)["rope_scaling"] | dict(
        rope_type="longrope", rope_theta=300.0, factor=4.0, original_max_position_embeddings=24)), "equal", "llama-longrope"),
    "llama-longrope-attention-factor": ("llama", longrope(8, attention_factor=1.0), "different", "llama-longrope"),
    "llama-default-factor": ("llama", older("default", 2.0), "equal", "llama"),
    "llama-other-type": ("llama", dict(rope_scaling=dict(type="mrope", rope_type="default", mrope_section=[2, 3, 3])),
                         "equal", "llama"),
    "llama-empty-scaling": ("llama", dict(rope_scaling={}, rope_theta=300.0), "different", "llama"),
    "llama-partial": ("llama", dict(partial_rotary_factor=0.5), "equal", "llama"),
    "llama-partial-inner": ("llama", dict(rope_parameters=dict(rope_type="default", rope_theta=10000.0,
                                                               partial_rotary_factor=0.5)),
                            "equal", "llama"),
    "llama-foreign-keys": ("llama", dict(unsloth_version="2024.11.7", unsloth_fixed=True, max_sequence_length=2048,
                                         attn_logit_softcapping=30.0, use_qk_norm=True, mm_hidden_size=4, hiden_size=3,
                                         rope_interleaved=True, pretraining_tp=2), "equal", "llama"),
    "llama-dropout": ("llama", dict(attention_dropout=0.1), "equal", "llama"),
    "mistral": ("mistral", {}, None, None),
    "mistral-yarn-untruncated": ("mistral", yarn(**BETAS, truncate=False), "different", "mistral"),
    "mistral-partial": ("mistral", dict(partial_rotary_factor=0.25), "equal", "mistral"),
    "qwen2": ("qwen2", {}, None, None),
    "qwen2-yarn": ("qwen2", yarn(), "different", "qwen2"),
    "qwen2-partial": ("qwen2", dict(partial_rotary_factor=0.5), "equal", "qwen2"),
    "phi3": ("phi3", {}, None, None),
    "phi3-partial": ("phi3", dict(partial_rotary_factor=0.8), "different", "phi3"),
    "phi3-partial-inner": ("phi3", dict(partial_rotary_factor=0.8, rope_parameters=dict(rope_type="default",
                                                                                        partial_rotary_factor=0.4)),
                           "different", "phi3-partial"),
    # 6.6 dimensions of 10: the reference truncates.
    "phi3-partial-truncated": ("phi3", dict(partial_rotary_factor=0.66), "different", "phi3-partial"),
    "phi3-longrope": ("phi3", longrope(5), "different", "phi3"),
    "phi3-longrope-within": ("phi3", longrope(5, original=48), "different", "phi3-longrope"),
    # The reference reads the length of this older name from the table alone.
    "phi3-su": ("phi3", longrope(5, "su", original_max_position_embeddings=24), "equal", "phi3-longrope"),
    "phi3-yarn": ("phi3", longrope(5, "yarn"), "equal", "phi3-longrope"),
    "phi3-longrope-partial": ("phi3", longrope(4) | dict(partial_rotary_factor=0.8), "different", "phi3-longrope"),
    # The class's default of the length outside of the table overrules the table.
    "phi3-longrope-inner": ("phi3", longrope(5, original=None, original_max_position_embeddings=24), "different",
                            "phi3-longrope"),
    "phi3-epsilon": ("phi3", dict(rms_norm_eps=1e-2), "different", "phi3"),
    "gpt2": ("gpt2", {}, None, None),
    "gpt2-aliases": ("gpt2", dict(n_embd=None, n_layer=None, n_head=None, n_positions=None, hidden_size=16,
                                  num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64),
                     "equal", "gpt2"),
    "gpt2-both-names": ("gpt2", dict(n_head=2, num_attention_heads=4), "equal", "gpt2"),
    "gpt2-dropouts": ("gpt2", dict(attn_pdrop=0.0, embd_pdrop=0.2), "equal", "gpt2"),
}


def config_json(name):
    """The config.json of a case: the base with the changes; a base key that is changed to None is left out."""
    base, changes, _, _ = CASES[name]
    left_out = {key for key, value in changes.items() if value is None}
    return {key: value for key, value in (BASES[base] | changes).items() if key not in left_out}


def model(config):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.json").write_text(json.dumps(config))
        loaded = AutoConfig.from_pretrained(folder)
    return AutoModelForCausalLM.from_config(loaded, attn_implementation="eager").float().eval()


def main():
    out = checking.parsed(checking.options(__doc__)).out
    out.mkdir(parents=True, exist_ok=True)
    transformers.logging.set_verbosity_error()
    ids = torch.from_numpy(np.random.default_rng(7).integers(0, VOCAB, TOKENS))
    expected, weights = {"ids": ids}, {}
    for seed, base in enumerate(BASES):
        drawn = model(BASES[base])
        draw(drawn, seed)
        drawn.tie_weights()
        weights[base] = {name: tensor.clone() for name, tensor in drawn.state_dict().items()}
        if base == "gpt2":
            del weights[base]["lm_head.weight"]
        save_file(weights[base], out / f"{base}.safetensors")
    for name, (base, _, relation, other) in CASES.items():
        case = model(config_json(name))
        case.load_state_dict(weights[base], strict=base != "gpt2")
        case.tie_weights()
        with torch.no_grad():
            logits = case(input_ids=ids[None], use_cache=False).logits[0, -KEPT:].clone()
        print(f"{name}: {relation} {other}")
        if relation:
            (agrees if relation == "equal" else differs)(logits, expected[other], 1e-6 if relation == "equal" else 1e-2)
        expected[name] = logits
    save_file(expected, out / "expected.safetensors")
    cases = {name: {"weights": CASES[name][0], "config": config_json(name)} for name in CASES}
    (out / "cases.json").write_text("{\n" + ",\n".join(f'"{n}": {json.dumps(c)}' for n, c in cases.items()) + "\n}\n")


if __name__ == "__main__":
    main()
