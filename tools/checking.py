"""Shared code of the scripts that write test cases and check the models that Kiln saved from them."""

import argparse
from pathlib import Path

import torch


def options(about):
    """An argument parser with the common options."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="output folder of the cases")
    parser.add_argument("--check", type=Path, help="folder of models saved by Kiln, to check")
    parser.add_argument("--fixtures", type=Path, help="folder of the cases that these models were loaded from")
    parser.add_argument("--record", type=Path, help="output file of the check results")
    return parser


def parsed(parser):
    """Parse the arguments and make PyTorch deterministic."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return parser.parse_args()


def record(what, libraries, lines, file):
    """Print the check results and library versions, and write them to `file` if it is given."""
    versions = ", ".join(f"{library.__name__} {library.__version__}" for library in libraries)
    text = "\n".join([f"{what} that Kiln loaded and saved again, read by {versions}.", "", *lines])
    print(text)
    if file:
        file.write_text(text + "\n")
