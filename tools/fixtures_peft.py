# /// script
# requires-python = ">=3.11"
# dependencies = ["peft==0.21.2", "torch==2.15.0", "transformers==5.23.0", "numpy==2.4.6", "safetensors==0.8.0"]
# ///
"""Write PEFT adapter folders with the outputs of the adapted models, and check that peft reads the adapters that Kiln saved.

    python tools/fixtures_peft.py --models crates/kiln-laws/fixtures/hf --out crates/kiln-laws/fixtures/peft
    python tools/fixtures_peft.py --models crates/kiln-laws/fixtures/hf --check FOLDER \
        --fixtures crates/kiln-laws/fixtures/peft --record FILE

A case is a folder saved by peft for a model of `--models`, with an additional file `expected.safetensors`: logits of three
texts of unequal length, padded on the right, with and without the adapters; the gradient of sum(logits * cotangent) with
respect to every A and B. A case is refused if the adapters change the logits too little. Everything is computed in f64 from
values that are exact in f32, and stored as f32.
"""

import json
from pathlib import Path

import numpy as np
import peft
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

import checking
from fixtures import agrees, differs
from fixtures_hf import run, texts

# name: base model, adapter options.
CASES = {
    "llama": ("llama-biases", dict(r=3, lora_alpha=7, lora_dropout=0.25, target_modules="all-linear",
                                   rank_pattern={"k_proj": 2}, alpha_pattern={"layers.1.mlp.down_proj": 5.0})),
    "llama-rs": ("llama-llama3", dict(r=4, lora_alpha=3, use_rslora=True, target_modules=["q_proj", "v_proj"])),
    "gpt2": ("gpt2-tied", dict(r=2, lora_alpha=3, target_modules=["c_proj", "mlp.c_fc"], fan_in_fan_out=True)),
}


def base(models, name):
    return AutoModelForCausalLM.from_pretrained(models / name, attn_implementation="eager").float().eval()


def case(name, models, out):
    where, options = CASES[name]
    model = base(models, where).double()
    rows = texts(model.config.vocab_size)
    with torch.no_grad():
        plain, mask = run(model, rows)
    adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **options)).double().eval()
    rng = np.random.default_rng(11)
    loras = {n: p for n, p in adapted.named_parameters() if "lora_" in n}
    for parameter in loras.values():
        values = rng.standard_normal(tuple(parameter.shape)).astype(np.float32)
        parameter.data = (torch.from_numpy(values) * 0.3).double()
    result, mask = run(adapted, rows)
    live = mask.bool()
    differs(result.logits[live], plain.logits[live], 1e-1)
    cotangent = torch.from_numpy(rng.standard_normal(tuple(result.logits.shape)).astype(np.float32)) * live[..., None]
    (result.logits * cotangent).sum().backward()
    tensors = {"ids": torch.stack([torch.cat([r, r.new_zeros(mask.shape[1] - len(r))]) for r in rows]),
               "lengths": mask.sum(1), "logits": result.logits, "base": plain.logits, "cotangent": cotangent}
    tensors |= {f"gradient.{n.replace('.default', '')}": p.grad for n, p in loras.items()}
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    adapted.peft_config["default"].base_model_name_or_path = where
    adapted.float().save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / "adapter_config.json").read_text())
    config["target_modules"].sort()
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")
    real = {n: t.float() if t.is_floating_point() else t for n, t in tensors.items()}
    save_file({n: t.detach().clone().contiguous() for n, t in real.items()}, folder / "expected.safetensors")
    print(f"{name}: {len(loras)} matrices, largest logit change {(result.logits - plain.logits)[live].abs().max():.2f}")


def check(folder, models, fixtures):
    """Check that peft reads the adapters saved by Kiln and computes the same logits. One line per case."""
    lines = []
    for saved in sorted(path for path in folder.iterdir() if (path / "adapter_config.json").exists()):
        model = PeftModel.from_pretrained(base(models, CASES[saved.name][0]), saved).eval()
        names = {n.replace(".default", "") for n, _ in model.named_parameters() if "lora_" in n}
        assert names == set(load_file(saved / "adapter_model.safetensors")), f"{saved.name}: names differ"
        expected = load_file(fixtures / saved.name / "expected.safetensors")
        rows = [ids[:n] for ids, n in zip(expected["ids"], expected["lengths"].tolist())]
        with torch.no_grad():
            result, mask = run(model, rows)
        live = mask.bool()
        agrees(result.logits[live], expected["logits"][live], 1e-5)
        lines.append(f"{saved.name}: {len(names)} matrices, no name missing or left over; "
                     f"logits apart by {(result.logits - expected['logits'])[live].abs().max():.1e}")
    assert len(lines) == len(CASES), f"{len(lines)} of {len(CASES)} cases"
    return lines


def main():
    parser = checking.options(__doc__)
    parser.add_argument("--models", type=Path, required=True, help="folder of the base models")
    asked = checking.parsed(parser)
    if asked.out:
        for name in CASES:
            case(name, asked.models, asked.out)
    if asked.check:
        lines = check(asked.check, asked.models, asked.fixtures)
        checking.record("Adapters", [peft, transformers, torch], lines, asked.record)


if __name__ == "__main__":
    main()
