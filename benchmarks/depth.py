#!/usr/bin/env python3
"""Decoding time of a token by depth: Kiln, llama.cpp and mistral.rs on the same GGUF file.

    python3 benchmarks/depth.py models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf

Every subject reads a prompt of `depth` tokens and decodes greedily. A figure is the median time of a token (mistral.rs: its
mean), and over the rounds the median. Ratios are those of a round."""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

from measure import Failed, run

PEERS = Path(__file__).parent / "peers"


def prompt(kiln, model, text, depth):
    """The shortest start of `text`, up to a space, that has `depth` tokens."""
    words = text.split(" ")
    low, high = 1, len(words)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if count(kiln, model, words[:middle]) >= depth else (middle + 1, high)
    start = words[:low]
    # A word may have several tokens: shorten the last one.
    while count(kiln, model, start) > depth and start:
        start[-1:] = [start[-1][:-1]] if len(start[-1]) > 1 else []
    if count(kiln, model, start) != depth:
        sys.exit(f"no start of the text has {depth} tokens; give a longer text with --text")
    return " ".join(start)


def count(kiln, model, words):
    command = [kiln, "tokenizer", "encode", model, "--text", " ".join(words), "--json"]
    return len(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])["ids"])


def subjects(asked):
    """The commands of the installed subjects, by name."""
    found = {"kiln": [sys.executable, PEERS / "kiln_depth.py", "--program", asked.kiln]}
    for name, python, package in [("llama.cpp", asked.llama_python, "llama_cpp"),
                                  ("mistral.rs", asked.mistralrs_python, "mistralrs")]:
        check = [python, "-c", f"import {package}"]
        if shutil.which(python) and subprocess.run(check, capture_output=True, check=False).returncode == 0:
            found[name] = [python, PEERS / f"{name.replace('.', '_') if package == 'llama_cpp' else package}_depth.py"]
        else:
            print(f"not installed: {name}", file=sys.stderr)
    return {name: call for name, call in found.items() if not asked.only or name in asked.only}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--kiln", default="target/release/kiln")
    parser.add_argument("--llama-python", default=".venv-bench/bin/python")
    parser.add_argument("--mistralrs-python", default=".venv-bench/bin/python")
    parser.add_argument("--only", action="append", help="measure this subject; may be repeated")
    parser.add_argument("--text", type=Path, default=Path(__file__).parents[1] / "docs/training.md")
    parser.add_argument("--depths", default="16,512,2000,4000", type=lambda text: [int(part) for part in text.split(",")])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache-dtype", choices=["f32", "f16"], default="f32")
    asked = parser.parse_args()
    calls, cores = subjects(asked), sorted(os.sched_getaffinity(0))[:asked.threads]
    text = asked.text.read_text()
    print(f"| depth | {' | '.join(f'{name} | kiln ÷ this' if name != 'kiln' else name for name in calls)} |")
    print(f"| --- |{' --- |' * (2 * len(calls) - ('kiln' in calls))}")
    for depth in asked.depths:
        words = prompt(asked.kiln, asked.model, text, depth)
        times = {name: [] for name in calls}
        for _ in range(asked.rounds):
            for name, call in calls.items():
                command = [*call, asked.model, "--prompt", words, "--depth", str(depth), "--tokens", str(asked.tokens),
                           "--threads", str(asked.threads), "--cache-dtype", asked.cache_dtype]
                try:
                    times[name].append(statistics.median(run(command, asked.threads, cores).answer["seconds"]))
                except Failed as failure:
                    print(f"{name} at {depth}: {failure}", file=sys.stderr)
        cells = []
        for name, seconds in times.items():
            cells.append(f"{statistics.median(seconds) * 1e3:.1f} ms" if seconds else "failed")
            if name != "kiln":
                pairs = [a / b for a, b in zip(times.get("kiln", []), seconds)]
                cells.append(f"{statistics.median(pairs):.2f}" if pairs else "")
        print(f"| {depth:,} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
