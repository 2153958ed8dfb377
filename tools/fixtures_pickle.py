# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.15.0", "numpy==2.4.6"]
# ///
"""Write small files with `torch.save`, and their contents as JSON, for the tests of the pickle reader.

    python tools/fixtures_pickle.py --out crates/kiln-pretrained/tests/fixtures/pickle

Values are multiples of 1/8, exact in every type. `expected.json` lists the tensors of each file: type, shape, and values in
row order. PyTorch must read each file. The script also writes a file that runs a command if PyTorch loads it unsafely. Kiln
must refuse it.
"""

import argparse
import collections
import json
import os
from pathlib import Path

import torch

TYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
         torch.uint8, torch.bool]


def numbers(*shape, start=0):
    count = int(torch.tensor(shape).prod()) if shape else 1
    return (torch.arange(start, start + count) / 8).reshape(shape)


def types():
    signs = torch.tensor([-3.0, -1.0, 0.0, 1.0, 2.0, 100.0])
    return {f"t.{t}".replace("torch.", ""): (signs.abs() if t == torch.uint8 else signs).to(t) for t in TYPES}


def views():
    whole = numbers(4, 6)
    return collections.OrderedDict(
        whole=whole,
        transposed=whole.t(),
        permuted=numbers(2, 3, 4).permute(2, 0, 1),
        slice=whole[1:3, 2:5],
        steps=whole[::2, 1::3],
        row=whole[3],
        scalar=whole[2, 1],
        expanded=numbers(3, 1).expand(3, 4),
        empty=torch.zeros(0, 5),
        tied=whole,
    )


def module():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2), torch.nn.Embedding(4, 3))
    for i, parameter in enumerate(model.parameters()):
        parameter.data = numbers(*parameter.shape, start=i)
    return model


def checkpoint(key):
    return {"epoch": 3, "loss": 0.25, "note": "naïve", key: module().state_dict(), "optimizer": {"state": {0: numbers(2)}}}


def files():
    state = module().state_dict()
    nested = {"encoder": {"weight": numbers(2, 2)}, "heads": [numbers(2), numbers(1)], "layers": {7: numbers(3)}, "size": state["0.bias"].size()}
    yield "types", types(), types(), {}
    yield "views", views(), views(), {}
    yield "module", state, state, {}
    yield "parameters", dict(module().named_parameters()), state, {}
    yield "checkpoint", checkpoint("state_dict"), state, {}
    yield "model", checkpoint("model"), state, {}
    yield "nested", nested, {"encoder.weight": nested["encoder"]["weight"], "heads.0": numbers(2), "heads.1": numbers(1),
                             "layers.7": numbers(3)}, {}
    yield "protocol4", state, state, {"pickle_protocol": 4}
    yield "legacy", views(), views(), {"_use_new_zipfile_serialization": False}
    yield "legacy_types", types(), types(), {"_use_new_zipfile_serialization": False}


def entry(tensor):
    return {"stored": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape),
            "numbers": tensor.detach().to(torch.float64).flatten().tolist()}


class Command:
    def __reduce__(self):
        return os.system, ("echo this must not run",)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    expected = {}
    for name, saved, held, options in files():
        torch.save(saved, out / f"{name}.pt", **options)
        torch.load(out / f"{name}.pt", weights_only=name != "protocol4")
        expected[name] = {key: entry(tensor) for key, tensor in held.items()}
    torch.save({"weight": numbers(2), "hook": Command()}, out / "command.pt")
    (out / "expected.json").write_text(json.dumps(expected, indent=0) + "\n")


if __name__ == "__main__":
    main()
