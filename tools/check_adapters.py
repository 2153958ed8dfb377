# /// script
# requires-python = ">=3.11"
# dependencies = ["peft==0.21.2", "torch==2.15.0", "transformers==5.24.0", "numpy==2.4.6", "safetensors==0.8.0"]
# ///
"""Check that peft reads the adapter folders that Kiln saved and computes the same logits. One line per folder.

    KILN_SAVED=FOLDER cargo test -p kiln-laws --test integration -- peft::folder
    python tools/check_adapters.py --check FOLDER --models crates/kiln-laws/fixtures/hf \
        --fixtures crates/kiln-laws/fixtures/peft --record crates/kiln-laws/fixtures/peft/record.txt

For each folder, the tensors that peft's model has must be those of the file, with the same values after loading: no name is
missing or left over. The logits, computed in f64, must be those of the case of the same name in `--fixtures` within 1e-5 of
the largest one.
"""

import warnings
from pathlib import Path

import peft
import torch
import transformers
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file

import checking
from fixtures import agrees
from fixtures_peft import CASES, base, logits

TOLERANCE = 1e-5


def loaded(folder, model):
    """The model with the adapters of a folder. Refuses a warning about names, and a tensor that peft does not keep."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        adapted = PeftModel.from_pretrained(model, folder).eval()
    # peft looks for the modules of AdaLoRA's `rank_pattern` under the names of LoRA's, and warns about its own folders too.
    said = [text for text in map(lambda w: str(w.message), said) if not text.startswith("The following rank_pattern keys")]
    said = [text for text in said if any(word in text for word in ["missing", "unexpected", "ignored"])]
    assert not said, f"{folder.name}: {said}"
    kept = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    file = load_file(folder / "adapter_model.safetensors")
    # The unchanged weight of an embedding, which peft saves beside its adapter.
    file = {name: tensor for name, tensor in file.items() if not name.endswith("base_layer.weight")}
    assert set(kept) == set(file), f"{folder.name}: names differ: {set(kept) ^ set(file)}"
    for name, tensor in file.items():
        assert torch.equal(kept[name], tensor), f"{folder.name}: {name} differs"
    return adapted.double(), len(file)


def check(folder, models, fixtures):
    lines = []
    for saved in sorted(path for path in folder.iterdir() if (path / "adapter_config.json").exists()):
        model, count = loaded(saved, base(models, CASES[saved.name][0]))
        expected = load_file(fixtures / saved.name / "expected.safetensors")
        rows = [ids[:n] for ids, n in zip(expected["ids"], expected["lengths"].tolist())]
        with torch.no_grad():
            result, mask = logits(model, rows)
        live = mask.bool()
        agrees(result[live], expected["logits"][live], TOLERANCE)
        apart = (result - expected["logits"])[live].abs().max()
        lines.append(f"{saved.name}: {count} tensors, no name missing or left over; logits apart by {apart:.1e}")
    missing = set(CASES) - {line.split(":")[0] for line in lines}
    assert not missing, f"no folder of {sorted(missing)}"
    return lines


def main():
    parser = checking.options(__doc__)
    parser.add_argument("--models", type=Path, required=True, help="folder of the base models")
    asked = checking.parsed(parser)
    lines = check(asked.check, asked.models, asked.fixtures)
    checking.record("Adapters", [peft, transformers, torch], lines, asked.record)


if __name__ == "__main__":
    main()
