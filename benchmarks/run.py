"""Measures Kiln beside transformers, candle and llama.cpp. See README.md in this folder.

    python3 benchmarks/run.py [--write docs/benchmarks.md]
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import report
import scenarios
import subjects
from measure import Failed

ROOT = Path(__file__).resolve().parent.parent


def asked():
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kiln", type=Path, default=target / "release/kiln")
    parser.add_argument("--candle", type=Path, default=target / "candle/release/bench-candle")
    parser.add_argument("--python", default=str(ROOT / ".venv-bench/bin/python"), help="the Python that has the peers")
    parser.add_argument("--gguf", type=Path, default=ROOT / "models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "models/bench-500mb", help="made if it isn't there")
    parser.add_argument("--only", choices=["load", "write"], help="load: load; write: start and decode")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--prompt", default=scenarios.PROMPT)
    parser.add_argument("--out", type=Path, default=ROOT / "runs/bench", help="for results.json and medians.svg")
    parser.add_argument("--write", type=Path, help="the page to write, its picture beside it in images/")
    return parser.parse_args()


def machine(threads):
    """What is said of the machine."""
    flags = Path("/proc/cpuinfo").read_text().split() if Path("/proc/cpuinfo").exists() else []
    wide = next((name for flag, name in [("avx512f", "AVX-512"), ("avx2", "AVX2")] if flag in flags), "no AVX")
    return f"{ {1: 'one core', 2: 'two cores'}.get(threads, f'{threads} cores')}, {wide}, no GPU"


def measured(how, there):
    """All scenarios that were asked for."""
    ids = there[0].encode(how.gguf, how.prompt)
    done = []
    if how.only != "write":
        done.append(scenarios.load("load-gguf", "Loading SmolLM2-135M (GGUF, Q4_1)", there, how.gguf, ids, how))
        some = [subject for subject in there if subject.safetensors]
        done.append(scenarios.load("load-safetensors", "Loading 500 MB of safetensors", some, how.checkpoint, ids, how))
    if how.only != "load":
        done += scenarios.write(there, how.gguf, how.prompt, ids, how)
    return done


def main():
    how = asked()
    how.cores, how.machine = set(sorted(os.sched_getaffinity(0))[:how.threads]), machine(how.threads)
    there, missing = subjects.found(how.kiln, how.candle, how.python)
    for name in missing:
        print(f"{name} is not there and not measured: see benchmarks/README.md", file=sys.stderr)
    if how.only != "write" and not how.checkpoint.exists():
        subprocess.run([how.python, subjects.PEERS / "checkpoint.py", how.checkpoint], check=True)
    done = measured(how, there)
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
        main()
    except Failed as failed:
        sys.exit(str(failed))
