# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.15.0", "transformers==5.24.0", "numpy==2.4.6", "safetensors==0.8.0"]
# ///
"""Write transformers' results for Mamba-2 and gated DeltaNet layers. The Rust tests compare Kiln with them.

    python tools/fixtures_mixers.py --out crates/kiln-laws/fixtures

transformers computes parts of these layers in f32. Weights have Kiln's names and layout (`[in, out]`).
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from transformers import Mamba2Config
from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer
from transformers.models.qwen3_next import modeling_qwen3_next as qwen3_next
from transformers.models.qwen3_next.configuration_qwen3_next import Qwen3NextConfig

from fixtures import agrees, differs, normal, save

HIDDEN, TOKENS = 12, 21


def run(layer, x):
    """Output of a layer."""
    out = layer(x)
    return out[0] if isinstance(out, tuple) else out


def case(name, layer, split, rng):
    """Weights, output and gradients of a layer under `name`; `split` names a parameter's or gradient's pieces."""
    x = normal(rng, 2, TOKENS, HIDDEN).requires_grad_()
    out = run(layer, x)
    cotangent = normal(rng, *out.shape)
    (out * cotangent).sum().backward()
    tensors = {"x": x, "cotangent": cotangent, "output": out, "dx": x.grad}
    tensors |= {f"weights.{key}": value for key, value in split(dict(layer.named_parameters())).items()}
    gradients = {key: value.grad for key, value in layer.named_parameters()}
    tensors |= {f"gradients.{key}": value for key, value in split(gradients).items()}
    return {f"{name}.{key}": value.detach().clone() for key, value in tensors.items()}


def randomize(layer, rng, fixed):
    for name, parameter in layer.named_parameters():
        centre = fixed.get(name.split(".")[0], 0.0)
        parameter.data = normal(rng, *parameter.shape, scale=0.4) + centre


def rows(name, tensor, sizes):
    """Rows of a matrix or vector as maps `name`, transposed if they are matrices."""
    pieces = torch.split(tensor, list(sizes.values()))
    return {name.format(key): piece.T if piece.dim() == 2 else piece for key, piece in zip(sizes, pieces)}


def mamba2(name, rng, **options):
    config = Mamba2Config(hidden_size=HIDDEN, num_heads=4, head_dim=6, expand=2, state_size=5, chunk_size=8,
                          num_hidden_layers=1, layer_norm_epsilon=1e-5, **options)
    layer = Mamba2Mixer(config, 0).double().eval()
    randomize(layer, rng, {"norm": 1.0, "D": 1.0, "A_log": 0.5})

    def split(parameters):
        inner, keys = 24, config.n_groups * 5
        inputs = {"gate": inner, "x": inner, "b": keys, "c": keys, "dt": 4}
        filters = {"x": inner, "b": keys, "c": keys}
        named = {"dt_bias": parameters["dt_bias"], "a_log": parameters["A_log"], "d": parameters["D"]}
        named |= {"norm.weight": parameters["norm.weight"], "out.weight": parameters["out_proj.weight"].T}
        named |= rows("{}.weight", parameters["in_proj.weight"], inputs)
        named |= rows("{}_conv.weight", parameters["conv1d.weight"].squeeze(1), filters)
        if config.use_conv_bias:
            named |= rows("{}_conv.bias", parameters["conv1d.bias"], filters)
        if config.use_bias:
            named |= rows("{}.bias", parameters["in_proj.bias"], inputs) | {"out.bias": parameters["out_proj.bias"]}
        return named

    tensors = case(name, layer, split, rng)
    with torch.no_grad():
        x, out = tensors[f"{name}.x"], tensors[f"{name}.output"]
        # Controls: another limit of the time step, another chunk, one norm for all groups.
        layer.chunk_size = 5
        agrees(run(layer, x), out, 1e-5)
        layer.time_step_limit = (0.0, 0.05)
        differs(run(layer, x), out)
        layer.time_step_limit = config.time_step_limit
        if config.n_groups > 1:
            layer.norm.group_size = 24
            differs(run(layer, x), out)
    return tensors


def gated_delta_net(name, rng):
    config = Qwen3NextConfig(hidden_size=HIDDEN, linear_num_value_heads=4, linear_num_key_heads=2,
                             linear_key_head_dim=5, linear_value_head_dim=3, linear_conv_kernel_dim=4,
                             num_hidden_layers=1, layer_types=["linear_attention"])
    layer = qwen3_next.Qwen3NextGatedDeltaNet(config, 0).double().eval()
    randomize(layer, rng, {"norm": 1.0, "A_log": -0.5})

    def grouped(tensor, names, sizes):
        """Rows that are interleaved by key head, as one map for each name."""
        groups = tensor.reshape(2, -1, HIDDEN)
        pieces = torch.split(groups, sizes, dim=1)
        return {f"{key}.weight": piece.reshape(-1, HIDDEN).T for key, piece in zip(names, pieces)}

    def split(parameters):
        named = {"dt_bias": parameters["dt_bias"], "a_log": parameters["A_log"]}
        named |= {"norm.weight": parameters["norm.weight"], "o.weight": parameters["out_proj.weight"].T}
        named |= grouped(parameters["in_proj_qkvz.weight"], ("q", "k", "v", "gate"), [5, 5, 6, 6])
        named |= grouped(parameters["in_proj_ba.weight"], ("beta", "alpha"), [2, 2])
        return named | rows("{}_conv.weight", parameters["conv1d.weight"].squeeze(1), {"q": 10, "k": 10, "v": 12})

    tensors = case(name, layer, split, rng)
    x, out = tensors[f"{name}.x"], tensors[f"{name}.output"]
    with torch.no_grad():
        # The recurrence and the chunked form agree; without the delta rule's decay the output differs.
        chunked = qwen3_next.torch_chunk_gated_delta_rule
        qwen3_next.torch_chunk_gated_delta_rule = qwen3_next.torch_recurrent_gated_delta_rule
        agrees(run(layer, x), out, 1e-5)
        qwen3_next.torch_chunk_gated_delta_rule = chunked
        layer.A_log.data = layer.A_log.data - 3.0
        differs(run(layer, x), out)
    return tensors


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    torch.set_default_dtype(torch.float64)
    rng = np.random.default_rng(31)
    tensors = mamba2("mamba2", rng, n_groups=1)
    tensors |= mamba2("mamba2_options", rng, n_groups=2, use_bias=True, time_step_limit=(0.2, 0.9))
    tensors |= gated_delta_net("gated_delta_net", rng)
    save(parser.parse_args().out / "mixers.safetensors", tensors)
