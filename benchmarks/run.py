"""Compare Kiln with transformers, candle and llama.cpp. See README.md in this folder.

    python3 benchmarks/run.py [--write docs/benchmarks.md]
    python3 benchmarks/run.py train            (training steps beside PyTorch: train.py)
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import report
import scenarios
import subjects
import train
from measure import Failed

ROOT = Path(__file__).resolve().parent.parent


def parse_arguments():
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kiln", type=Path, default=target / "release/kiln", help="kiln binary")
    parser.add_argument("--candle", type=Path, default=target / "candle/release/bench-candle",
                        help="candle benchmark binary")
    parser.add_argument("--python", default=str(ROOT / ".venv-bench/bin/python"), help="Python interpreter with the peers installed")
    parser.add_argument("--gguf", type=Path, default=ROOT / "models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                        help="GGUF model")
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "models/bench-500mb",
                        help="safetensors model; created if it does not exist")
    parser.add_argument("--checkpoint-bf16", type=Path, default=ROOT / "models/bench-500mb-bf16",
                        help="the same in bf16; created if it does not exist")
    parser.add_argument("--only", choices=["load", "safetensors", "generate"],
                        help="run only the loading scenarios, only those of safetensors, or only the generation scenarios "
                             "(start and decode)")
    parser.add_argument("--threads", type=int, default=2, help="number of threads")
    parser.add_argument("--rounds", type=int, default=7, help="number of rounds, without the warmup round")
    parser.add_argument("--prompt", default=scenarios.PROMPT, help="prompt of the generation scenarios")
    parser.add_argument("--out", type=Path, default=ROOT / "runs/bench", help="output folder of results.json and medians.svg")
    parser.add_argument("--write", type=Path, help="Markdown page to write; its chart goes to images/ in the same folder")
    return parser.parse_args()


def machine(threads):
    """A description of the machine."""
    flags = Path("/proc/cpuinfo").read_text().split() if Path("/proc/cpuinfo").exists() else []
    wide = next((name for flag, name in [("avx512f", "AVX-512"), ("avx2", "AVX2")] if flag in flags), "no AVX")
    return f"{ {1: 'one core', 2: 'two cores'}.get(threads, f'{threads} cores')}, {wide}, no GPU"


def run_scenarios(how, there):
    """Run the selected scenarios."""
    done, some = [], [subject for subject in there if subject.safetensors]
    # The checkpoints of random weights have no tokenizer: any token will do.
    ids = [7] if how.only == "safetensors" else there[0].encode(how.gguf, how.prompt)
    if how.only in (None, "load"):
        done.append(scenarios.load("load-gguf", "Loading SmolLM2-135M (GGUF, Q4_1)", there, how.gguf, ids, how))
    if how.only != "generate":
        done.append(scenarios.load("load-safetensors", "Loading 500 MB of safetensors (f32)", some, how.checkpoint, ids, how))
        done.append(scenarios.load("load-bf16", "Loading 500 MB of safetensors (bf16)", some, how.checkpoint_bf16, ids, how))
    if how.only in (None, "generate"):
        done += scenarios.generate(there, how.gguf, how.prompt, ids, how)
    return done


def main():
    how = parse_arguments()
    how.cores, how.machine = set(sorted(os.sched_getaffinity(0))[:how.threads]), machine(how.threads)
    there, missing = subjects.found(how.kiln, how.candle, how.python)
    for name in missing:
        print(f"{name} is not installed and not measured: see benchmarks/README.md", file=sys.stderr)
    for folder, dtype in [(how.checkpoint, "f32"), (how.checkpoint_bf16, "bf16")]:
        if how.only != "generate" and not folder.exists():
            subprocess.run([how.python, subjects.PEERS / "checkpoint.py", folder, dtype], check=True)
    done = run_scenarios(how, there)
    for scenario in done:
        print(f"\n{scenario.title}\n\n{report.table(scenario)}")
    image = report.picture(done)
    how.out.mkdir(parents=True, exist_ok=True)
    (how.out / "results.json").write_text(report.facts(done, there, how))
    (how.out / "medians.svg").write_text(image)
    if how.write:
        (how.write.parent / "images").mkdir(exist_ok=True)
        (how.write.parent / "images/benchmarks.svg").write_text(image)
        how.write.write_text(report.page(done, there, missing, how, "images/benchmarks.svg"))


if __name__ == "__main__":
    try:
        train.main(sys.argv[2:]) if sys.argv[1:2] == ["train"] else main()
    except Failed as failed:
        sys.exit(str(failed))
