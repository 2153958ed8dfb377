# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.15.0", "transformers==5.23.0", "numpy==2.4.6", "safetensors==0.8.0"]
# ///
"""Write PyTorch's results for an encoder-decoder and for pooling heads. The Rust tests compare Kiln with them.

    python tools/fixtures_stacks.py --out crates/kiln-laws/fixtures

Everything is computed and stored in f64. Weights have Kiln's names and layout (`[in, out]`).
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from transformers import BertConfig
from transformers.models.bert.modeling_bert import BertPooler

from fixtures import differs, normal, save


HIDDEN, HEADS, INNER, VOCAB, LAYERS, CLASSES = 8, 2, 12, 11, 2, 3


def linear(name, weight, bias):
    return {f"{name}.weight": weight.T, f"{name}.bias": bias}


def attention(name, module):
    q, k, v = (linear(f"{name}.{part}", w, b) for part, w, b in zip(
        "qkv", module.in_proj_weight.chunk(3), module.in_proj_bias.chunk(3)))
    return q | k | v | linear(f"{name}.o", module.out_proj.weight, module.out_proj.bias)


def norm(name, module):
    return {f"{name}.weight": module.weight, f"{name}.bias": module.bias}


def block(name, layer, cross):
    named = attention(f"{name}.attention", layer.self_attn) | norm(f"{name}.attention_norm", layer.norm1)
    if cross:
        named |= attention(f"{name}.cross_attention", layer.multihead_attn)
        named |= norm(f"{name}.cross_attention_norm", layer.norm2)
    named |= norm(f"{name}.feed_forward_norm", layer.norm3 if cross else layer.norm2)
    named |= linear(f"{name}.feed_forward.up", layer.linear1.weight, layer.linear1.bias)
    return named | linear(f"{name}.feed_forward.down", layer.linear2.weight, layer.linear2.bias)


def stacks():
    rng = np.random.default_rng(21)
    model = torch.nn.Transformer(HIDDEN, HEADS, LAYERS, LAYERS, INNER, dropout=0.0, activation=F.gelu,
                                 norm_first=True, batch_first=True, dtype=torch.float64)
    for parameter in model.parameters():
        parameter.data = normal(rng, *parameter.shape, scale=0.5)
    embedding = normal(rng, VOCAB, HIDDEN)
    given = torch.from_numpy(rng.integers(0, VOCAB, (2, 5)))
    written = torch.from_numpy(rng.integers(0, VOCAB, (2, 4)))
    lengths = torch.tensor([5, 3])
    padding = torch.arange(5)[None] >= lengths[:, None]
    causal = torch.ones(4, 4, dtype=torch.bool).triu(1)

    def decoded(mask):
        memory = model.encoder(embedding[given], src_key_padding_mask=padding)
        return memory, model.decoder(embedding[written], memory, tgt_mask=causal, memory_key_padding_mask=mask)

    memory, hidden = decoded(padding)
    differs(hidden, decoded(torch.zeros_like(padding))[1])
    differs(hidden, model.decoder(embedding[written], memory.flip(0), tgt_mask=causal, memory_key_padding_mask=padding))
    named = {"embedding": embedding} | norm("norm", model.decoder.norm) | norm("encoder.norm", model.encoder.norm)
    for i in range(LAYERS):
        named |= block(f"encoder.blocks.{i}", model.encoder.layers[i], False)
        named |= block(f"blocks.{i}", model.decoder.layers[i], True)
    weights = {f"weights.{name}": tensor for name, tensor in named.items()}
    live = (~padding)[..., None].double()
    return weights | {"given": given, "lengths": lengths, "written": written, "hidden": hidden, "memory": memory} | heads(
        rng, memory.detach(), live)


def heads(rng, memory, live):
    """BERT's pooler with a classifier, and Sentence-BERT's mean pooling with unit-length vectors."""
    pooler = BertPooler(BertConfig(hidden_size=HIDDEN)).double()
    for parameter in pooler.parameters():
        parameter.data = normal(rng, *parameter.shape)
    weight, bias, dense = normal(rng, CLASSES, HIDDEN), normal(rng, CLASSES), normal(rng, 5, HIDDEN)
    logits = F.linear(pooler(memory), weight, bias)
    mean = (memory * live).sum(1) / live.sum(1)
    vectors = F.normalize(F.linear(mean, dense), dim=1)
    differs(vectors, F.normalize(F.linear(memory.mean(1), dense), dim=1))
    named = linear("pooler", pooler.dense.weight, pooler.dense.bias) | linear("classes", weight, bias)
    named = {f"head.{name}": tensor for name, tensor in named.items()}
    return named | {"head.dense.weight": dense.T, "logits": logits, "vectors": vectors}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    torch.set_default_dtype(torch.float64)
    save(parser.parse_args().out / "stacks.safetensors", stacks(), torch.float64)
