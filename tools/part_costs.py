# /// script
# requires-python = ">=3.11"
# ///
"""Measure the time of a training step of the default recipe with one component changed, for each component.

    cargo build --release
    python3 tools/part_costs.py target/release/kiln

Prints milliseconds per step (the median of steps 21 to 60) and the ratio to the baseline. The baseline is measured first
and again at the end: the difference of the two shows how much of a ratio is noise.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ATTENTION = "model.blocks.*.sublayers.0.parts.0.attention"
FIRST, SECOND = "model.blocks.*.sublayers.0", "model.blocks.*.sublayers.1"
STREAMS = 'model.residual_streams={ hyper_connections = { expansion_rate = %d, dynamic = %s } }'

PARTS = {
    "baseline (rotary, rms, pre, gated_mlp)": [],
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
    "source segments 8": [ATTENTION + '.source={ segments = { prefix_length = 8 } }'],
    "value residual": [ATTENTION + '.value_residual={}'],
    "shared keys and values, pairs": [
        'model.blocks=[{ repeat = 2, sublayers = [{ parts = ["attention"] }, { parts = ["gated_mlp"] }, '
        '{ parts = [{ attention = { source = "shared" } }] }, { parts = ["gated_mlp"] }] }]',
    ],
    "hyper-connections 2, static": [STREAMS % (2, "false")],
    "hyper-connections 4, static": [STREAMS % (4, "false")],
    "hyper-connections 2, dynamic": [STREAMS % (2, "true")],
    "hyper-connections 4, dynamic": [STREAMS % (4, "true")],
    "projection 1 kv head": [ATTENTION + '.projection={ heads = { heads = 4, kv_heads = 1 } }'],
    "projection latent": [ATTENTION + '.projection={ latent = { heads = 4 } }'],
    "mixer gla": [FIRST + '.parts=[{ gla = { heads = 4 } }]'],
    # Keys or states of 64, and about as many parameters as attention has.
    "mixer gla, keys of 64": [FIRST + '.parts=[{ gla = { heads = 1 } }]'],
    "mixer mamba2, state of 64": [FIRST + '.parts=[{ mamba2 = { heads = 2, head_dim = 64, state_size = 64 } }]'],
    "mixer gated_delta_net, keys of 64": [FIRST + '.parts=[{ gated_delta_net = { heads = 1 } }]'],
    "feed-forward mlp": [SECOND + '.parts=["mlp"]'],
    "experts 4, top_k 2, half intermediate size": [
        SECOND + '.parts=[{ experts = { num_experts = 4, top_k = 2, expert = { gated_mlp = { intermediate = 176 } } } }]',
    ],
    "norm layer": [
        'model.norm=layer',
        FIRST + '.junction={ pre = { norm = "layer" } }',
        SECOND + '.junction={ pre = { norm = "layer" } }',
    ],
    "norm dynamic_tanh": [
        'model.norm=dynamic_tanh',
        FIRST + '.junction={ pre = { norm = "dynamic_tanh" } }',
        SECOND + '.junction={ pre = { norm = "dynamic_tanh" } }',
    ],
    "junction post": [FIRST + '.junction=post', SECOND + '.junction=post'],
    "junction sandwich": [FIRST + '.junction=sandwich', SECOND + '.junction=sandwich'],
    "junction rezero": [FIRST + '.junction=rezero', SECOND + '.junction=rezero'],
    "depth layer_drop": ['model.blocks.*.depth=layer_drop'],
    "depth mixture_of_depths 0.5": ['model.blocks.*.depth={ mixture_of_depths = { capacity = 0.5 } }'],
    "gradient_checkpointing block": ['stages.0.gradient_checkpointing=block'],
    "optimizer muon": ['stages.0.optimizer=muon'],
    "ema_decay 0.999": ['stages.0.ema_decay=0.999'],
    "objective prefix": ['stages.0.objective=prefix'],
    "objective masked": ['stages.0.objective=masked'],
    "objective unified": ['stages.0.objective=unified'],
    "baseline again": [],
}

RECIPE = ["--steps", "60", "--set", "stages.0.eval_every=1.0", "--set", "stages.0.num_samples=0",
          "--set", "stages.0.checkpoint_every=1.0"]


def step(kiln, sets):
    """Seconds per step with these recipe keys set."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        more = [word for key in sets for word in ("--set", key)]
        subprocess.run([kiln, "train", "--out", run, *RECIPE, *more], check=True, capture_output=True)
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    times = [row["seconds"] for row in rows if row["kind"] == "step"]
    return statistics.median(after - before for before, after in zip(times[20:], times[21:]))


def main():
    kiln, baseline = sys.argv[1], None
    for name, sets in PARTS.items():
        seconds = step(kiln, sets)
        baseline = baseline or seconds
        print(f"| {name} | {seconds * 1000:.0f} | {seconds / baseline:.2f} |", flush=True)


if __name__ == "__main__":
    main()
