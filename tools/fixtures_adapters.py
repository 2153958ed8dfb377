# /// script
# requires-python = ">=3.11"
# dependencies = ["peft==0.21.2", "torch==2.15.0", "transformers==5.24.0", "numpy==2.4.6", "safetensors==0.8.0"]
# ///
"""Write adapter folders in every form that peft writes, with the logits of the models that peft loads from them.

    python tools/fixtures_adapters.py --models crates/kiln-laws/fixtures --out crates/kiln-laws/fixtures/peft-forms
    python tools/fixtures_adapters.py --models crates/kiln-laws/fixtures --check FOLDER \
        --fixtures crates/kiln-laws/fixtures/peft-forms --record FILE

A case is a folder saved by peft, and then changed as its entry says. `expected.safetensors` has the tensor `CASE` for each
case: outputs of `PeftModel.from_pretrained(base, folder)` for `ids`, and `BASE.base`: those of the base model. A case is
refused if the adapters change the outputs too little. Everything is computed in f64 and stored as f32.
"""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import peft
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForCausalLM

import checking
from fixtures import agrees, differs

IDS = [5, 17, 13, 8, 2, 9, 11]
WEIGHTS = "adapter_model.safetensors"

LLAMA, TIED, GPT2, PHI3, BERT = "hf/llama-biases", "hf/qwen2-tied", "hf/gpt2-tied", "hf/phi3-tied", "hf-encoders/bert-bare"


def edit_config(**changes):
    """Change keys of adapter_config.json."""
    def edit(folder):
        file = folder / "adapter_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes, indent=1) + "\n")
    return edit


def rename(change, dtype=None):
    """Rename or leave out (`None`) tensors, and store them in another type."""
    def edit(folder):
        tensors = load_file(folder / WEIGHTS)
        named = {change(name): tensor.to(dtype or tensor.dtype) for name, tensor in tensors.items()}
        save_file({name: tensor for name, tensor in named.items() if name}, folder / WEIGHTS)
    return edit


def as_pickle(folder):
    torch.save(load_file(folder / WEIGHTS), folder / "adapter_model.bin")
    (folder / WEIGHTS).unlink()


# Names of a model in memory, without the prefix. peft itself does not read them; Kiln reads them as the renamed ones.
def in_memory(name):
    name = name.removeprefix("base_model.model.")
    return name.replace(".lora_A.", ".lora_A.default.").replace(".lora_B.", ".lora_B.default.")


def without_second_layer(name):
    return None if ".layers.1." in name else name


QV = ["q_proj", "v_proj"]
# name: (base model, LoraConfig options, options of save_pretrained, edit before peft reads the folder, edit after it).
CASES = {
    "extra-target": (LLAMA, dict(target_modules=["q_proj", "query_key_value", "v_proj"]), {}, None, None),
    "target-expression": (LLAMA, dict(target_modules=r".*\.layers\.\d\.(self_attn\.[qk]|mlp\.up)_proj"), {}, None, None),
    "exclude-names": (LLAMA, dict(target_modules="all-linear", exclude_modules=["down_proj", "layers.0.self_attn.k_proj"]),
                      {}, None, None),
    "exclude-expression": (LLAMA, dict(target_modules=["q_proj", "up_proj"], exclude_modules=r".*layers\.0\.mlp.*"), {},
                           None, None),
    "layers": (LLAMA, dict(target_modules=QV, layers_to_transform=[1], layers_pattern="layers"), {}, None, None),
    "alpha-expression": (LLAMA, dict(target_modules=QV, alpha_pattern={r".*\.layers\.0\..*(q_proj|v_proj)$": 30}), {},
                         None, None),
    "alpha-dot": (LLAMA, dict(target_modules=QV, alpha_pattern={"layers.0.self.attn.q_proj": 30}), {}, None, None),
    # The file has the patterns of alpha in another order than that of their names.
    "rank-order": (LLAMA, dict(target_modules=QV, rank_pattern={"layers.1.self_attn.v_proj": 3, "v_proj": 1}), {},
                   edit_config(alpha_pattern={"self_attn.v_proj": 9, "layers.0.self_attn.v_proj": 1}), None),
    "rank-stabilized": (LLAMA, dict(target_modules=QV, use_rslora=True, rank_pattern={"q_proj": 4}), {}, None, None),
    "pickle": (LLAMA, dict(target_modules=QV), {}, as_pickle, None),
    "bfloat16": (LLAMA, dict(target_modules=QV), {}, rename(lambda name: name, torch.bfloat16), None),
    "names-in-memory": (LLAMA, dict(target_modules=QV), {}, None, rename(in_memory)),
    "unselected": (LLAMA, dict(target_modules=QV), {}, edit_config(target_modules=["q_proj"]), None),
    "missing": (LLAMA, dict(target_modules=QV), {}, rename(without_second_layer), None),
    "bias-all": (LLAMA, dict(target_modules=QV, bias="all"), {}, None, None),
    "bias-lora": (LLAMA, dict(target_modules=QV, bias="lora_only"), {}, None, None),
    "saved-norms": (LLAMA, dict(target_modules=QV, modules_to_save=["norm"]), {}, None, None),
    "saved-head": (LLAMA, dict(target_modules=QV, modules_to_save=["lm_head"]), {}, None, None),
    "saved-embeddings": (LLAMA, dict(target_modules=QV), dict(save_embedding_layers=True), None, None),
    "embedding-lora": (LLAMA, dict(target_modules=["q_proj", "embed_tokens", "lm_head"]), {}, None, None),
    "token-rows": (LLAMA, dict(target_modules=QV, trainable_token_indices={"embed_tokens": [5, 13]}), {}, None, None),
    "tied-saved-embedding": (TIED, dict(target_modules=QV, modules_to_save=["embed_tokens"]), {}, None, None),
    "tied-saved-both": (TIED, dict(target_modules=QV, modules_to_save=["embed_tokens", "lm_head"]), {}, None, None),
    "tied-saved-shared": (TIED, dict(target_modules=QV, modules_to_save=["embed_tokens"], ensure_weight_tying=True), {},
                          None, None),
    "tied-embedding-lora": (TIED, dict(target_modules=["q_proj", "embed_tokens"], use_rslora=True), {}, None, None),
    "tied-head-lora": (TIED, dict(target_modules=["q_proj", "lm_head"]), dict(save_embedding_layers=False), None, None),
    "tied-token-rows": (TIED, dict(target_modules=QV, trainable_token_indices=[5, 13, 2]), {}, None, None),
    "tied-token-rows-apart": (TIED, dict(target_modules=QV, trainable_token_indices={"embed_tokens": [5, 13],
                                                                                     "lm_head": [5, 1]}), {}, None, None),
    "fused-gpt2": (GPT2, dict(target_modules=["c_attn", "wte"], rank_pattern={"c_attn": 3}), {}, None, None),
    "fused-phi3": (PHI3, dict(target_modules=["qkv_proj", "gate_up_proj"]), {}, None, None),
    "encoder": (BERT, dict(target_modules=["query", "dense"]), {}, None, None),
}
# The cases that Kiln saves as adapters again.
SAVED = ["extra-target", "rank-order", "rank-stabilized", "bfloat16", "names-in-memory", "fused-phi3", "encoder",
         "saved-norms"]


def base(models, name):
    kind = AutoModel if name == BERT else AutoModelForCausalLM
    return kind.from_pretrained(models / name, attn_implementation="eager").double().eval()


def outputs(model):
    with torch.no_grad():
        result = model(input_ids=torch.tensor([IDS]))
    return (result.logits if hasattr(result, "logits") else result.last_hidden_state)[0]


def case(name, models, out):
    """Save one folder; return the outputs that peft computes with it."""
    where, options, saving, edit, late_edit = CASES[name]
    task = None if where == BERT else "CAUSAL_LM"
    adapted = get_peft_model(base(models, where), LoraConfig(r=2, lora_alpha=3, task_type=task, **options))
    rng = np.random.default_rng(13)
    if saving.get("save_embedding_layers"):
        for module in [adapted.get_input_embeddings(), adapted.get_output_embeddings()]:
            module.weight.requires_grad = True
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            values = rng.standard_normal(tuple(parameter.shape)).astype(np.float32)
            parameter.data = (torch.from_numpy(values) * 0.3).bfloat16().double()
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    adapted.peft_config["default"].base_model_name_or_path = where
    adapted.float().save_pretrained(folder, **saving)
    (folder / "README.md").unlink(missing_ok=True)
    edit_config(**{key: sorted(value) for key, value in json.loads((folder / "adapter_config.json").read_text()).items()
                   if key in ["target_modules", "exclude_modules"] and isinstance(value, list)})(folder)
    if edit:
        edit(folder)
    result = outputs(PeftModel.from_pretrained(base(models, where), folder).double().eval())
    if late_edit:
        late_edit(folder)
    plain = outputs(base(models, where))
    differs(result, plain, 1e-2)
    print(f"{name}: largest change {(result - plain).abs().max():.2f}")
    return {name: result, f"{where.split('/')[1]}.base": plain}


def check(folder, models, fixtures):
    """Check that peft reads the adapters saved by Kiln and computes the same outputs. One line per case."""
    lines = []
    expected = load_file(fixtures / "expected.safetensors")
    for name in SAVED:
        where = CASES[name][0]
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            model = PeftModel.from_pretrained(base(models, where), folder / name).double().eval()
        assert not [w for w in said if "missing" in str(w.message)], f"{name}: {said}"
        names = set(get_peft_model_state_dict(model, save_embedding_layers=False))
        assert names == set(load_file(folder / name / WEIGHTS)), f"{name}: names differ"
        result = outputs(model)
        agrees(result, expected[name], 1e-5)
        lines.append(f"{name}: {len(names)} tensors, no name missing or left over; "
                     f"outputs apart by {(result - expected[name]).abs().max():.1e}")
    return lines


def main():
    parser = checking.options(__doc__)
    parser.add_argument("--models", type=Path, required=True, help="folder of the base models' folders")
    asked = checking.parsed(parser)
    if asked.out:
        tensors = {"ids": torch.tensor(IDS)}
        for name in CASES:
            tensors |= case(name, asked.models, asked.out)
        stored = {n: t.float().contiguous() if t.is_floating_point() else t for n, t in tensors.items()}
        save_file(stored, asked.out / "expected.safetensors")
    if asked.check:
        lines = check(asked.check, asked.models, asked.fixtures)
        checking.record("Adapters of all forms", [peft, transformers, torch], lines, asked.record)


if __name__ == "__main__":
    main()
