"""Run a process and measure its wall time, CPU time and peak memory."""

import json
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass


@dataclass
class Run:
    """Wall time and CPU time (user and system) in seconds, peak resident set size in bytes (memory-mapped files included),
    and the JSON answer of the process."""

    wall: float
    cpu: float
    peak: int
    answer: dict


class Failed(Exception):
    """A subject failed or printed no answer."""


def run(command, threads, cores):
    """Run `command` on `cores` and parse the last line of its output as JSON."""
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
            raise Failed("\n".join([f"{' '.join(map(str, command))} exited with code {child.returncode}", *lines[-1:], *tail]))
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, json.loads(lines[-1]))
