# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.15.0", "transformers==5.24.0", "sentence-transformers==6.2.0", "numpy==2.4.6"]
# ///
"""Export runs of the objective `contrastive` and compare the embeddings of sentence-transformers with those of Kiln.

    python tools/check_sentence_run.py KILN RUN...

For each run: `kiln export RUN --format hf`, then `SentenceTransformer(folder).encode` against `kiln embed RUN`, on short, long
and unusual texts. The cosine of each pair of vectors must be 1 within 1e-5, and so must their values be equal. The control:
another pooling gives other vectors.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

TEXTS = ["A cat sleeps.", "the harbor was quiet", "Ångström, naïve — 東京!", "x", "Leo had a red kite. " * 60]


def embed(kiln, model):
    arguments = [argument for text in TEXTS for argument in ("--text", text)]
    done = subprocess.run([kiln, "embed", model, *arguments, "--json"], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return np.array(found["embeddings"]).reshape(found["shape"])


def check(kiln, run, home):
    folder = home / "hf"
    subprocess.run([kiln, "export", run, "--format", "hf", "--out", str(folder)], check=True)
    model = SentenceTransformer(str(folder), device="cpu")
    print(f"## {run}: {[type(module).__name__ for module in model]}, at most {model.max_seq_length} tokens, {model.similarity_fn_name}")
    expected, found = model.encode(TEXTS), embed(kiln, run)
    norms = np.linalg.norm(expected, axis=1) * np.linalg.norm(found, axis=1)
    cosines = (expected * found).sum(1) / norms
    apart = np.abs(expected - found).max() / np.abs(expected).max()
    again = np.abs(embed(kiln, str(folder)) - found).max()
    print(f"   cosines {cosines.min():.8f} to {cosines.max():.8f}, values apart by {apart:.1e}, read back by {again:.1e}")
    wrong = [f"cosine {cosine:.7f} of {text[:30]!r}" for cosine, text in zip(cosines, TEXTS) if abs(cosine - 1) > 1e-5]
    wrong += [f"values apart by {apart:.1e}"] if apart > 1e-4 else []
    wrong += [f"the exported folder is read differently: {again:.1e}"] if again > 1e-5 else []
    pooling = folder / "1_Pooling/config.json"
    flags = json.loads(pooling.read_text())
    other = "pooling_mode_max_tokens" if not flags["pooling_mode_max_tokens"] else "pooling_mode_mean_tokens"
    pooling.write_text(json.dumps({key: key == other if key.startswith("pooling_mode") else value for key, value in flags.items()}))
    control = SentenceTransformer(str(folder), device="cpu").encode(TEXTS[:1])
    return wrong + (["another pooling changes nothing"] if np.allclose(control, expected[:1], atol=1e-3) else [])


def main():
    kiln, *runs = sys.argv[1:]
    failed = 0
    for run in runs:
        with tempfile.TemporaryDirectory() as home:
            wrong = check(str(Path(kiln).resolve()), run, Path(home))
        failed += bool(wrong)
        print("\n".join(f"  - {line}" for line in wrong) or "  equal")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
