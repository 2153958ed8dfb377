# /// script
# requires-python = ">=3.11"
# dependencies = ["tensorboard==2.21.0", "numpy"]
# ///
"""Compare the event file and the CSV file of a run with its metrics.jsonl, read by TensorBoard's reader and by Python's csv.

    python tools/check_logs.py RUN

Each number must be equal: in the event file as f32, in the CSV file to the bit. No step may occur twice.
"""

import csv
import json
import math
import sys
from pathlib import Path

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

SCALARS = {
    "step": {"loss": "train/loss", "learning_rate": "train/learning_rate", "gradient_norm": "train/gradient_norm"},
    "validation": {"loss": "eval/loss", "floor": "eval/floor", "bits_per_byte": "eval/bits_per_byte", "accuracy": "eval/accuracy"},
}


def expected(rows):
    """{name: {step: value}} of the rows."""
    values = {}
    for row in rows:
        for key, name in SCALARS.get(row["kind"], {}).items():
            if key in row and (key not in ("bits_per_byte", "accuracy") or row["evaluated_tokens"] > 0):
                if not (key == "floor" and row[key] is None):
                    values.setdefault(name, []).append((row["step"], row[key]))
        prefix = {"step": "train", "validation": "eval"}.get(row["kind"])
        for name, value in row.get("metrics", {}).items() if prefix else []:
            value = value["value"] if isinstance(value, dict) else value
            values.setdefault(f"{prefix}/{name}", []).append((row["step"], value))
        for name, value in row.get("losses", {}).items():
            values.setdefault(f"auxiliary/{name}", []).append((row["step"], value))
    return values


def same(found, wanted, kind):
    wanted = math.nan if wanted is None else wanted
    return (math.isnan(found) and math.isnan(wanted)) or kind(found) == kind(wanted)


def compare(name, found, wanted, kind):
    assert [step for step, _ in found] == [step for step, _ in wanted], f"{name}: steps {found[:3]}… instead of {wanted[:3]}…"
    for (step, value), (_, other) in zip(found, wanted):
        assert same(value, other, kind), f"{name} at step {step}: {value} instead of {other}"


def main():
    run = Path(sys.argv[1])
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    wanted = expected(rows)
    events = run / "events.out.tfevents.0.kiln"
    if events.exists():
        reader = EventAccumulator(str(events), size_guidance={"scalars": 0, "tensors": 0}, purge_orphaned_data=False)
        reader.Reload()
        tags = reader.Tags()
        for name, values in wanted.items():
            compare(name, [(event.step, event.value) for event in reader.Scalars(name)], values, np.float32)
        texts = [row for row in rows if row["kind"] == "samples" and row["samples"]]
        found = reader.Tensors("samples") if "samples" in tags["tensors"] else []
        assert len(found) == len(texts), f"{len(found)} texts instead of {len(texts)}"
        for event, row in zip(found, texts):
            strings = [text.decode() for text in event.tensor_proto.string_val]
            assert strings == [sample["prompt"] + sample["text"] for sample in row["samples"]], f"texts of step {row['step']}"
        print(f"{events.name}: {len(tags['scalars'])} scalars and {len(found)} texts, equal to metrics.jsonl")
    table = run / "metrics.csv"
    if table.exists():
        with table.open(newline="") as file:
            lines = list(csv.DictReader(file))
        for name, values in wanted.items():
            compare(name, [(int(line["step"]), float(line[name])) for line in lines if line[name]], values, float)
        print(f"{table.name}: {len(lines)} lines and {len(lines[0])} columns, equal to metrics.jsonl")
    assert events.exists() or table.exists(), "the run has neither an event file nor a CSV file"


main()
