# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.15.0", "transformers==5.23.0", "gguf==0.19.0", "accelerate"]
# ///
"""Run a GGUF file of the llama family with the reference code on its dequantized weights.

    python tools/reference_gguf.py MODEL.gguf reference.json

For three prompts: their ids, the logits of the last token, and 64 greedy tokens.
"""

import json
import resource
import sys
import time
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

PROMPTS = [
    "Once upon a time, in a small village by the sea,",
    "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n",
    "def fibonacci(n):\n    ",
]


def main():
    path, out = Path(sys.argv[1]), Path(sys.argv[2])
    begin = time.time()
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    seconds = time.time() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"loaded in {seconds:.1f} s, peak {peak:.0f} MiB", file=sys.stderr)
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    runs = []
    for prompt in PROMPTS:
        ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, -1].tolist()
            cached, following, new = None, [], torch.tensor([ids])
            for _ in range(64):
                result = model(new, past_key_values=cached, use_cache=True)
                cached, new = result.past_key_values, result.logits[:, -1:].argmax(-1)
                following.append(new.item())
        print(tokenizer.decode(following), file=sys.stderr)
        runs.append({"ids": ids, "logits": logits, "greedy": following})
    out.write_text(json.dumps(runs))


if __name__ == "__main__":
    main()
