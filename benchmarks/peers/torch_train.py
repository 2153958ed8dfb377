"""Training steps of PyTorch (eager), of the shapes that train.py measures. The model computes what Kiln's does: pre-norm
blocks without biases but those of LayerNorm and of the GELU network, rotary or learned positions, a tied head."""

import argparse
import json
import time

import torch
from torch import nn
from torch.nn import functional as F


def resident_bytes():
    for line in open("/proc/self/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


class Attention(nn.Module):
    def __init__(self, shape):
        super().__init__()
        hidden = shape["hidden"]
        self.heads, self.rotary = shape["heads"], shape["position"] == "rotary"
        self.q, self.k, self.v, self.o = (nn.Linear(hidden, hidden, bias=False) for _ in range(4))

    def forward(self, x, table):
        b, t, m = x.shape
        q, k, v = (f(x).view(b, t, self.heads, m // self.heads).transpose(1, 2) for f in (self.q, self.k, self.v))
        if self.rotary:
            cos, sin = table
            q, k = (x * cos + torch.cat([-x[..., x.shape[-1] // 2:], x[..., :x.shape[-1] // 2]], -1) * sin for x in (q, k))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o(y.transpose(1, 2).reshape(b, t, m))


class Mlp(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.up = nn.Linear(shape["hidden"], shape["intermediate"])
        self.down = nn.Linear(shape["intermediate"], shape["hidden"])

    def forward(self, x):
        return self.down(F.gelu(self.up(x)))


class GatedMlp(nn.Module):
    def __init__(self, shape):
        super().__init__()
        size = shape["hidden"], shape["intermediate"]
        self.gate, self.up = (nn.Linear(*size, bias=False) for _ in range(2))
        self.down = nn.Linear(*size[::-1], bias=False)

    def forward(self, x):
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Block(nn.Module):
    def __init__(self, shape):
        super().__init__()
        norm = {"rms": lambda: nn.RMSNorm(shape["hidden"], eps=1e-6), "layer": lambda: nn.LayerNorm(shape["hidden"])}[shape["norm"]]
        self.first, self.second = norm(), norm()
        self.attention = Attention(shape)
        self.network = {"mlp": Mlp, "gated_mlp": GatedMlp}[shape["network"]](shape)

    def forward(self, x, table):
        x = x + self.attention(self.first(x), table)
        return x + self.network(self.second(x))


class Decoder(nn.Module):
    def __init__(self, shape):
        super().__init__()
        hidden = shape["hidden"]
        self.embedding = nn.Embedding(shape["vocab"], hidden)
        nn.init.normal_(self.embedding.weight, std=hidden ** -0.5)
        self.position = nn.Embedding(shape["length"], hidden) if shape["position"] == "learned" else None
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape["layers"]))
        self.norm = nn.RMSNorm(hidden, eps=1e-6) if shape["norm"] == "rms" else nn.LayerNorm(hidden)
        width = hidden // shape["heads"]
        angles = torch.arange(shape["length"])[:, None] * 10000.0 ** (-torch.arange(0, width, 2) / width)
        self.table = torch.cat([angles, angles], -1).cos(), torch.cat([angles, angles], -1).sin()

    def forward(self, tokens):
        x = self.embedding(tokens)
        if self.position:
            x = x + self.position(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x, self.table)
        return F.linear(self.norm(x), self.embedding.weight)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("shape", type=json.loads)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--bf16", action="store_true", help="bf16 autocast")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    torch.manual_seed(1)
    baseline = resident_bytes()
    model = Decoder(asked.shape)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    seconds, losses = [], []
    for _ in range(asked.steps):
        tokens = torch.randint(asked.shape["vocab"], (asked.rows, asked.shape["length"] + 1))
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=asked.bf16):
            logits = model(tokens[:, :-1])
            loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        del logits
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(float(loss))
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": seconds, "losses": losses, "baseline": baseline,
                      "parameters": sum(p.numel() for p in model.parameters())}))


main()
