# /// script
# requires-python = ">=3.11"
# dependencies = ["tensorboard==2.21.0"]
# ///
"""Write metrics and the event file that TensorBoard's own classes make of them, for the test of Kiln's event files.

    python tools/fixtures_logs.py --out crates/kiln-train/fixtures/logs

`metrics.jsonl` holds the rows. `expected.tfevents` holds the records as TensorBoard's `RecordWriter` frames them and as its
`Event` messages are serialized.
"""

import argparse
import io
import json
from pathlib import Path

from tensorboard.compat.proto import types_pb2
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.summary.writer.record_writer import RecordWriter

START = 1_700_000_000.25
ROWS = [
    {"kind": "event", "step": 0, "event": "started", "detail": "kiln train", "seconds": 0.0},
    {"kind": "validation", "step": 0, "tokens": 0, "loss": 6.9, "bits_per_byte": 2.5, "accuracy": 0.01,
     "evaluated_tokens": 100, "evaluated_bytes": 400, "seconds": 0.5,
     "metrics": {"margin": {"value": -0.25, "unit": "nats", "better": "higher"}}},
    {"kind": "step", "step": 1, "tokens": 3072, "loss": 6.875, "learning_rate": 0.0003, "gradient_norm": None, "seconds": 1.0,
     "losses": {"blocks.0.feed_forward.balance": 0.125}, "metrics": {"margin": 0.1}},
    {"kind": "step", "step": 200, "tokens": 6144, "loss": 1e-7, "learning_rate": 0.0, "gradient_norm": 12345.678, "seconds": 3.0},
    {"kind": "samples", "step": 200, "samples": [{"prompt": "Ein ", "text": "„Fuchs“ 🦊\n"}, {"prompt": "", "text": "x" * 200}],
     "accepted": 0.88, "seconds": 3.25},
    {"kind": "validation", "step": 200, "tokens": 6144, "loss": 3.1, "floor": 1.62, "bits_per_byte": 1.1, "accuracy": 0.41,
     "evaluated_tokens": 20480, "evaluated_bytes": 90000, "kinds": {"agreement": {"right": 9, "total": 10}, "none": {"right": 0, "total": 0}},
     "seconds": 3.5},
    {"kind": "step", "step": 300000, "tokens": 9216, "loss": 2.0, "learning_rate": 1.5e-5, "gradient_norm": 1.0, "seconds": 0.5},
    {"kind": "compression", "step": 300000, "bytes": 1000, "model_bits_per_byte": 1.3, "gzip": 2.1, "xz": 1.8, "zstd": 1.85},
]
# Seconds since the first record and values of each event. The last step begins a stage, whose clock starts at 0.
NAN = float("nan")
EVENTS = [
    (0.5, 0, {"eval/loss": 6.9, "eval/bits_per_byte": 2.5, "eval/accuracy": 0.01, "eval/margin": -0.25}),
    (1.0, 1, {"train/loss": 6.875, "train/learning_rate": 0.0003, "train/gradient_norm": NAN,
              "train/tokens_per_second": 3072 / 0.5, "train/margin": 0.1, "auxiliary/blocks.0.feed_forward.balance": 0.125}),
    (3.0, 200, {"train/loss": 1e-7, "train/learning_rate": 0.0, "train/gradient_norm": 12345.678,
                "train/tokens_per_second": 3072 / 2.0}),
    (3.25, 200, {"samples/accepted": 0.88, "samples": ["Ein „Fuchs“ 🦊\n", "x" * 200]}),
    (3.5, 200, {"eval/loss": 3.1, "eval/floor": 1.62, "eval/bits_per_byte": 1.1, "eval/accuracy": 0.41,
                "eval/accuracy/agreement": 0.9}),
    (4.0, 300000, {"train/loss": 2.0, "train/learning_rate": 1.5e-5, "train/gradient_norm": 1.0,
                   "train/tokens_per_second": 3072 / 0.5}),
]


def value(tag, content):
    if isinstance(content, float):
        return Summary.Value(tag=tag, simple_value=content)
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=len(content))])
    tensor = TensorProto(dtype=types_pb2.DT_STRING, tensor_shape=shape, string_val=[text.encode() for text in content])
    plugin = SummaryMetadata.PluginData(plugin_name="text")
    return Summary.Value(tag=tag, tensor=tensor, metadata=SummaryMetadata(plugin_data=plugin))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    (out / "metrics.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS))
    stream = io.BytesIO()
    stream.close = lambda: None
    writer = RecordWriter(stream)
    writer.write(Event(wall_time=START, file_version="brain.Event:2").SerializeToString())
    for seconds, step, values in EVENTS:
        summary = Summary(value=[value(tag, content) for tag, content in values.items()])
        writer.write(Event(wall_time=START + seconds, step=step, summary=summary).SerializeToString())
    writer.flush()
    (out / "expected.tfevents").write_bytes(stream.getvalue())


main()
