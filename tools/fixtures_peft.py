# /// script
# requires-python = ">=3.11"
# dependencies = ["peft==0.21.2", "torch==2.15.0", "transformers==5.24.0", "numpy==2.4.6", "safetensors==0.8.0"]
# ///
"""Write PEFT adapter folders with the outputs and gradients of the adapted models.

    python tools/fixtures_peft.py --models crates/kiln-laws/fixtures/hf --out crates/kiln-laws/fixtures/peft [--cases NAME …]

`tools/check_adapters.py` checks that peft reads the adapters that Kiln saved.

A case is a folder saved by peft for a model of `--models`, with an additional file `expected.safetensors`: logits of three
texts of unequal length, padded on the right, with and without the adapters; the gradient of sum(logits * cotangent) with
respect to every trained tensor of the file. The logits of virtual tokens are left out. A case is refused if the adapters
change the logits too little, or if merging them changes the logits (prompts and adapters of tied embeddings excepted). Everything is computed in f64 from values that are exact
in f32, and stored as f32.

The case `adalora-steps` has steps of AdaLoRA's allocation of ranks. The case `two` has two folders, `first` and `second`, of one base model: `logits` with both, `weighted` with 0.75 times the
first plus 0.5 times the second.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from peft import (AdaLoraConfig, IA3Config, LoraConfig, PromptTuningConfig, VeraConfig, XLoraConfig, get_peft_model,
                  get_peft_model_state_dict)
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

import checking
from fixtures import agrees, differs
from fixtures_hf import run, texts

LLAMA, UNTIED, GPT2, PHI3, MOE = "llama-biases", "llama-llama3", "gpt2-tied", "phi3-tied", "qwen3_moe-mixed"
EXPERTS = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
KV_DOWN = ["k_proj", "v_proj", "down_proj"]

# name: base model, adapter options.
CASES = {
    "llama": (LLAMA, LoraConfig(r=3, lora_alpha=7, lora_dropout=0.25, target_modules="all-linear",
                                rank_pattern={"k_proj": 2}, alpha_pattern={"layers.1.mlp.down_proj": 5.0})),
    "llama-rs": (UNTIED, LoraConfig(r=4, lora_alpha=3, use_rslora=True, target_modules=["q_proj", "v_proj"])),
    "gpt2": (GPT2, LoraConfig(r=2, lora_alpha=3, target_modules=["c_proj", "mlp.c_fc"], fan_in_fan_out=True)),
    "fused-gpt2": (GPT2, LoraConfig(r=2, lora_alpha=3, target_modules=["c_attn"], fan_in_fan_out=True)),
    "fused-phi3": (PHI3, LoraConfig(r=2, lora_alpha=3, target_modules=["qkv_proj", "gate_up_proj"])),
    "dora": (LLAMA, LoraConfig(r=2, lora_alpha=3, use_dora=True, target_modules=["q_proj", "v_proj", "down_proj"],
                               rank_pattern={"v_proj": 3})),
    "dora-gpt2": (GPT2, LoraConfig(r=2, lora_alpha=3, use_dora=True, use_rslora=True, fan_in_fan_out=True,
                                   target_modules=["c_attn", "mlp.c_proj"])),
    "dora-phi3": (PHI3, LoraConfig(r=2, lora_alpha=3, use_dora=True, target_modules=["qkv_proj", "o_proj"])),
    "dora-embedding": (UNTIED, LoraConfig(r=2, lora_alpha=3, use_dora=True, target_modules=["embed_tokens", "v_proj"])),
    "embedding": (UNTIED, LoraConfig(r=2, lora_alpha=3, target_modules=["embed_tokens", "q_proj"])),
    "embedding-tied": (LLAMA, LoraConfig(r=2, lora_alpha=3, target_modules=["embed_tokens"])),
    "embedding-gemma": ("gemma-scaled", LoraConfig(r=2, lora_alpha=3, target_modules=["embed_tokens", "v_proj"])),
    "experts": (MOE, LoraConfig(r=2, lora_alpha=3, target_modules=["q_proj"], target_parameters=EXPERTS)),
    "experts-down": ("mixtral-experts", LoraConfig(r=3, lora_alpha=4, use_rslora=True, target_modules=[],
                                                   target_parameters=EXPERTS[1:])),
    "ia3": (LLAMA, IA3Config(target_modules=KV_DOWN, feedforward_modules=["down_proj"])),
    "ia3-gpt2": (GPT2, IA3Config(target_modules=["c_attn", "mlp.c_proj"], feedforward_modules=["mlp.c_proj"],
                                 fan_in_fan_out=True)),
    "prompt": (LLAMA, PromptTuningConfig(num_virtual_tokens=3)),
    "prompt-gpt2": (GPT2, PromptTuningConfig(num_virtual_tokens=5)),
    "adalora": (LLAMA, AdaLoraConfig(init_r=4, target_r=2, lora_alpha=9, lora_dropout=0.25, total_step=10, tinit=1, tfinal=2,
                                     deltaT=2, target_modules=KV_DOWN)),
    "adalora-gpt2": (GPT2, AdaLoraConfig(init_r=3, target_r=2, lora_alpha=5, total_step=10, fan_in_fan_out=True,
                                         orth_reg_weight=0.25, target_modules=["mlp.c_fc", "mlp.c_proj"])),
    "vera": (LLAMA, VeraConfig(r=5, target_modules=KV_DOWN)),
    "vera-gpt2": (GPT2, VeraConfig(r=3, target_modules=["c_attn"], fan_in_fan_out=True)),
    "vera-seed": (LLAMA, VeraConfig(r=5, target_modules=KV_DOWN, save_projection=False, projection_prng_key=17)),
}
# X-LoRA over the two folders of the case `two`.
XLORA = {
    "layers": dict(layerwise_scalings=True, xlora_depth=3, xlora_size=6, softmax_temperature=0.5, global_scaling_weight=1.5),
    "shared": dict(xlora_depth=1),
    "top": dict(layerwise_scalings=True, xlora_depth=2, xlora_size=5, top_k_lora=1, enable_softmax=False),
    "top-softmax": dict(layerwise_scalings=True, xlora_depth=1, top_k_lora=2, enable_softmax=False,
                        enable_softmax_topk=True),
}
TWO = {
    "first": LoraConfig(r=2, lora_alpha=3, target_modules=["q_proj", "up_proj"]),
    "second": LoraConfig(r=3, lora_alpha=4, use_rslora=True, target_modules=["q_proj", "v_proj"]),
}


def base(models, name):
    model = AutoModelForCausalLM.from_pretrained(models / name, attn_implementation="eager", experts_implementation="eager")
    return model.float().eval()


def draw(adapted, rng):
    """Draw the trained values: scales around 1, magnitudes around their own, others around 0."""
    # The rank that AdaLoRA divides by is a parameter too.
    trained = {n: p for n, p in adapted.named_parameters() if p.requires_grad and "ranknum" not in n}
    for name, parameter in trained.items():
        noise = torch.from_numpy(rng.standard_normal(tuple(parameter.shape)).astype(np.float32)) * 0.3
        if "ia3_" in name:
            noise = noise + 1
        if "magnitude" in name:
            noise = (noise + 1) * parameter.data.float()
        parameter.data = noise.float().double()
    return trained


def prune(adapted):
    """Take singular values from the modules: none of the first, one of the second, and so on, all of the last."""
    tuner = adapted.base_model
    singular = [(n, p) for n, p in tuner.model.named_parameters() if ".lora_E." in n]
    pattern = {}
    for index, (name, values) in enumerate(singular):
        rank = len(values)
        lost = rank if index == len(singular) - 1 else index % rank
        kept = torch.tensor([(place + index) % rank >= lost for place in range(rank)])
        values.data *= kept[:, None]
        pattern[name] = kept.tolist()
    tuner.peft_config["default"].rank_pattern = pattern


def orthogonality(adapted, rows):
    """The regularizing loss of AdaLoRA without its coefficient."""
    ids = rows[0][None]
    config = adapted.base_model.peft_config["default"]
    weight = config.orth_reg_weight
    with torch.no_grad():
        whole = adapted.base_model(input_ids=ids, labels=ids).loss
        config.orth_reg_weight = 0
        plain = adapted.base_model(input_ids=ids, labels=ids).loss
        config.orth_reg_weight = weight
    return ((whole - plain) / weight).reshape(1)


def xlora(models, out):
    """X-LoRA over the adapters of the case `two`: the file of each of `XLORA` has the classifier, its scalings `[B, T, layers,
    adapters]`, logits, and gradients of the classifier; `modules.json` has the names of the layers in their order."""
    folder = out / "xlora"
    folder.mkdir(parents=True, exist_ok=True)
    for name, options in XLORA.items():
        model = base(models, LLAMA)
        model.config.use_cache = False
        rows = texts(model.config.vocab_size)
        adapters = {str(index): str(out / "two" / part) for index, part in enumerate(TWO)}
        config = XLoraConfig(hidden_size=model.config.hidden_size, adapters=adapters, task_type="CAUSAL_LM", **options)
        adapted = get_peft_model(model, config).double().eval()
        classifier = adapted.base_model.internal_xlora_classifier
        classifier.dtype = torch.float64
        rng = np.random.default_rng(15)
        for parameter in classifier.parameters():
            noise = torch.from_numpy(rng.standard_normal(tuple(parameter.shape)).astype(np.float32))
            parameter.data = noise.double()
            parameter.requires_grad = True
        result, mask = logits(adapted, rows)
        live = mask.bool()
        cotangent = torch.from_numpy(rng.standard_normal(tuple(result.shape)).astype(np.float32)) * live[..., None]
        (result * cotangent).sum().backward()
        tensors = inputs(rows, mask) | {"logits": result, "cotangent": cotangent,
                                        "scalings": adapted.base_model.internal_xlora_scalings}
        for parameter, value in classifier.layers.named_parameters():
            tensors |= {parameter: value.data, f"gradient.{parameter}": value.grad}
        real = {n: t.float() if t.is_floating_point() else t for n, t in tensors.items()}
        save_file({n: t.detach().clone().contiguous() for n, t in real.items()}, folder / f"{name}.safetensors")
        layers = [n.split("lora_model.")[-1].removeprefix("model.") for n, m in adapted.named_modules()
                  if hasattr(m, "lora_A") and hasattr(m, "base_layer")]
        (folder / "modules.json").write_text(json.dumps(layers, indent=1) + "\n")
        print("xlora", name, len(layers), tuple(tensors["scalings"].shape))


def adalora_steps(models, out):
    """Ten steps of AdaLoRA: values after the optimizer's update, their gradients, and what `update_and_allocate` leaves of E.

    `STEP.MODULE.a` is `[in, r]`, `.e` `[r]` and `.b` `[r, out]`, as in Kiln; `.gradient_a` and so on; `.allocated` is E afterward.
    """
    steps = 10
    model = base(models, LLAMA).double()
    rows = texts(model.config.vocab_size)
    options = AdaLoraConfig(init_r=4, target_r=2, total_step=steps, tinit=2, tfinal=2, deltaT=2,
                            target_modules=["q_proj", "v_proj"])
    adapted = get_peft_model(model, options).double().eval()
    rng = np.random.default_rng(14)
    trained = draw(adapted, rng)
    optimizer = torch.optim.SGD(trained.values(), lr=0.05)
    tensors = {}
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        result, mask = logits(adapted, rows)
        cotangent = torch.from_numpy(rng.standard_normal(tuple(result.shape))) * mask[..., None] * 0.05
        (result * cotangent).sum().backward()
        optimizer.step()
        layers = {n: m for n, m in adapted.named_modules() if hasattr(m, "ranknum")}
        for name, layer in layers.items():
            here = f"{step}.{name.removeprefix('base_model.model.')}"
            for short, p in [("a", layer.lora_A.default), ("e", layer.lora_E.default), ("b", layer.lora_B.default)]:
                value, gradient = (p.data.T, p.grad.T) if short != "e" else (p.data.flatten(), p.grad.flatten())
                tensors[f"{here}.{short}"] = value.clone()
                tensors[f"{here}.gradient_{short}"] = gradient.clone()
        adapted.base_model.update_and_allocate(step)
        for name, layer in layers.items():
            allocated = layer.lora_E.default.data.flatten().clone()
            tensors[f"{step}.{name.removeprefix('base_model.model.')}.allocated"] = allocated
    folder = out / "adalora-steps"
    folder.mkdir(parents=True, exist_ok=True)
    store(tensors, folder)
    ranks = [[int((t != 0).sum()) for n, t in tensors.items() if n.startswith(f"{s}.") and n.endswith("allocated")]
             for s in range(1, steps + 1)]
    print("adalora-steps", ranks)


def logits(model, rows):
    """Logits of the texts (those of virtual tokens left out), and their mask."""
    result, mask = run(model, rows)
    return result.logits[:, -mask.shape[1]:], mask


def save(adapted, where, folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for config in adapted.peft_config.values():
        config.base_model_name_or_path = where
    adapted.float().save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)


def tidy(folder):
    """Sort the module names, whose order peft draws."""
    config = json.loads((folder / "adapter_config.json").read_text())
    for key in ["target_modules", "feedforward_modules"]:
        if isinstance(config.get(key), list):
            config[key].sort()
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")


def inputs(rows, mask):
    return {"ids": torch.stack([torch.cat([r, r.new_zeros(mask.shape[1] - len(r))]) for r in rows]), "lengths": mask.sum(1)}


def store(tensors, folder):
    real = {n: t.float() if t.is_floating_point() else t for n, t in tensors.items()}
    save_file({n: t.detach().clone().contiguous() for n, t in real.items()}, folder / "expected.safetensors")


def one(name, models, out):
    where, options = CASES[name]
    model = base(models, where).double()
    rows = texts(model.config.vocab_size)
    with torch.no_grad():
        plain, mask = logits(model, rows)
    options.task_type = "CAUSAL_LM"
    adapted = get_peft_model(model, options).double().eval()
    rng = np.random.default_rng(11)
    trained = draw(adapted, rng)
    if name == "adalora":
        prune(adapted)
    result, mask = logits(adapted, rows)
    live = mask.bool()
    differs(result[live], plain[live], 1e-1)
    cotangent = torch.from_numpy(rng.standard_normal(tuple(result.shape)).astype(np.float32)) * live[..., None]
    (result * cotangent).sum().backward()
    tensors = inputs(rows, mask) | {"logits": result, "base": plain, "cotangent": cotangent}
    if options.peft_type == "ADALORA":
        tensors["orthogonality"] = orthogonality(adapted, rows)
    # Written in place of what they are gradients of, they have the names of the file.
    values = {n: p.data for n, p in trained.items()}
    for parameter in trained.values():
        parameter.data = parameter.grad
    tensors |= {f"gradient.{n}": t for n, t in get_peft_model_state_dict(adapted).items()
                if not n.endswith(("base_layer.weight", "vera_A", "vera_B"))}
    tensors = {n: t.detach().clone() for n, t in tensors.items()}
    for n, parameter in trained.items():
        parameter.data = values[n]
    save(adapted, where, out / name)
    tidy(out / name)
    store(tensors, out / name)
    # peft merges the adapter of a tied embedding into the head too.
    if options.peft_type != "PROMPT_TUNING" and name not in ["embedding-tied", "embedding-gemma"]:
        with torch.no_grad():
            merged, _ = logits(adapted.double().merge_and_unload(), rows)
        agrees(merged[live], result[live], 1e-9)
    size = sum(file.stat().st_size for file in (out / name).iterdir())
    print(f"{name}: {len(trained)} tensors, {size} bytes, largest logit change {(result - plain)[live].abs().max():.2f}")


def two(models, out):
    """Two adapters of one model, together and weighted."""
    model = base(models, LLAMA).double()
    rows = texts(model.config.vocab_size)
    adapted = get_peft_model(model, TWO["first"], adapter_name="first")
    adapted.add_adapter("second", TWO["second"])
    adapted.base_model.set_adapter(["first", "second"])
    adapted = adapted.double().eval()
    draw(adapted, np.random.default_rng(12))
    tensors = {}
    with torch.no_grad():
        tensors["logits"], mask = logits(adapted, rows)
        for name in TWO:
            adapted.base_model.set_adapter(name)
            tensors[name], _ = logits(adapted, rows)
        adapted.add_weighted_adapter(["first", "second"], [0.75, 0.5], "weighted", combination_type="cat")
        adapted.base_model.set_adapter("weighted")
        tensors["weighted"], _ = logits(adapted, rows)
    live = mask.bool()
    differs(tensors["weighted"][live], tensors["logits"][live], 1e-1)
    adapted.delete_adapter("weighted")
    save(adapted, LLAMA, out / "two")
    for name in TWO:
        tidy(out / "two" / name)
    store(inputs(rows, mask) | tensors, out / "two")
    print("two")


def main():
    parser = checking.options(__doc__)
    parser.add_argument("--models", type=Path, required=True, help="folder of the base models")
    parser.add_argument("--cases", nargs="*", default=[*CASES, "two", "adalora-steps", "xlora"], help="the cases to write; default: all")
    asked = checking.parsed(parser)
    for name in asked.cases:
        match name:
            case "two":
                two(asked.models, asked.out)
            case "xlora":
                xlora(asked.models, asked.out)
            case "adalora-steps":
                adalora_steps(asked.models, asked.out)
            case _:
                one(name, asked.models, asked.out)


if __name__ == "__main__":
    main()
