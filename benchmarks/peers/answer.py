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
