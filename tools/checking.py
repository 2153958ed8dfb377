"""What the scripts share that write cases and check what Kiln has saved of them."""

import argparse
from pathlib import Path

import torch


def options(about):
    """A parser with the options that all of them have."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="where to write the cases")
    parser.add_argument("--check", type=Path, help="a folder of what Kiln has saved")
    parser.add_argument("--fixtures", type=Path, help="the cases that it was loaded from")
    parser.add_argument("--record", type=Path, help="where to write what the check found")
    return parser


def parsed(parser):
    """What was asked for; the same numbers follow on every run."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return parser.parse_args()


def record(what, libraries, lines, file):
    """Prints what a check found and by which libraries; writes it if there is a file to write."""
    versions = ", ".join(f"{library.__name__} {library.__version__}" for library in libraries)
    text = "\n".join([f"{what} that Kiln loaded and saved again, read by {versions}.", "", *lines])
    print(text)
    if file:
        file.write_text(text + "\n")
