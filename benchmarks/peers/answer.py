"""Shared code of the Python subjects: arguments, and the output format of `kiln` (one line of JSON)."""

import argparse
import json


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["logits", "generate"])
    parser.add_argument("model")
    parser.add_argument("--ids", required=True, type=lambda text: [int(part) for part in text.split(",")])
    parser.add_argument("--tokens", type=int, default=1)
    parser.add_argument("--threads", type=int, required=True)
    return parser.parse_args()


def logits(row):
    row = [float(logit) for logit in row]
    print(json.dumps({"shape": [1, len(row)], "logits": row}))


def ids(new):
    print(json.dumps({"ids": [int(token) for token in new]}))


def depth_arguments():
    """The arguments of a subject of `depth.py`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--program", help="path of the program, of subjects that are one")
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--depth", type=int, required=True, help="tokens of the prompt")
    parser.add_argument("--tokens", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--cache-dtype", choices=["f32", "f16"], default="f32")
    return parser.parse_args()
