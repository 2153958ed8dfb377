"""Kiln as a subject of `depth.py`: the times between the pieces of text that `kiln generate` prints, one for each token."""

import json
import os
import subprocess
import sys
import time

import answer

asked = answer.depth_arguments()
command = [asked.program, "generate", asked.model, "--prompt", asked.prompt, "--temperature", "0", "--threads",
           str(asked.threads), "--max-new-tokens", str(asked.tokens), "--min-new-tokens", str(asked.tokens),
           "--cache-dtype", asked.cache_dtype]
child = subprocess.Popen(command, stdout=subprocess.PIPE)
printed, times = b"", []
while piece := os.read(child.stdout.fileno(), 1 << 16):
    printed += piece
    # The prompt comes first.
    if len(printed) > len(asked.prompt.encode()):
        times.append(time.perf_counter())
if child.wait():
    sys.exit(child.returncode)
print(json.dumps({"seconds": [b - a for a, b in zip(times, times[1:])]}))
