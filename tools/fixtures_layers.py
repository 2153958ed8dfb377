# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.15.0", "numpy==2.4.6", "safetensors==0.8.0"]
# ///
"""Write tiny models whose layers share values, keys or residual streams, computed by the formulas of the papers in PyTorch.

    python tools/fixtures_layers.py --out crates/kiln-laws/fixtures/layers

Value residual: 2410.17897. Cross-layer attention: 2405.12981. Hyper-connections: 2409.19606, equations 1 to 14 and algorithm 2.

Each file has the tensors `weights.<name>` under Kiln's names (matrices as [in, out]), `tokens` [2, 9], `logits` [18, vocabulary],
`cotangent`, and `gradients.<name>`, the gradients of sum(logits * cotangent). Its metadata has the configuration of the model
(`config`) and one without the feature (`control`), as JSON; the control's logits must differ. Weights are exact in f32; everything
else is computed in f64.
"""

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save as to_bytes

from fixtures import differs, normal

HIDDEN, HEADS, KV_HEADS, WIDTH, INNER, VOCAB, LAYERS, ROWS, LENGTH = 8, 4, 2, 2, 10, 12, 4, 2, 9
EPS = 1e-6


def rms(x, weight):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS) * weight


def layer_norm(x, weight, bias):
    return torch.nn.functional.layer_norm(x, x.shape[-1:], weight, bias, 1e-5)


def rotate(x):
    """Rotary positions of x [B, H, T, D]: coordinates i and i + D/2 are a pair, frequency 10000^(-2i/D)."""
    half = x.shape[-1] // 2
    angles = torch.arange(x.shape[2], dtype=x.dtype)[:, None] * 10000.0 ** (-torch.arange(half, dtype=x.dtype) / half)
    cos, sin, first, second = angles.cos(), angles.sin(), x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


def split(x, heads):
    return x.unflatten(-1, (heads, WIDTH)).transpose(1, 2)


class Formula:
    """A decoder of `LAYERS` blocks, each attention and a gated MLP under pre-norm."""

    def __init__(self, sources=None, value_residual=False, streams=1, dynamic=False):
        self.rotates = sources is not None
        self.sources = sources or {}
        self.value_residual = value_residual
        self.streams, self.dynamic = streams, dynamic

    # --- the stack ---

    def logits(self, weights, tokens):
        self.w, self.first, self.keys_values, self.sublayer = weights, None, {}, 0
        x = weights["embedding"][tokens]
        streams = x[:, :, None, :].expand(-1, -1, self.streams, -1)
        for layer in range(LAYERS):
            name = f"blocks.{layer}"
            for role, function in (("attention", self.attention), ("feed_forward", self.feed_forward)):
                streams = self.connect(streams, f"{name}.{role}", lambda x: function(layer, x))
        return (rms(streams.sum(2), weights["norm.weight"]) @ weights["embedding"].T).flatten(0, 1)

    def connect(self, h, name, function):
        """Equations 2 to 5 of hyper-connections over h [B, T, n, M]; with one stream the residual connection."""
        branch = lambda x: function(rms(x, self.w[f"{name}_norm.weight"]))
        if self.streams == 1:
            return h + branch(h[:, :, 0])[:, :, None]
        own = lambda key: self.w[f"{name}_streams.{key}"]
        alpha, beta = own("static_alpha"), own("static_beta")
        if self.dynamic:
            normed = layer_norm(h, own("dynamic.norm.weight"), own("dynamic.norm.bias"))
            alpha = alpha + own("dynamic.alpha_scale") * (normed @ own("dynamic.alpha_fn")).tanh()
            beta = beta + own("dynamic.beta_scale") * (normed @ own("dynamic.beta_fn")).tanh()
        else:
            alpha, beta = alpha.expand(*h.shape[:2], -1, -1), beta.expand(*h.shape[:2], -1)
        mixed = torch.einsum("btij,btim->btjm", alpha, h)
        return mixed[:, :, 1:] + torch.einsum("bti,btm->btim", beta, branch(mixed[:, :, 0]))

    # --- the sublayers ---

    def rotate(self, x):
        return rotate(x) if self.rotates else x

    def attention(self, layer, x):
        own = lambda key: self.w[f"blocks.{layer}.attention.{key}"]
        query = self.rotate(split(x @ own("q.weight"), HEADS))
        if layer in self.sources:
            key, value = self.keys_values[self.sources[layer]]
        else:
            key, value = self.rotate(split(x @ own("k.weight"), KV_HEADS)), split(x @ own("v.weight"), KV_HEADS)
            if self.value_residual:
                if self.first is None:
                    self.first = value
                else:
                    first, rest = own("value_residual.lambda_first"), own("value_residual.lambda_own")
                    value = first * self.first + rest * value
            self.keys_values[layer] = key, value
        key, value = (tensor.repeat_interleave(HEADS // KV_HEADS, 1) for tensor in (key, value))
        scores = query @ key.transpose(-1, -2) / math.sqrt(WIDTH)
        seen = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril()
        weights = scores.masked_fill(~seen, -math.inf).softmax(-1)
        return (weights @ value).transpose(1, 2).flatten(2) @ own("o.weight")

    def feed_forward(self, layer, x):
        own = lambda key: self.w[f"blocks.{layer}.feed_forward.{key}.weight"]
        return (torch.nn.functional.silu(x @ own("gate")) * (x @ own("up"))) @ own("down")

    # --- weights ---

    def shapes(self):
        yield "embedding", (VOCAB, HIDDEN)
        for layer in range(LAYERS):
            name = f"blocks.{layer}"
            yield f"{name}.attention.q.weight", (HIDDEN, HEADS * WIDTH)
            yield f"{name}.attention.o.weight", (HEADS * WIDTH, HIDDEN)
            if layer not in self.sources:
                for part in "kv":
                    yield f"{name}.attention.{part}.weight", (HIDDEN, KV_HEADS * WIDTH)
            if self.value_residual and layer:
                for part in ("lambda_first", "lambda_own"):
                    yield f"{name}.attention.value_residual.{part}", (1,)
            for part, shape in (("gate", (HIDDEN, INNER)), ("up", (HIDDEN, INNER)), ("down", (INNER, HIDDEN))):
                yield f"{name}.feed_forward.{part}.weight", shape
            for role in ("attention", "feed_forward"):
                yield f"{name}.{role}_norm.weight", (HIDDEN,)
                if self.streams > 1:
                    yield from self.stream_shapes(f"{name}.{role}_streams")
        yield "norm.weight", (HIDDEN,)

    def stream_shapes(self, name):
        n = self.streams
        yield f"{name}.static_alpha", (n, n + 1)
        yield f"{name}.static_beta", (n,)
        if self.dynamic:
            yield f"{name}.dynamic.norm.weight", (HIDDEN,)
            yield f"{name}.dynamic.norm.bias", (HIDDEN,)
            yield f"{name}.dynamic.alpha_fn", (HIDDEN, n + 1)
            yield f"{name}.dynamic.alpha_scale", (1,)
            yield f"{name}.dynamic.beta_fn", (HIDDEN,)
            yield f"{name}.dynamic.beta_scale", (1,)

    def draw(self, rng):
        """Weights far from their initial values, so that each of them has an effect."""
        def one(name, shape):
            if name.endswith("norm.weight"):
                return 1 + normal(rng, *shape, scale=0.3)
            if name.endswith("static_alpha"):
                return normal(rng, *shape, scale=0.4) + torch.cat([torch.zeros(shape[0], 1), torch.eye(shape[0])], 1)
            return normal(rng, *shape, scale=0.5)
        return {name: one(name, shape).float().double() for name, shape in self.shapes()}


def sublayers(attention):
    options = {"projection": {"heads": {"heads": HEADS, "kv_heads": KV_HEADS}}} | attention
    gated = {"gated_mlp": {"intermediate": INNER}}
    return [{"parts": [part]} for part in ({"attention": options}, gated)]


def config(blocks, position="none"):
    return {"vocab": VOCAB, "hidden": HIDDEN, "position": position, "blocks": blocks}


PLAIN = config([{"repeat": LAYERS, "sublayers": sublayers({})}])


def streams(rate, dynamic):
    connections = {"hyper_connections": {"expansion_rate": rate, "dynamic": dynamic}}
    return Formula(streams=rate, dynamic=dynamic), PLAIN | {"residual_streams": connections}



MODELS = {
    "value_residual": (Formula(value_residual=True), config([{"repeat": LAYERS, "sublayers": sublayers({"value_residual": {}})}])),
    # Pairs of layers, and three layers that read those of one; with rotary positions, which are in the shared keys.
    "shared_pairs": (Formula({1: 0, 3: 2}), config([{"sublayers": sublayers(options)} for options in (
        {}, {"source": "shared"}, {}, {"source": {"shared": {"block": 2}}})], "rotary")),
    "shared_with_all": (Formula({1: 0, 2: 0, 3: 0}), config(
        [{"sublayers": sublayers({})}, {"repeat": 3, "sublayers": sublayers({"source": "shared"})}], "rotary")),
    "streams_static_2": streams(2, False),
    "streams_dynamic_2": streams(2, True),
    "streams_static_4": streams(4, False),
    "streams_dynamic_4": streams(4, True),
}


def fixture(index, formula, described):
    rng = np.random.default_rng(50 + index)
    weights = formula.draw(rng)
    tokens = torch.from_numpy(rng.integers(0, VOCAB, (ROWS, LENGTH)))
    cotangent = normal(rng, ROWS * LENGTH, VOCAB)
    leaves = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
    logits = formula.logits(leaves, tokens)
    gradients = torch.autograd.grad((logits * cotangent).sum(), list(leaves.values()))
    plain = Formula({} if formula.rotates else None)
    missing = {name: normal(rng, *shape, scale=0.5) for name, shape in plain.shapes() if name not in weights}
    differs(logits, plain.logits(weights | missing, tokens))
    tensors = {f"weights.{name}": weight.float() for name, weight in (weights | missing).items()}
    tensors |= {f"gradients.{name}": gradient for name, gradient in zip(leaves, gradients)}
    tensors |= {"tokens": tokens, "logits": logits.detach(), "cotangent": cotangent}
    metadata = {"config": json.dumps(described), "control": json.dumps(PLAIN | {"position": described["position"]}), "names": json.dumps(sorted(weights))}
    return to_bytes({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    for index, (name, (formula, described)) in enumerate(MODELS.items()):
        content = fixture(index, formula, described)
        (out / f"{name}.safetensors").write_bytes(content)
        print(f"{name}: {len(content)} bytes")


if __name__ == "__main__":
    main()
