"""Adapters of each method beside peft: difference of logits, seconds per step and peak memory, as a table in Markdown.

    python benchmarks/adapters.py --model FOLDER [--gguf FILE] --data TEXT [--kiln kiln] [--python python] [--methods lora dora] [--cpu]

FOLDER is a Hugging Face folder with names of Llama, such as `kiln export SmolLM2.gguf --format hf --out FOLDER`; FILE is the same
model with packed weights, which stay packed (QLoRA) and which peft has no counterpart for on the CPU. `--python` is an
interpreter with torch, transformers and peft.

- Logits: peft draws random adapters and saves them; Kiln loads the folder. The largest difference of the logits of the last token,
  relative to the largest logit, both in f32.
- Steps: the median over all but the first of `--steps` steps of `--rows` sequences of `--length` tokens with gradient
  checkpointing, for weights in f32, in bf16 and packed. Neither program evaluates or saves between them.
- `--cpu`: the user and system time of a step instead, from the difference of a run of one step and a run of `--steps`, without
  the logits. Other programs on the machine change it less than the time on the clock. PyTorch's threads then wait without
  spinning.
- Memory: the peak resident set of the process of these steps, loading included.

Every program runs in its own process with the same number of threads. Measure on an idle machine.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import measure

HERE = Path(__file__).parent
IDS = [504, 3575, 282, 4649, 314, 260, 2591, 28]
# The table `adapter` of a recipe's stage for each method of finetune.py.
QV = 'target_modules = ["attention.q", "attention.v"]'
KILN = {
    "lora": f"{{ lora = {{ rank = 8, alpha = 16.0, {QV} }} }}",
    "rslora": f"{{ lora = {{ rank = 8, alpha = 16.0, rslora = true, {QV} }} }}",
    "dora": f"{{ dora = {{ rank = 8, alpha = 16.0, {QV} }} }}",
    "ia3": '{ ia3 = { target_modules = ["attention.k", "attention.v", "feed_forward.down"], '
           'feedforward_modules = ["feed_forward.down"] } }',
    "vera": f"{{ vera = {{ rank = 64, {QV} }} }}",
    "prompt_tuning": "{ prompt_tuning = { num_virtual_tokens = 20 } }",
}


class Bench:
    def __init__(self, asked):
        self.asked = asked
        self.cores = set(sorted(os.sched_getaffinity(0))[:asked.threads])

    def run(self, command):
        return measure.run([str(part) for part in command], self.asked.threads, self.cores)

    def peft(self, *more):
        return self.run([self.asked.python, HERE / "finetune.py", self.asked.model, "--threads", self.asked.threads, *more])

    def logits(self, method):
        """Largest difference of the logits of adapters that peft saved, relative to the largest logit."""
        with tempfile.TemporaryDirectory() as folder:
            ids = ",".join(map(str, IDS))
            expected = self.peft("--method", method, "--save", folder, "--ids", ids).answer["logits"]
            command = [self.asked.kiln, "logits", self.asked.model, "--adapter", folder, "--ids", ids, "--json"]
            found = self.run([*command, "--threads", self.asked.threads]).answer["logits"][-len(expected):]
        return max(abs(a - b) for a, b in zip(found, expected)) / max(map(abs, expected))

    def peft_steps(self, method, dtype):
        shape = ["--method", method, "--dtype", dtype, "--rows", self.asked.rows, "--length", self.asked.length]
        run = self.peft(*shape, "--steps", self.asked.steps)
        if self.asked.cpu:
            return self.cpu_of_a_step(run, self.peft(*shape, "--steps", 1)), run.peak
        return run.answer["seconds_per_step"], run.peak

    def cpu_of_a_step(self, run, first):
        """CPU time of a step from a run of all steps and a run of one."""
        return (run.cpu - first.cpu) / (self.asked.steps - 1)

    def kiln_run(self, method, model, dtype, steps):
        """A training run of Kiln and its metrics."""
        with tempfile.TemporaryDirectory() as folder:
            run = self.run([
                self.asked.kiln, "train", "--from", model, "--data", self.asked.data, "--out", Path(folder) / "run",
                "--steps", steps, "--batch-size", self.asked.rows, "--sequence-length", self.asked.length,
                "--set", f"stages.0.adapter={KILN[method]}", "--set", "stages.0.num_samples=0",
                "--set", f"stages.0.eval_every={steps}", "--set", f"stages.0.checkpoint_every={steps}", *dtype,
                "--threads", self.asked.threads, "--json",
            ])
            return run, [json.loads(line) for line in (Path(folder) / "run/metrics.jsonl").read_text().splitlines()]

    def kiln_steps(self, method, model, dtype):
        run, rows = self.kiln_run(method, model, dtype, self.asked.steps)
        if self.asked.cpu:
            first, _ = self.kiln_run(method, model, dtype, 1)
            return self.cpu_of_a_step(run, first), run.peak
        times = [row["seconds"] - before["seconds"] for before, row in zip(rows, rows[1:]) if row["kind"] == "step"][1:]
        return sorted(times)[len(times) // 2], run.peak

    def cells(self, method):
        """Cells of a method: attempts that fail are shown as such, with the error on standard error."""
        forms = {"f32": (["--dtype", "f32"], "float32"), "bf16": (["--dtype", "bf16"], "bfloat16")}
        yield attempt(lambda: f"{self.logits(method):.1e}") if not self.asked.cpu else ""
        for flags, dtype in forms.values():
            yield attempt(lambda: shown(self.kiln_steps(method, self.asked.model, flags)))
            yield attempt(lambda: shown(self.peft_steps(method, dtype)))
        yield attempt(lambda: shown(self.kiln_steps(method, self.asked.gguf, []))) if self.asked.gguf else ""


def attempt(measured):
    try:
        return measured()
    except measure.Failed as error:
        print(error, file=sys.stderr)
        return "failed"


def shown(figures):
    seconds, peak = figures
    return f"{seconds:.2f} s, {peak / 1e9:.2f} GB"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="Hugging Face folder")
    parser.add_argument("--gguf", type=Path, help="the same model with packed weights")
    parser.add_argument("--data", type=Path, required=True, help="text to train Kiln on")
    parser.add_argument("--kiln", default="kiln", help="Kiln's program")
    parser.add_argument("--python", default=sys.executable, help="interpreter with torch, transformers and peft")
    parser.add_argument("--methods", nargs="*", choices=KILN, default=list(KILN))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", type=int, default=2)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--cpu", action="store_true", help="CPU time of steps; --steps of at least 2")
    asked = parser.parse_args()
    if asked.cpu:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    bench = Bench(asked)
    print("| method | logits | Kiln, f32 | peft, f32 | Kiln, bf16 | peft, bf16 | Kiln, packed |")
    print("|---|---|---|---|---|---|---|")
    for method in asked.methods:
        print(f"| {method} | {' | '.join(bench.cells(method))} |", flush=True)


if __name__ == "__main__":
    main()
