"""A process, from its start to its end: what it says, its time, its cores' time and the most memory it had."""

import json
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass


@dataclass
class Run:
    """Seconds on the clock and of the cores (user and system), and the largest resident set in bytes (files that are
    mapped into memory included)."""

    wall: float
    cpu: float
    peak: int
    answer: dict


class Failed(Exception):
    """A subject that ended with an error, or without an answer."""


def run(command, threads, cores):
    """Runs `command` on `cores` and reads the JSON in the last line that it writes."""
    known = {**os.environ, "OMP_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads),
             "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "RUST_BACKTRACE": "0"}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=out, stderr=err, env=known,
                                 preexec_fn=lambda: os.sched_setaffinity(0, cores))
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        lines = out.read().decode().strip().splitlines()
        if child.returncode or not lines:
            tail = err.read().decode(errors="replace").strip().splitlines()[-5:]
            raise Failed("\n".join([f"{' '.join(map(str, command))} ended with {child.returncode}", *lines[-1:], *tail]))
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, json.loads(lines[-1]))
