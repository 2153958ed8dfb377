# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.15.0", "transformers==5.23.0", "numpy==2.4.6", "safetensors==0.8.0"]
# ///
"""Write PyTorch's results for the optimizers, schedules and small layers. The Rust tests compare Kiln with them.

    python tools/fixtures.py --out crates/kiln-laws/fixtures

Random values come from NumPy generators with fixed seeds and are exact in f32. Results are computed in f64, except those
of `adamw`, `muon`, `clip` and `rotary`, which are computed in f32 as in training. A fixture is refused if disabling the
tested feature does not change its values (`differs`), or if a second reference exists and disagrees (`agrees`). The README
in the fixture folder lists every tensor.
"""

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import torch.optim._muon as torch_muon
from safetensors.torch import save as to_bytes
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import LlamaConfig
from transformers import optimization
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.bloom.modeling_bloom import build_alibi_tensor
from transformers.models.gemma2.modeling_gemma2 import eager_attention_forward as gemma2_attention
from transformers.models.gpt_oss.modeling_gpt_oss import eager_attention_forward as gpt_oss_attention
from transformers.models.llama.modeling_llama import LlamaMLP, LlamaRMSNorm, LlamaRotaryEmbedding, apply_rotary_pos_emb
from transformers.models.marian.modeling_marian import MarianSinusoidalPositionalEmbedding
from transformers.models.t5.modeling_t5 import T5Attention


def normal(rng, *shape, scale=1.0):
    """Normal values that are exact in f32, as an f64 tensor of `shape`."""
    return torch.from_numpy((rng.standard_normal(shape) * scale).astype(np.float32)).double()


def differs(on, off, least=1e-3):
    """Refuse a fixture that would not change visibly if the tested feature were missing."""
    gap = (on - off).abs().max().item()
    assert gap >= least, f"the control is within {gap:.1e} of the fixture; it must differ by {least:.0e}"


def agrees(found, expected, most):
    """Refuse a fixture on which two references disagree by more than `most`, relative to the largest value."""
    gap = ((found - expected).abs().max() / expected.abs().max()).item()
    assert gap <= most, f"two references disagree by {gap:.1e}; at most {most:.0e} was expected"


def differentiate(function, inputs, cotangent):
    """`output` of `function(**inputs)` and, as `d<name>`, the gradient of sum(output * cotangent) by each input."""
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in inputs.items()}
    output = function(**leaves)
    gradients = torch.autograd.grad(output, list(leaves.values()), cotangent)
    return {"output": output.detach()} | {f"d{name}": g for name, g in zip(leaves, gradients)}


def prefixed(prefix, tensors):
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def save(path, tensors, real=torch.float32):
    """Write the tensors: floating-point ones as `real`, integer ones as i64."""
    kept = {name: t.to(real) if t.is_floating_point() else t for name, t in tensors.items()}
    path.write_bytes(to_bytes({name: t.detach().clone().contiguous() for name, t in kept.items()}))


# --- adamw ---

SAVED_STEPS = (1, 10, 50)


def adamw_run(start, gradients, rates, betas, decay, eps=1e-8, optimizer=torch.optim.AdamW):
    """Parameter, both moments and their bias-corrected forms after each of SAVED_STEPS."""
    parameter = torch.nn.Parameter(start.clone())
    adamw = optimizer([parameter], lr=0.0, betas=betas, eps=eps, weight_decay=decay, foreach=False)
    saved = {}
    for step, (gradient, rate) in enumerate(zip(gradients, rates.tolist()), start=1):
        adamw.param_groups[0]["lr"] = rate
        parameter.grad = gradient.clone()
        adamw.step()
        if step in SAVED_STEPS:
            first, second = adamw.state[parameter]["exp_avg"], adamw.state[parameter]["exp_avg_sq"]
            saved[f"after.{step}"] = parameter.detach().clone()
            saved[f"first_moment.{step}"], saved[f"second_moment.{step}"] = first.clone(), second.clone()
            saved[f"first_corrected.{step}"] = first / (1 - betas[0] ** step)
            saved[f"second_corrected.{step}"] = second / (1 - betas[1] ** step)
    return saved


def adamw_gradients(rng, *shape):
    """Fifty gradients; along the first axis the sizes differ: about eps (so that eps counts), large, zero, one."""
    gradients = normal(rng, 50, *shape).float()
    gradients[:, 0] *= 1e-8
    gradients[:, 1] *= 1e3
    gradients[:, 2] = 0.0
    return gradients


def adamw(out):
    """Fifty steps of AdamW in f32 on stored gradients and learning rates, for two sets of hyper-parameters."""
    rng = np.random.default_rng(1)
    rates = torch.from_numpy(rng.uniform(0.002, 0.02, 50).astype(np.float32))
    tensors = {"lr": rates}
    for name, shape, decays in (("matrix", (7, 5), (0.1, 0.01)), ("vector", (5,), (0.0, 0.0))):
        start, gradients = normal(rng, *shape).float(), adamw_gradients(rng, *shape)
        tensors |= {f"{name}.initial": start, f"{name}.gradients": gradients}
        for label, betas, decay in zip(("beta95", "beta999"), ((0.9, 0.95), (0.9, 0.999)), decays):
            saved = adamw_run(start, gradients, rates, betas, decay)
            tensors |= prefixed(f"{label}.{name}", saved)
            last = saved["after.50"]
            exact = adamw_run(start.double(), gradients.double(), rates.double(), betas, decay)["after.50"]
            agrees(last, exact, 1e-6)
            differs(last, adamw_run(start, gradients, rates, betas, decay, eps=1e-10)["after.50"])
            if decay > 0:
                differs(last, adamw_run(start, gradients, rates, betas, 0.0)["after.50"])
                differs(last, adamw_run(start, gradients, rates, betas, decay, optimizer=torch.optim.Adam)["after.50"])
    save(out / "adamw.safetensors", tensors)


# --- muon ---

MUON_STEPS = (1, 5, 20)


def newton_schulz(matrix, coefficients, steps, eps):
    """The quintic iteration in the matrix's own precision; PyTorch's is in bf16."""
    a, b, c = coefficients
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = wide / wide.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide is matrix else x.T


def muon_run(start, gradients, rates, orthogonalise, nesterov=True, decay=0.1, adjust="match_rms_adamw"):
    """The parameter after each of MUON_STEPS; momentum, decay and scale are PyTorch's."""
    parameter = torch.nn.Parameter(start.clone())
    muon = torch.optim.Muon([parameter], weight_decay=decay, nesterov=nesterov, adjust_lr_fn=adjust)
    saved, theirs = {}, torch_muon._zeropower_via_newtonschulz
    torch_muon._zeropower_via_newtonschulz = orthogonalise or theirs
    for step, (gradient, rate) in enumerate(zip(gradients, rates.tolist()), start=1):
        muon.param_groups[0]["lr"] = rate
        parameter.grad = gradient.clone()
        muon.step()
        if step in MUON_STEPS:
            saved[f"after.{step}"] = parameter.detach().clone()
    torch_muon._zeropower_via_newtonschulz = theirs
    return saved


def muon(out):
    """Twenty steps of Muon in f32 for a tall and a wide matrix, with and without Nesterov's momentum."""
    rng = np.random.default_rng(7)
    rates = torch.from_numpy(rng.uniform(0.002, 0.02, 20).astype(np.float32))
    tensors = {"lr": rates}
    for name, shape in (("tall", (7, 5)), ("wide", (4, 9))):
        start, gradients = normal(rng, *shape).float(), normal(rng, 20, *shape).float()
        tensors |= {f"{name}.initial": start, f"{name}.gradients": gradients}
        for label, nesterov in (("nesterov", True), ("heavy", False)):
            saved = muon_run(start, gradients, rates, newton_schulz, nesterov)
            tensors |= prefixed(f"{label}.{name}", saved)
            exact = muon_run(start.double(), gradients.double(), rates.double(), newton_schulz, nesterov)
            agrees(saved["after.20"], exact["after.20"], 1e-5)
            agrees(saved["after.20"], muon_run(start, gradients, rates, None, nesterov)["after.20"], 2e-2)
            for control in ({"nesterov": not nesterov}, {"decay": 0.0}, {"adjust": "original"}):
                other = muon_run(start, gradients, rates, newton_schulz, **({"nesterov": nesterov} | control))
                differs(saved["after.20"], other["after.20"])
    save(out / "muon.safetensors", tensors)


# --- schedules ---

SCHEDULES = {
    "cosine": (
        "get_cosine_with_min_lr_schedule_with_warmup",
        {"num_warmup_steps": 20, "num_training_steps": 200, "min_lr_rate": 0.1},
    ),
    "linear": ("get_linear_schedule_with_warmup", {"num_warmup_steps": 20, "num_training_steps": 200}),
    "wsd": (
        "get_wsd_schedule",
        {"num_warmup_steps": 20, "num_decay_steps": 40, "num_training_steps": 200, "decay_type": "linear"},
    ),
}


def schedule_factors(function, arguments, steps=201):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = getattr(optimization, function)(optimizer, **arguments)
    factors = []
    for _ in range(steps):
        factors.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return factors


def schedules(out):
    """The factor of the peak learning rate at each optimizer step."""
    about = (
        "factors[k] is the learning rate divided by its peak that the k-th optimizer.step() uses, k from 0: read "
        "before that call; scheduler.step() follows it. Steps 0 to 199 are the run; 200 is the first one beyond it."
    )
    table = {
        name: {
            "function": f"transformers.{function}",
            "arguments": arguments,
            "factors": schedule_factors(function, arguments),
        }
        for name, (function, arguments) in SCHEDULES.items()
    }
    rows = [torch.tensor(entry["factors"]) for entry in table.values()]
    differs(rows[0], rows[1])
    differs(rows[1], rows[2])
    (out / "schedules.json").write_text(json.dumps({"about": about, "schedules": table}, indent=1) + "\n")


# --- clip ---


def clip(out):
    """Clipping by global norm of three gradients, in f32: 0.5 is below their norm, 100 above."""
    rng = np.random.default_rng(2)
    gradients = {name: normal(rng, *shape).float() for name, shape in (("a", (3, 4)), ("b", (5,)), ("c", (2, 2, 3)))}
    tensors = {f"{name}.gradient": g for name, g in gradients.items()}
    for limit in ("0.5", "100"):
        parameters = [torch.nn.Parameter(torch.zeros_like(g)) for g in gradients.values()]
        for parameter, gradient in zip(parameters, gradients.values()):
            parameter.grad = gradient.clone()
        norm = torch.nn.utils.clip_grad_norm_(parameters, float(limit), foreach=False)
        tensors["norm"] = norm.reshape(1)
        tensors |= {f"{name}.clipped.{limit}": p.grad for name, p in zip(gradients, parameters)}
    assert 0.5 < norm.item() < 100
    differs(tensors["a.clipped.0.5"], gradients["a"] * (0.5 / gradients["a"].norm()))
    assert torch.equal(tensors["a.clipped.100"], gradients["a"])
    save(out / "clip.safetensors", tensors)


# --- attention ---

BATCH, HEADS, SEQ, HEAD_DIM, SOFTCAP = 2, 4, 7, 8, 5.0


def attention_masks():
    """Documents and padding of the tokens `[batch, seq]`, and the additive masks `[batch, query, key]` that follow."""
    documents = torch.tensor([[0, 0, 0, 1, 1, 1, 1], [0, 1, 1, 1, 1, 2, 2]])
    live = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0, 0]])
    place = torch.arange(SEQ)
    distance = (place[:, None] - place[None, :]).expand(BATCH, SEQ, SEQ)
    visible = {
        "causal": distance >= 0,
        "window": (distance >= 0) & (distance <= 2),
        "documents": (distance >= 0) & (documents[:, :, None] == documents[:, None, :]),
        "padding": (live[:, :, None] * live[:, None, :]) == 1,
    }
    masks = {name: torch.zeros(v.shape).double().masked_fill(~v, -math.inf) for name, v in visible.items()}
    return {"documents": documents, "live": live}, masks


def scores(q, k, mask, softcap):
    """Scaled scores `[batch, heads, query, key]`, capped before the mask; query head h reads key head h·G/H."""
    scaled = q @ k.repeat_interleave(HEADS // k.shape[1], 1).transpose(2, 3) / math.sqrt(HEAD_DIM)
    capped = scaled if softcap is None else softcap * torch.tanh(scaled / softcap)
    return capped + mask[:, None]


def softmax_attention(mask, softcap):
    """Softmax of the scores times the values; a query that sees nothing yields zero."""

    def attend(q, k, v):
        seen = (mask == 0.0)[:, None]
        weights = scores(q, k, mask, softcap).clamp(min=-1e300).softmax(-1) * seen
        return weights @ v.repeat_interleave(HEADS // v.shape[1], 1)

    return attend


def fused_attention(mask):
    return lambda q, k, v: F.scaled_dot_product_attention(q, k, v, mask[:, None], enable_gqa=True)


def gemma2(inputs, mask):
    """Capped attention of Gemma 2, whose softmax is in f32."""
    module = torch.nn.Module().eval()
    module.num_key_value_groups = HEADS // inputs["k"].shape[1]
    q, k, v = inputs.values()
    output, _ = gemma2_attention(module, q, k, v, mask[:, None], scaling=HEAD_DIM**-0.5, softcap=SOFTCAP)
    return output.transpose(1, 2)


def attention_case(inputs, mask, cotangent, softcap):
    """Output, log-sum-exp of the scores `[batch, heads, query]` and gradients."""
    if softcap is None:
        with sdpa_kernel(SDPBackend.MATH):
            case = differentiate(fused_attention(mask), inputs, cotangent)
        for name, expected in differentiate(softmax_attention(mask, None), inputs, cotangent).items():
            agrees(case[name], expected, 1e-12)
    else:
        case = differentiate(softmax_attention(mask, softcap), inputs, cotangent)
        agrees(case["output"], gemma2(inputs, mask), 1e-6)
    return case | {"lse": scores(inputs["q"], inputs["k"], mask, softcap).logsumexp(-1)}


def attention(out):
    """Scaled dot-product attention for 1, 2 and 4 key heads, four masks, with and without a soft cap; in f64."""
    rng = np.random.default_rng(3)
    q, cotangent = (normal(rng, BATCH, HEADS, SEQ, HEAD_DIM, scale=scale) for scale in (2.5, 1.0))
    marks, masks = attention_masks()
    tensors = {"q": q, "cotangent": cotangent} | marks | prefixed("mask", masks)
    for groups in (1, 2, 4):
        k, v = (normal(rng, BATCH, groups, SEQ, HEAD_DIM, scale=scale) for scale in (2.0, 1.0))
        tensors |= {f"g{groups}.k": k, f"g{groups}.v": v}
        inputs = {"q": q, "k": k, "v": v}
        for name, mask in masks.items():
            plain = attention_case(inputs, mask, cotangent, None)
            tensors |= prefixed(f"g{groups}.{name}.plain", plain)
            differs(plain["output"], softmax_attention(torch.zeros_like(mask), None)(**inputs))
            if name != "padding":
                capped = attention_case(inputs, mask, cotangent, SOFTCAP)
                tensors |= prefixed(f"g{groups}.{name}.softcap", capped)
                differs(plain["output"], capped["output"])
    save(out / "attention.safetensors", tensors, torch.float64)


# --- rotary ---


def rotate(x, positions, theta, interleaved=False):
    """Rotation by complex numbers in f64; half-split pairs channel i with i + d/2, interleaved 2i with 2i + 1."""
    half = x.shape[-1] // 2
    angles = positions[:, None, :, None] * theta ** (-torch.arange(half).double() / half)
    parts = (x[..., 0::2], x[..., 1::2]) if interleaved else (x[..., :half], x[..., half:])
    turned = torch.complex(*parts) * torch.polar(torch.ones_like(angles), angles)
    parts = (turned.real, turned.imag)
    return torch.stack(parts, -1).flatten(-2) if interleaved else torch.cat(parts, -1)


def rotary(out):
    """Half-split rotary positions as in Llama, in f32; the positions differ by row, do not start at 0 and jump."""
    rng = np.random.default_rng(4)
    x = normal(rng, 2, 3, 7, 8)
    positions = torch.tensor([[3, 4, 5, 6, 7, 8, 9], [40, 41, 42, 7, 8, 9, 100]])
    tensors = {"x": x, "positions": positions}
    for theta in (10000, 500):
        config = LlamaConfig(head_dim=8, rope_parameters={"rope_type": "default", "rope_theta": float(theta)})
        tables = LlamaRotaryEmbedding(config)(x.float(), positions)
        output, _ = apply_rotary_pos_emb(x.float(), x.float(), *tables)
        agrees(output, rotate(x, positions, theta), 1e-5)
        differs(output, rotate(x, positions - positions[:, :1], theta))
        differs(output, rotate(x, positions, theta, interleaved=True))
        tensors[f"theta_{theta}.output"] = output
    differs(tensors["theta_10000.output"], tensors["theta_500.output"])
    save(out / "rotary.safetensors", tensors)


# --- positions ---


def rope_tables(kind, **options):
    """Frequencies of 16 pairs and the factor of cosines and sines, as Hugging Face's models take them."""
    parameters = {"rope_type": kind, "rope_theta": 10_000.0, **options}
    config = LlamaConfig(head_dim=32, max_position_embeddings=4096, rope_parameters=parameters)
    if kind == "default":
        return LlamaRotaryEmbedding(config).inv_freq, 1.0
    return ROPE_INIT_FUNCTIONS[kind](config, "cpu")


def positions(out):
    """Sinusoidal tables, ALiBi biases, T5 buckets, rotary scaling, and interleaved rotary embeddings."""
    tensors = {"sinusoidal.half": MarianSinusoidalPositionalEmbedding(50, 12).create_weight()}
    for heads in (4, 6, 8):
        bias = build_alibi_tensor(torch.ones(1, 9), heads, torch.float32).reshape(heads, 9)
        tensors[f"alibi.{heads}"] = bias
    distances = torch.arange(-512, 513)
    for both in (False, True):
        for buckets, most in ((32, 128), (12, 20)):
            name = f"t5.{'both' if both else 'behind'}.{buckets}.{most}"
            bucket = T5Attention._relative_position_bucket
            tensors[name] = bucket(distances, bidirectional=both, num_buckets=buckets, max_distance=most)
    plain, _ = rope_tables("default")
    linear, _ = rope_tables("linear", factor=4.0)
    yarn, factor = rope_tables("yarn", factor=8.0, original_max_position_embeddings=512)
    narrow, _ = rope_tables("yarn", factor=8.0, original_max_position_embeddings=512, beta_fast=16.0, beta_slow=2.0)
    # The slowest frequencies are below any absolute gap: controls compare logarithms.
    for other in (linear, yarn):
        differs(plain.log(), other.log(), 1.0)
    differs(yarn.log(), narrow.log(), 0.1)
    tensors |= {"rope.default": plain, "rope.linear": linear, "rope.yarn": yarn, "rope.yarn_narrow": narrow}
    tensors["rope.yarn_factor"] = torch.tensor([factor])
    rng = np.random.default_rng(14)
    x, where = normal(rng, 1, 2, 5, 8), torch.tensor([[0, 1, 2, 30, 31]])
    tensors |= {"neighbours.x": x, "neighbours.positions": where}
    tensors["neighbours.output"] = rotate(x, where, 10_000.0, interleaved=True)
    differs(tensors["neighbours.output"], rotate(x, where, 10_000.0))
    save(out / "positions.safetensors", tensors)


# --- scores ---


def score_kinds(out):
    """Causal attention in f64: with a sink per head as in gpt-oss, and with a sigmoid instead of the softmax."""
    rng = np.random.default_rng(15)
    q, k, v, cotangent = (normal(rng, 2, 4, 6, 8, scale=scale) for scale in (2.0, 1.0, 1.0, 1.0))
    sinks, scale = normal(rng, 4), 8**-0.5
    hidden = torch.full((6, 6), float("-inf")).triu(1).double()

    def with_sinks(q, k, v, sinks):
        module = torch.nn.Module()
        module.sinks, module.num_key_value_groups, module.training = sinks, 1, False
        return gpt_oss_attention(module, q, k, v, hidden[None, None], scale)[0].transpose(1, 2)

    def by_sigmoid(q, k, v, bias):
        weights = torch.sigmoid(q @ k.transpose(2, 3) * scale + hidden + bias)
        return weights @ v

    tensors = {"q": q, "k": k, "v": v, "sinks": sinks, "cotangent": cotangent}
    inputs = {"q": q, "k": k, "v": v}
    tensors |= prefixed("sink", differentiate(with_sinks, inputs | {"sinks": sinks}, cotangent))
    differs(tensors["sink.output"], F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale))
    shift = -torch.arange(1, 7).double().log()[:, None]
    for name, bias in (("sigmoid", torch.tensor(-1.5).double()), ("sigmoid_by_keys", shift)):
        run = lambda q, k, v: by_sigmoid(q, k, v, bias)
        tensors |= prefixed(name, differentiate(run, inputs, cotangent))
    differs(tensors["sigmoid.output"], tensors["sigmoid_by_keys.output"])
    save(out / "scores.safetensors", tensors)


# --- norms ---


def layer_norm(eps):
    return lambda x, weight, bias: F.layer_norm(x, (8,), weight, bias, eps)


def rms_norm(eps):
    return lambda x, weight: F.rms_norm(x, (8,), weight, eps)


def gelu(approximate):
    return lambda x: F.gelu(x, approximate=approximate)


def swiglu(x, gate, up, down):
    """(silu(x · gate) * (x · up)) · down, with weights `[in, out]`."""
    return (F.silu(x @ gate) * (x @ up)) @ down


def llama_feed_forward(x, gate, up, down):
    mlp = LlamaMLP(LlamaConfig(hidden_size=8, num_attention_heads=1, intermediate_size=12)).double()
    mlp.load_state_dict({"gate_proj.weight": gate.T, "up_proj.weight": up.T, "down_proj.weight": down.T})
    return mlp(x).detach()


def llama_rms_norm(x, weight):
    norm = LlamaRMSNorm(8, eps=1e-6)
    norm.load_state_dict({"weight": weight})
    return norm(x).detach()


def norms(out):
    """Norms, activations and the gated MLP. One row of x is small, so that eps matters; one has a nonzero mean."""
    rng = np.random.default_rng(5)
    x, cotangent = normal(rng, 2, 3, 8, scale=1.5), normal(rng, 2, 3, 8)
    x[0, 0] = normal(rng, 8, scale=1e-2)
    x[0, 1] = normal(rng, 8) + 3.0
    x = x.float().double()
    scale = {"weight": (1.0 + normal(rng, 8, scale=0.3)).float().double()}
    shift = {"bias": normal(rng, 8, scale=0.3)}
    shapes = {"gate": (8, 12), "up": (8, 12), "down": (12, 8)}
    gated = {name: normal(rng, *shape, scale=0.4) for name, shape in shapes.items()}
    layers = {
        "layer_norm": (layer_norm(1e-5), scale | shift),
        "rms_norm": (rms_norm(1e-6), scale),
        "gelu_erf": (gelu("none"), {}),
        "gelu_tanh": (gelu("tanh"), {}),
        "swiglu": (swiglu, gated),
    }
    layers = {
        name: weights | differentiate(function, {"x": x} | weights, cotangent)
        for name, (function, weights) in layers.items()
    }
    differs(layers["layer_norm"]["output"], layer_norm(1e-6)(x, **scale, **shift))
    differs(layers["rms_norm"]["output"], rms_norm(0.0)(x, **scale))
    agrees(layers["rms_norm"]["output"], llama_rms_norm(x, **scale), 1e-6)
    # The two curves are never further apart than 5e-4.
    differs(layers["gelu_erf"]["output"], layers["gelu_tanh"]["output"], least=2e-4)
    agrees(layers["swiglu"]["output"], llama_feed_forward(x, **gated), 1e-12)
    differs(layers["swiglu"]["output"], swiglu(x, gated["up"], gated["gate"], gated["down"]))
    tensors = {"x": x, "cotangent": cotangent}
    for name, layer in layers.items():
        tensors |= prefixed(name, layer)
    save(out / "norms.safetensors", tensors)


# --- cross entropy ---


def cross_entropy(out):
    """sum(weight * nll) / sum(weight). The logits of one token overflow exp in f32 unless the maximum is subtracted."""
    rng = np.random.default_rng(6)
    logits = normal(rng, 2, 5, 11, scale=3.0)
    logits[1, 2] = (logits[1, 2] + 100.0).float().double()
    targets = torch.from_numpy(rng.integers(0, 11, (2, 5)))
    weights = torch.tensor([[1.0, 0.0, 0.5, 2.0, 1.0], [0.0, 1.0, 0.25, 1.0, 0.0]]).double()

    def token_losses(logits):
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").reshape(2, 5)

    def loss(logits):
        return (weights * token_losses(logits)).sum() / weights.sum()

    nll = token_losses(logits)
    case = differentiate(loss, {"logits": logits}, torch.ones(()).double())
    differs(case["output"], nll.mean())
    differs(case["output"], (weights * nll).mean())
    tensors = {"logits": logits, "targets": targets, "weights": weights, "nll": nll, "dlogits": case["dlogits"]}
    save(out / "cross_entropy.safetensors", tensors | {"loss": case["output"].reshape(1)})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("crates/kiln-laws/fixtures"), help="output folder")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for fixture in (adamw, muon, schedules, clip, attention, rotary, positions, score_kinds, norms, cross_entropy):
        fixture(out)


if __name__ == "__main__":
    main()
