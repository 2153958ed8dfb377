"""Measure training steps of Kiln beside PyTorch (eager f32, and with bf16 autocast), on random tokens.

    python3 benchmarks/run.py train [--python .venv-bench/bin/python] [--only SHAPE]

Each program runs in its own process; in each round every program runs once. A figure is the median over all steps but the
first of each process, and over the rounds. Memory is the peak resident set size, less what was resident before the model
was built, less weights, gradients and AdamW's moments (16 bytes a parameter): activations and everything else.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from measure import run

ROOT = Path(__file__).resolve().parent.parent
NANO = {"hidden": 384, "layers": 6, "heads": 6, "vocab": 65, "length": 256, "position": "learned"}
# The two networks have the same number of weights: 2 · 4 M² and 3 · 8/3 M².
SHAPES = {
    "nano-gelu": (8, {**NANO, "norm": "layer", "network": "mlp", "intermediate": 1536}),
    "nano-gated": (8, {**NANO, "norm": "rms", "network": "gated_mlp", "intermediate": 1024}),
    "decoder-123m": (1, {"hidden": 768, "layers": 12, "heads": 12, "vocab": 49_152, "length": 1024, "position": "rotary",
                         "norm": "rms", "network": "gated_mlp", "intermediate": 2048}),
    "decoder-123m-2-rows": (2, {"hidden": 768, "layers": 12, "heads": 12, "vocab": 49_152, "length": 1024,
                                "position": "rotary", "norm": "rms", "network": "gated_mlp", "intermediate": 2048}),
}


def configuration(shape):
    """The shape as a configuration of Kiln."""
    def sublayer(part):
        return {"junction": {"pre": {"norm": shape["norm"]}}, "parts": [part]}

    learned = {"learned": {"max_position_embeddings": shape["length"]}}
    attention = {"attention": {"projection": {"heads": {"heads": shape["heads"]}}}}
    network = {shape["network"]: {"intermediate": shape["intermediate"]}}
    return {"vocab": shape["vocab"], "hidden": shape["hidden"], "norm": shape["norm"],
            "position": learned if shape["position"] == "learned" else "rotary",
            "blocks": [{"repeat": shape["layers"], "sublayers": [sublayer(attention), sublayer(network)]}],
            "head": {"language": {"tied": True}}}


@dataclass
class Program:
    """A program to measure: name and command, a function of shape, rows and steps."""

    name: str
    command: callable


def programs(how):
    def kiln(*options):
        return lambda shape, rows, steps: [how.kiln, json.dumps(configuration(shape)), "--rows", str(rows), "--length",
                                           str(shape["length"]), "--steps", str(steps), *options]

    def torch(*options):
        return lambda shape, rows, steps: [how.python, ROOT / "benchmarks/peers/torch_train.py", json.dumps(shape), "--rows",
                                           str(rows), "--steps", str(steps), "--threads", str(how.threads), *options]

    found = [Program("Kiln, f32", kiln())]
    if how.blocks:
        found.append(Program("Kiln, f32, blocks computed again", kiln("--checkpointing")))
    if how.python and subprocess.run([how.python, "-c", "import torch"], capture_output=True, check=False).returncode == 0:
        found += [Program("PyTorch, f32", torch()), Program("PyTorch, bf16 autocast", torch("--bf16"))]
    else:
        print("PyTorch is not installed and not measured: see benchmarks/README.md", file=sys.stderr)
    return found


def measured(shape, rows, all_programs, how):
    """Figures of each program: seconds of its steps, peaks of memory, parameters."""
    figures = {program.name: {"seconds": [], "activations": [], "parameters": None} for program in all_programs}
    for number in range(how.rounds):
        for program in all_programs:
            print(f"round {number + 1} of {how.rounds}: {program.name}", file=sys.stderr)
            found = run(program.command(shape, rows, how.steps), how.threads, how.cores)
            answer, figure = found.answer, figures[program.name]
            figure["seconds"] += answer["seconds"][1:]
            figure["activations"].append(found.peak - answer["baseline"] - 16 * answer["parameters"])
            figure["parameters"] = answer["parameters"]
    counts = {name: figure["parameters"] for name, figure in figures.items()}
    if len(set(counts.values())) > 1:
        sys.exit(f"the programs build different models: {counts}")
    return figures


def table(shape, rows, figures):
    lines = ["| program | step | tokens/s | ÷ PyTorch f32 | memory above weights, gradients, moments | ÷ PyTorch f32 |",
             "| --- | --- | --- | --- | --- | --- |"]
    peer = figures.get("PyTorch, f32")
    for name, figure in figures.items():
        step, memory = statistics.median(figure["seconds"]), statistics.median(figure["activations"])
        ratios = ["", ""]
        if peer:
            ratios = [f"{statistics.median(peer['seconds']) / step:.2f}", f"{memory / statistics.median(peer['activations']):.2f}"]
        low, high = min(figure["seconds"]), max(figure["seconds"])
        lines.append(f"| {name} | {step:.3f} s ({low:.3f}–{high:.3f}) | {rows * shape['length'] / step:.0f} | {ratios[0]} "
                     f"| {memory / 1e6:.0f} MB | {ratios[1]} |")
    return "\n".join(lines)


def main(arguments):
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser = argparse.ArgumentParser(prog="run.py train", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kiln", type=Path, default=target / "release/examples/train_step", help="example train_step")
    parser.add_argument("--python", default=str(ROOT / ".venv-bench/bin/python"), help="Python with PyTorch; empty: none")
    parser.add_argument("--only", choices=SHAPES, action="append", help="shape to measure; repeatable")
    parser.add_argument("--blocks", action="store_true", help="also measure Kiln with blocks computed again (checkpointing)")
    parser.add_argument("--threads", type=int, default=2, help="number of threads")
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds")
    parser.add_argument("--steps", type=int, default=4, help="steps of a process, of which the first is not counted")
    parser.add_argument("--out", type=Path, default=ROOT / "runs/bench/train.json", help="file for the figures as JSON")
    how = parser.parse_args(arguments)
    how.cores = set(sorted(os.sched_getaffinity(0))[:how.threads])
    all_programs, results = programs(how), {}
    for name in how.only or SHAPES:
        rows, shape = SHAPES[name]
        results[name] = measured(shape, rows, all_programs, how)
        print(f"\n### {name}: {rows} × {shape['length']} tokens, {next(iter(results[name].values()))['parameters']:,} parameters\n")
        print(table(shape, rows, results[name]))
    how.out.parent.mkdir(parents=True, exist_ok=True)
    how.out.write_text(json.dumps(results, indent=1))
