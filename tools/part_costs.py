# /// script
# requires-python = ">=3.11"
# ///
"""Times a training step of the default recipe with one part changed, for each part in turn.

    cargo build --release
    python3 tools/part_costs.py target/release/kiln

Prints milliseconds a step (the median of steps 21 to 60) and the ratio to the plain decoder, which is timed first and
once more at the end: how far its two figures lie apart says how much of a ratio is chance.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ATTENTION = "model.blocks.*.sublayers.0.parts.0.attention"
FIRST, SECOND = "model.blocks.*.sublayers.0", "model.blocks.*.sublayers.1"

PARTS = {
    "plain decoder (rotary, rms, pre, gated)": [],
    "position none": ['model.position=none'],
    "position sinusoidal": ['model.position=sinusoidal'],
    "position learned": ['model.position=learned'],
    "position alibi": ['model.position=alibi'],
    "position t5": ['model.position=t5'],
    "pattern window 64": [ATTENTION + '.pattern={ window = { before = 64 } }'],
    "pattern strided": [ATTENTION + '.pattern={ strided = { stride = 16 } }'],
    "pattern blocks": [ATTENTION + '.pattern={ blocks = { size = 64 } }'],
    "pattern global_tokens or window": [
        ATTENTION + '.pattern={ or = [{ global_tokens = { first = 4 } }, { window = { before = 64 } }] }',
    ],
    "score softcap 30": [ATTENTION + '.score={ softmax = { softcap = 30.0 } }'],
    "score sink": [ATTENTION + '.score={ softmax = { sink = true } }'],
    "score sigmoid": [ATTENTION + '.score=sigmoid'],
    "source segments 8": [ATTENTION + '.source={ segments = { prefix = 8 } }'],
    "projection 1 kv head": [ATTENTION + '.projection={ heads = { heads = 4, kv_heads = 1 } }'],
    "projection latent": [ATTENTION + '.projection={ latent = { heads = 4 } }'],
    "mixer gla": [FIRST + '.parts=[{ gla = { heads = 4 } }]'],
    "feed-forward plain": [SECOND + '.parts=["plain"]'],
    "experts 4, 2 a token, each half as wide": [
        SECOND + '.parts=[{ experts = { experts = 4, top_k = 2, expert = { gated = { inner = 176 } } } }]',
    ],
    "norm layer": [
        'model.norm=layer',
        FIRST + '.junction={ pre = { norm = "layer" } }',
        SECOND + '.junction={ pre = { norm = "layer" } }',
    ],
    "norm dyt": [
        'model.norm=dyt',
        FIRST + '.junction={ pre = { norm = "dyt" } }',
        SECOND + '.junction={ pre = { norm = "dyt" } }',
    ],
    "junction post": [FIRST + '.junction=post', SECOND + '.junction=post'],
    "junction sandwich": [FIRST + '.junction=sandwich', SECOND + '.junction=sandwich'],
    "junction rezero": [FIRST + '.junction=rezero', SECOND + '.junction=rezero'],
    "depth layer_drop": ['model.blocks.*.depth=layer_drop'],
    "depth mixture_of_depths 0.5": ['model.blocks.*.depth={ mixture_of_depths = { capacity = 0.5 } }'],
    "recompute blocks": ['stages.0.recompute=blocks'],
    "optimiser muon": ['stages.0.optimiser=muon'],
    "ema": ['stages.0.ema=0.999'],
    "objective prefix": ['stages.0.objective=prefix'],
    "objective masked": ['stages.0.objective=masked'],
    "objective unified": ['stages.0.objective=unified'],
    "plain decoder again": [],
}

RECIPE = ["--steps", "60", "--set", "stages.0.validations=1", "--set", "stages.0.samples=0", "--set", "stages.0.checkpoints=1"]


def step(kiln, sets):
    """Seconds of a step with these keys set."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        more = [word for key in sets for word in ("--set", key)]
        subprocess.run([kiln, "train", "--out", run, *RECIPE, *more], check=True, capture_output=True)
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    times = [row["seconds"] for row in rows if row["kind"] == "step"]
    return statistics.median(after - before for before, after in zip(times[20:], times[21:]))


def main():
    kiln, plain = sys.argv[1], None
    for name, sets in PARTS.items():
        seconds = step(kiln, sets)
        plain = plain or seconds
        print(f"| {name} | {seconds * 1000:.0f} | {seconds / plain:.2f} |", flush=True)


if __name__ == "__main__":
    main()
