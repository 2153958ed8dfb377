# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.15.0", "transformers==5.24.0", "tokenizers==0.23.1", "numpy==2.4.6", "safetensors==0.8.0"]
# ///
"""Write what transformers makes of generation settings. The Rust tests compare Kiln with it.

    python tools/fixtures_generation.py --out crates/kiln-infer/fixtures

`processors.json`: random logits and histories with settings; the logits after the processors of transformers in its own
order, and with sampling the probabilities. Presence and frequency penalty, which transformers lacks, follow OpenAI's formula
and are tested alone. An excluded token is null.

`llama/`, `t5/`: tiny models with random weights. `generations.json`: for each, generation settings as in a
`generation_config.json`, prompts, and what `generate` returns with this file.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration
from transformers import PreTrainedTokenizerFast

VOCAB = 24
ENDS = [3, 7]

# Settings of a single processor or filter.
SINGLE = [
    {"repetition_penalty": 1.5}, {"repetition_penalty": 0.7}, {"encoder_repetition_penalty": 1.8},
    {"no_repeat_ngram_size": 1}, {"no_repeat_ngram_size": 2}, {"no_repeat_ngram_size": 3},
    {"encoder_no_repeat_ngram_size": 1}, {"encoder_no_repeat_ngram_size": 2},
    {"bad_words_ids": [[5], [3], [0, 1], [2, 4, 6]]}, {"sequence_bias": [[[5], -2.5], [[1, 9], 4.0], [[2, 2, 9], 1.25]]},
    {"min_length": 9}, {"min_new_tokens": 4}, {"forced_bos_token_id": 11}, {"forced_eos_token_id": [3, 12], "max_length": 9},
    {"exponential_decay_length_penalty": [2, 1.7]}, {"suppress_tokens": [0, 5, 9, 30]},
    {"begin_suppress_tokens": [1, 5, 8]}, {"begin_suppress_tokens": [1, 5, 8], "forced_bos_token_id": 2},
    {"remove_invalid_values": True, "suppress_tokens": [4]}, {"temperature": 0.6}, {"temperature": 2.5}, {"top_k": 5},
    {"top_p": 0.6}, {"min_p": 0.2}, {"top_h": 0.5}, {"typical_p": 0.4}, {"typical_p": 0.8}, {"epsilon_cutoff": 0.05},
    {"eta_cutoff": 0.1}, {"eta_cutoff": 0.9},
]


def candidates(rng):
    """Values of all settings, to combine."""
    return {
        "sequence_bias": [[[int(rng.integers(VOCAB))], -1.5], [[1, 2], 3.0]],
        "encoder_repetition_penalty": round(float(rng.uniform(0.6, 1.6)), 3),
        "repetition_penalty": round(float(rng.uniform(0.6, 1.9)), 3),
        "no_repeat_ngram_size": int(rng.integers(1, 4)), "encoder_no_repeat_ngram_size": int(rng.integers(1, 4)),
        "bad_words_ids": [[int(rng.integers(VOCAB))], [1, 2], [2, 0]], "min_length": int(rng.integers(1, 10)),
        "min_new_tokens": int(rng.integers(1, 5)), "exponential_decay_length_penalty": [int(rng.integers(0, 4)), 1.3],
        "suppress_tokens": [int(i) for i in rng.integers(0, VOCAB, 3)],
        "begin_suppress_tokens": [int(i) for i in rng.integers(0, VOCAB, 3)],
        "temperature": round(float(rng.uniform(0.4, 2.0)), 3), "top_k": int(rng.integers(3, 20)),
        "top_p": round(float(rng.uniform(0.4, 0.99)), 3), "min_p": round(float(rng.uniform(0.01, 0.3)), 3),
        "top_h": round(float(rng.uniform(0.4, 0.95)), 3), "typical_p": round(float(rng.uniform(0.3, 0.95)), 3),
        "epsilon_cutoff": 0.02, "eta_cutoff": 0.03,
    }


SAMPLED = {"temperature", "top_k", "top_p", "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff"}


def finite(values):
    return [None if value == float("-inf") else float(f"{value:.9g}") for value in values.tolist()]


def processed(model, case):
    """The processed logits, and the probabilities with sampling."""
    settings, tokens = dict(case["settings"]), torch.tensor([case["tokens"]])
    sampled = bool(SAMPLED & settings.keys())
    config = GenerationConfig(**settings, do_sample=sampled)
    config.max_length = config.max_length or 1000
    if config.min_new_tokens is not None:
        config.min_length = config.min_new_tokens + case["prompt_length"]
    config._eos_token_tensor = torch.tensor(ENDS)
    prompt = torch.tensor([case["prompt"]])
    processors = model._get_logits_processor(config, case["prompt_length"], prompt, device="cpu", model_kwargs={})
    scores = processors(tokens, torch.tensor([case["logits"]], dtype=torch.float32))[0]
    if sampled:
        return {"probabilities": [float(f"{p:.9g}") for p in scores.double().softmax(0).tolist()]}
    return {"processed": finite(scores)}


def history(rng, is_decoder):
    """A random history: of an encoder-decoder, the prompt is not part of the tokens."""
    prompt = rng.integers(0, 6, int(rng.integers(1, 6))).tolist()
    new = rng.integers(0, 6, int(rng.integers(0, 9))).tolist()
    tokens = [0] + new if is_decoder else prompt + new
    logits = [round(float(value), 3) for value in rng.normal(0, 2.5, VOCAB)]
    return {"logits": logits, "tokens": tokens, "prompt_length": 1 if is_decoder else len(prompt), "prompt": prompt}


def processor_cases(model):
    rng, cases = np.random.default_rng(13), []
    for settings in SINGLE:
        for draw in range(4):
            cases.append({"settings": settings} | history(rng, draw == 3))
        if "forced_bos_token_id" in settings:
            cases[-1] |= {"tokens": [0], "prompt_length": 1}
        if "begin_suppress_tokens" in settings:
            cases[-2] |= {"tokens": cases[-2]["prompt"], "prompt_length": len(cases[-2]["prompt"])}
        if "forced_eos_token_id" in settings:
            cases[-2] |= {"tokens": [1, 2, 3, 4, 5, 0, 1, 2], "prompt_length": 3, "prompt": [1, 2, 3]}
    for _ in range(60):
        values = candidates(rng)
        names = rng.permutation(sorted(values))[:int(rng.integers(3, 9))].tolist()
        case = {"settings": {name: values[name] for name in names}} | history(rng, rng.random() < 0.3)
        cases.append(case)
    for case in cases:
        case |= processed(model, case)
    assert all("probabilities" not in case or np.isfinite(case["probabilities"]).all() for case in cases)
    return cases + [penalty_case(rng, presence, frequency, window) for presence, frequency, window in
                    [(1.25, 0.0, None), (0.0, 0.5, None), (0.75, 0.375, None), (-0.5, 0.25, None), (0.5, 0.5, 4)]]


def penalty_case(rng, presence, frequency, window):
    """OpenAI's formula: mu[j] - c[j] * alpha_frequency - float(c[j] > 0) * alpha_presence, over the sampled tokens."""
    case = {"settings": {"presence_penalty": presence, "frequency_penalty": frequency}} | history(rng, False)
    case["tokens"] += [1, 2, 2, 4, 1, 1]
    sampled = case["tokens"][case["prompt_length"]:]
    if window is not None:
        case["settings"]["penalty_window"] = window
        sampled = sampled[-window:]
    logits = np.array(case["logits"], np.float32)
    for token in range(VOCAB):
        count = sampled.count(token)
        logits[token] -= np.float32(count * frequency + (count > 0) * presence)
    return case | {"processed": finite(logits)}


def word_tokenizer(vocab):
    """A tokenizer whose token 5 is the word `w5`; 0 to 2 are special."""
    names = ["<pad>", "</s>", "<s>"] + [f"w{i}" for i in range(3, vocab)]
    tokenizer = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", bos_token="<s>")


def draw(model, seed):
    """Draw weights large enough that texts vary, with large output rows so that penalties of 1.5 matter."""
    rng = np.random.default_rng(seed)
    for name, parameter in model.named_parameters():
        values = torch.from_numpy(rng.standard_normal(tuple(parameter.shape)).astype(np.float32))
        if parameter.dim() == 1:
            parameter.data = 1.0 + 0.1 * values
        else:
            parameter.data = values * (1.6 / parameter.shape[-1] ** 0.5)
    return model.float().eval()


LLAMA_SIZE = dict(vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
                  num_key_value_heads=2, max_position_embeddings=64, bos_token_id=2, eos_token_id=None, pad_token_id=None)
T5_SIZE = dict(vocab_size=40, d_model=16, d_kv=4, d_ff=24, num_layers=2, num_heads=4, decoder_start_token_id=0,
               eos_token_id=None, pad_token_id=0, feed_forward_proj="gated-gelu", tie_word_embeddings=False)

# Settings of whole generations of both models.
COMMON = [
    {}, {"repetition_penalty": 1.5}, {"repetition_penalty": 3.0}, {"no_repeat_ngram_size": 2}, {"no_repeat_ngram_size": 1},
    {"encoder_repetition_penalty": 2.0}, {"encoder_no_repeat_ngram_size": 1},
    {"remove_invalid_values": True, "no_repeat_ngram_size": 1},
]
TOKENS = 14


def generated(model, settings, prompt):
    """What `generate` returns if the folder has these settings: the new tokens, without an end token."""
    start = {"decoder_start_token_id": 0} if model.config.is_encoder_decoder else {}
    model.generation_config = GenerationConfig.from_dict(start | settings)
    ids = torch.tensor([prompt])
    out = model.generate(ids, attention_mask=torch.ones_like(ids))[0].tolist()
    new = out[1:] if model.config.is_encoder_decoder else out[len(prompt):]
    ends = settings.get("eos_token_id", [])
    ends = ends if isinstance(ends, list) else [ends]
    return (new[:-1], "eos") if new and new[-1] in ends else (new, "length" if "max_length" in settings else "tokens")


def generations(model, prompts):
    """Cases of a model. Settings that name tokens use those that the model writes without them."""
    cases, plain = [], {}
    for prompt in prompts:
        plain[tuple(prompt)] = generated(model, {"max_new_tokens": TOKENS}, prompt)[0]
    for prompt in prompts:
        text = plain[tuple(prompt)]
        ends = [text[9], text[6]]
        chosen = [
            {"bad_words_ids": [[text[1]], [text[2], text[3]], [text[4], text[5], text[6]]]},
            {"suppress_tokens": [text[0], text[3]]}, {"begin_suppress_tokens": [text[0]]},
            {"sequence_bias": [[[text[2]], -4.0], [[text[0], 17], 9.0]]}, {"forced_eos_token_id": 23},
            {"eos_token_id": ends}, {"eos_token_id": ends[0]}, {"eos_token_id": ends, "min_new_tokens": 9},
            {"eos_token_id": ends, "min_length": 10},
            {"eos_token_id": ends, "bad_words_ids": [[ends[0]], [ends[1]]]},
            {"eos_token_id": ends, "exponential_decay_length_penalty": [1, 1.6], "repetition_penalty": 1.3},
            {"forced_bos_token_id": 19}, {"forced_bos_token_id": 19, "begin_suppress_tokens": [text[0], text[1]]},
            {"eos_token_id": 11, "repetition_penalty": 1.2, "no_repeat_ngram_size": 2, "suppress_tokens": [text[1]],
             "min_new_tokens": 3},
        ]
        if model.config.is_encoder_decoder:
            chosen += [{"decoder_start_token_id": 9}, {"decoder_start_token_id": 5, "repetition_penalty": 1.5}]
        for settings in COMMON + chosen:
            cases.append({"settings": {"max_new_tokens": TOKENS} | settings, "prompt": prompt})
        cases.append({"settings": {"max_length": 12}, "prompt": prompt})
        cases.append({"settings": {"max_length": 12, "forced_eos_token_id": [23, 24]}, "prompt": prompt})
    for case in cases:
        case["settings"].setdefault("do_sample", False)
        if model.config.is_encoder_decoder:
            case["settings"].setdefault("decoder_start_token_id", 0)
        case["ids"], case["stopped_by"] = generated(model, case["settings"], case["prompt"])
    changed = [case for case in cases if case["ids"] != plain[tuple(case["prompt"])]]
    assert len(changed) > 0.7 * len(cases), f"{len(changed)} of {len(cases)} settings change the text"
    return cases


def margin(model, cases):
    """The smallest lead of a chosen token over the second-best one."""
    leads = []
    for case in cases:
        model.generation_config = GenerationConfig.from_dict(dict(case["settings"]))
        ids = torch.tensor([case["prompt"]])
        out = model.generate(ids, attention_mask=torch.ones_like(ids), output_scores=True, return_dict_in_generate=True)
        for scores in out.scores:
            best = scores[0].topk(2).values
            leads.append((best[0] - best[1]).item() if torch.isfinite(best[1]) and best[0] != best[1] else 1.0)
    return min(leads)


def chosen_model(build, prompts):
    """Weights whose texts vary and whose tokens lead clearly, with the cases."""
    for seed in range(200):
        model = draw(build(), seed)
        with torch.no_grad():
            texts = [generated(model, {"max_new_tokens": TOKENS}, prompt)[0] for prompt in prompts]
            if min(len(set(text)) for text in texts) < 6 or any(len(set(text[:7])) < 6 for text in texts):
                continue
            try:
                cases = generations(model, prompts)
            except AssertionError:
                continue
            if margin(model, cases) > 1e-3:
                return model, cases
    raise AssertionError("no seed gives varied texts")


def save_model(model, folder, tokenizer):
    shutil.rmtree(folder, ignore_errors=True)
    model.generation_config = GenerationConfig()
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    tokenizer.save_pretrained(folder)
    for extra in ("special_tokens_map.json",):
        (folder / extra).unlink(missing_ok=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    llama, llama_cases = chosen_model(lambda: LlamaForCausalLM(LlamaConfig(**LLAMA_SIZE)), [[2, 5, 9, 14, 5, 9], [7]])
    t5, t5_cases = chosen_model(lambda: T5ForConditionalGeneration(T5Config(**T5_SIZE)), [[5, 9, 14, 5, 9, 30, 1], [8, 1]])
    save_model(llama, out / "llama", word_tokenizer(LLAMA_SIZE["vocab_size"]))
    save_model(t5, out / "t5", word_tokenizer(T5_SIZE["vocab_size"]))
    cases = processor_cases(llama)
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    (out / "processors.json").write_text(f"[\n{lines}\n]\n")
    lines = {name: ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
             for name, cases in [("llama", llama_cases), ("t5", t5_cases)]}
    text = ",\n".join(f'"{name}": [\n{cases}\n]' for name, cases in lines.items())
    (out / "generations.json").write_text(f"{{\n{text}\n}}\n")
    print(f"{len(cases)} processor cases; {len(llama_cases)} generations of llama, {len(t5_cases)} of t5")


if __name__ == "__main__":
    main()
