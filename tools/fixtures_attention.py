# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.15.0", "x-transformers==2.31.10", "numpy==2.4.6", "safetensors==0.8.0"]
# ///
"""Write x-transformers' results for xPos, CoPE, talking heads and top-k attention. The Rust tests compare Kiln with them.

    python tools/fixtures_attention.py --out crates/kiln-laws/fixtures

All are computed in f64 over causal attention of 2 sequences of 9 tokens, 3 heads of width 8.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from x_transformers.attend import Attend
from x_transformers.x_transformers import CoPE, RotaryEmbedding, apply_rotary_pos_emb

from fixtures import differentiate, differs, normal, prefixed, save

BATCH, HEADS, TOKENS, WIDTH = 2, 3, 9, 8
POSITIONS, TOP_K = 4, 3


def attend(q, k, v, **options):
    """Output of causal attention; options of x-transformers' `Attend`."""
    layer = Attend(heads=HEADS, causal=True, **options).double()
    if "sparse_topk" not in options:
        # By default it computes the softmax in f32.
        layer.attn_fn = lambda sim: sim.softmax(-1)
    return layer(q, k, v)[0]


def cope(q, k, v, table):
    layer = CoPE(dim=WIDTH, heads=HEADS, max_pos=POSITIONS).double()
    del layer.pos_emb
    layer.pos_emb = table
    return attend(q, k, v, cope=layer)


def talking_heads(q, k, v, logits, weights):
    """Kiln's maps `[from, to]`. x-transformers adds the first map to the scores, and its convolutions are `[to, from]`."""
    layer = Attend(heads=HEADS, causal=True, pre_talking_heads=True, post_talking_heads=True).double()
    layer.attn_fn = lambda sim: sim.softmax(-1)
    for name, matrix in (("pre_softmax_talking_heads", logits - torch.eye(HEADS)), ("post_softmax_talking_heads", weights)):
        convolution = getattr(layer, name)
        del convolution.weight
        convolution.weight = matrix.T[:, :, None, None]
    return layer(q, k, v)[0]


def top_k(q, k, v):
    return attend(q, k, v, sparse_topk=TOP_K)


def xpos(inputs):
    """Products of rotated queries and keys, `[batch, heads, query, key]`."""
    rotary = RotaryEmbedding(WIDTH, use_xpos=True, scale_base=16).double()
    frequencies, scale = rotary(torch.arange(TOKENS))
    q = apply_rotary_pos_emb(inputs["q"], frequencies, scale)
    k = apply_rotary_pos_emb(inputs["k"], frequencies, 1 / scale)
    plain = [apply_rotary_pos_emb(inputs[side], frequencies) for side in "qk"]
    products = q @ k.mT
    differs(products, plain[0] @ plain[1].mT)
    return {"xpos.products": products}


def attention(out):
    rng = np.random.default_rng(17)
    inputs = {name: normal(rng, BATCH, HEADS, TOKENS, WIDTH) for name in "qkv"}
    cotangent = normal(rng, BATCH, HEADS, TOKENS, WIDTH)
    table = normal(rng, POSITIONS, WIDTH)
    maps = {name: normal(rng, HEADS, HEADS, scale=0.7) for name in ("logits", "weights")}
    tensors = inputs | {"cotangent": cotangent, "cope.table": table} | prefixed("talking_heads", maps)
    cases = {
        "cope": (cope, inputs | {"table": table}),
        "talking_heads": (talking_heads, inputs | maps),
        "top_k": (top_k, inputs),
    }
    plain = attend(**inputs)
    for name, (function, leaves) in cases.items():
        found = differentiate(function, leaves, cotangent)
        differs(found["output"], plain)
        tensors |= prefixed(name, found)
    save(out / "attention_variants.safetensors", tensors | xpos(inputs), real=torch.float64)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    attention(arguments.out)
