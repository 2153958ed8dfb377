# /// script
# requires-python = ">=3.11"
# dependencies = ["gguf==0.19.0", "xllamacpp==2026.10.11549", "numpy==2.4.6"]
# ///
"""Check a GGUF file exported by Kiln with the `gguf` package, and generate text from it with llama.cpp.

    python tools/check_gguf.py ORIGINAL.gguf WRITTEN.gguf reference.json [TOKENS]

Both files must have the same tensors, equal up to quantization, and the same tokenizer. For each prompt in
`reference.json` (see `reference_gguf.py`), llama.cpp generates TOKENS (default: 64) greedy tokens from each file.
"""

import json
import sys
from pathlib import Path

import gguf
import numpy as np
import xllamacpp

# Maximum difference relative to the largest value: F16 has 11 bits, Q8_0 127 steps.
LARGEST = {"F32": 0.0, "F16": 2.0**-11, "Q8_0": 0.5 / 127 + 2.0**-11}


def numbers(tensor):
    return gguf.quants.dequantize(tensor.data, tensor.tensor_type)


def compare(original, written):
    ours = {tensor.name: tensor for tensor in written.tensors}
    assert ours.keys() == {tensor.name for tensor in original.tensors}
    for tensor in original.tensors:
        want, found = numbers(tensor), numbers(ours[tensor.name])
        apart, most = np.abs(want - found).max(), np.abs(want).max()
        assert want.shape == found.shape and apart <= LARGEST[ours[tensor.name].tensor_type.name] * most, tensor.name
    same = [key for key in original.fields if key.startswith("tokenizer.")]
    for key in same:
        assert original.fields[key].contents() == written.fields[key].contents(), key
    kinds = sorted({tensor.tensor_type.name for tensor in written.tensors})
    print(f"gguf: {len(ours)} tensors as {', '.join(kinds)}; {len(same)} tokenizer keys are equal")


def greedy(path, ids, tokens):
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx, parameters.n_parallel, parameters.warmup = 512, 1, False
    parameters.cpuparams.n_threads = 1
    server = xllamacpp.Server(parameters)
    answers = []
    for prompt in ids:
        request = {"prompt": prompt, "max_tokens": tokens, "temperature": 0.0, "logprobs": 1, "cache_prompt": False}
        answer = server.handle_completions(request)
        answers.append([token["id"] for token in answer["choices"][0]["logprobs"]["content"]])
    return answers


def main():
    paths = [Path(argument) for argument in sys.argv[1:3]]
    compare(*(gguf.GGUFReader(path) for path in paths))
    runs = json.loads(Path(sys.argv[3]).read_text())
    tokens = int(sys.argv[4]) if len(sys.argv) > 4 else 64
    for path in paths:
        for run, answer in zip(runs, greedy(path, [run["ids"] for run in runs], tokens)):
            equal = 0
            while equal < min(len(answer), len(run["greedy"])) and answer[equal] == run["greedy"][equal]:
                equal += 1
            print(f"llama.cpp, {path.name}: first {equal} of {len(answer)} tokens equal the reference")


if __name__ == "__main__":
    main()
