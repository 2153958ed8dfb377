# /// script
# requires-python = ">=3.11"
# ///
"""Measure how the time of a training step grows with the sequence length, for attention and the recurrent mixers.

    cargo build --release
    python3 tools/mixer_growth.py target/release/kiln measure results.json [MIXER…]
    python3 tools/mixer_growth.py draw results.json docs/images/mixer-growth.svg

`measure` trains the default recipe with one sequence a batch and one mixer in all blocks, at about equal parameters, and
adds its results to the file. The text is made of random words, in documents that are longer than any sequence: the documents
of the built-in stories would end within it, and no mixer sees across their borders. A time is the least of the steps after
the first: forward, backward and update. `draw` prints the table and draws the chart.
"""

import json
import math
import random
import subprocess
import sys
import tempfile
from pathlib import Path

ATTENTION = "model.blocks.*.sublayers.0.parts.0.attention"
MIXER = "model.blocks.*.sublayers.0.parts"

MIXERS = {
    "attention": [],
    "attention, window of 256": [ATTENTION + ".pattern={ window = { before = 255 } }"],
    "gla": [MIXER + "=[{ gla = { heads = 1 } }]"],
    "mamba2": [MIXER + "=[{ mamba2 = { heads = 2, head_dim = 64, state_size = 64 } }]"],
    "gated_delta_net": [MIXER + "=[{ gated_delta_net = { heads = 1 } }]"],
}

# Sequence length and number of steps.
LENGTHS = {1024: 8, 4096: 6, 16384: 3}

RECIPE = ["--set", "stages.0.batch_size=1", "--set", "stages.0.eval_every=1.0", "--set", "stages.0.num_samples=0",
          "--set", "stages.0.checkpoint_every=1.0", "--set", "stages.0.eval_tokens=16384"]

COLORS = ["#4c4c4c", "#9a9a9a", "#0072b2", "#d55e00", "#009e73"]


def write_documents(path):
    """Random words in documents of about 40,000 tokens."""
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 8))) for _ in range(400)]
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(24):
            file.write(json.dumps({"text": " ".join(draw.choices(words, k=40_000))}) + "\n")


def step(kiln, documents, sets, length, steps):
    """Seconds of a step."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        keys = [f"stages.0.sequence_length={length}", *sets]
        more = [word for key in keys for word in ("--set", key)]
        command = [kiln, "train", "--out", run, "--data", documents, "--steps", str(steps), *RECIPE, *more]
        subprocess.run(command, check=True, capture_output=True)
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    times = [row["seconds"] for row in rows if row["kind"] == "step"]
    return min(after - before for before, after in zip(times, times[1:]))


def measure(kiln, results, names):
    found = json.loads(results.read_text()) if results.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        documents = Path(folder) / "documents.jsonl"
        write_documents(documents)
        for name in names or MIXERS:
            for length, steps in LENGTHS.items():
                seconds = step(kiln, documents, MIXERS[name], length, steps)
                found.setdefault(name, {})[str(length)] = seconds
                print(f"{name}, {length} tokens: {seconds * 1000:.0f} ms", flush=True)
                results.write_text(json.dumps(found, indent=1))


def table(found):
    """Milliseconds by mixer and length, and the factor from the shortest to the longest sequence."""
    print("| mixer | " + " | ".join(f"{length:,} tokens" for length in LENGTHS) + " | factor |")
    print("|---" * (len(LENGTHS) + 2) + "|")
    for name, times in found.items():
        ms = [times[str(length)] * 1000 for length in LENGTHS]
        print(f"| {name} | " + " | ".join(f"{value:,.0f}" for value in ms) + f" | {ms[-1] / ms[0]:.1f} |")


def chart(found):
    """Lines on logarithmic axes."""
    width, height, left, right, top, bottom = 660, 400, 84, 190, 20, 48
    values = [seconds for times in found.values() for seconds in times.values()]
    low, high = math.floor(math.log10(min(values) * 1000)), math.ceil(math.log10(max(values) * 1000))
    lengths = list(LENGTHS)

    def x(length):
        share = math.log(length / lengths[0]) / math.log(lengths[-1] / lengths[0])
        return left + share * (width - left - right)

    def y(seconds):
        return height - bottom - (math.log10(seconds * 1000) - low) / (high - low) * (height - top - bottom)

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
             'font-size="12">', f'<rect width="{width}" height="{height}" fill="white"/>']
    for power in range(low, high + 1):
        at = y(10 ** power / 1000)
        parts.append(f'<path d="M{left} {at:.1f}H{width - right}" stroke="#dddddd"/>')
        parts.append(f'<text x="{left - 8}" y="{at + 4:.1f}" text-anchor="end">{10 ** power:,} ms</text>')
    for length in lengths:
        parts.append(f'<text x="{x(length):.1f}" y="{height - bottom + 18}" text-anchor="middle">{length:,}</text>')
    middle = (left + width - right) / 2
    parts.append(f'<text x="{middle}" y="{height - 10}" text-anchor="middle">tokens in the sequence</text>')
    names = sorted(found, key=lambda name: -found[name][str(lengths[-1])])
    label = top
    for name in names:
        color, times = COLORS[list(MIXERS).index(name)], found[name]
        points = [(x(length), y(times[str(length)])) for length in lengths]
        line = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" fill="{color}"/>' for px, py in points]
        label = max(label + 16, points[-1][1] + 4)
        parts.append(f'<text x="{width - right + 10}" y="{label:.1f}" fill="{color}">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])


def main():
    if sys.argv[1:2] == ["draw"]:
        found = json.loads(Path(sys.argv[2]).read_text())
        table(found)
        Path(sys.argv[3]).write_text(chart(found), encoding="utf-8")
    else:
        measure(sys.argv[1], Path(sys.argv[3]), sys.argv[4:])


if __name__ == "__main__":
    main()
