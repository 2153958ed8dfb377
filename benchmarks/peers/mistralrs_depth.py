"""mistral.rs as a subject of `depth.py`, through the package `mistralrs`: the mean time of a token, as it reports itself."""

import json
import os
from pathlib import Path

import answer

asked = answer.depth_arguments()
os.environ["MISTRALRS_CPU_KV_F32"] = str(int(asked.cache_dtype == "f32"))

from mistralrs import CompletionRequest, Runner, Which  # noqa: E402 (it reads the environment)

path = Path(asked.model)
runner = Runner(which=Which.GGUF(quantized_model_id=str(path.parent), quantized_filename=path.name))
usage = runner.send_completion_request(
    CompletionRequest(model="default", prompt=asked.prompt, max_tokens=asked.tokens, temperature=0.0)).usage
assert usage.prompt_tokens == asked.depth, f"{usage.prompt_tokens} tokens, expected {asked.depth}"
print(json.dumps({"seconds": [usage.total_completion_time_sec / usage.completion_tokens]}))
