# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.15.0", "transformers==5.24.0", "numpy==2.4.6", "safetensors==0.8.0",
#                 "accelerate==1.15.0", "bitsandbytes==0.50.2"]
# ///
"""Write tiny models whose weights are quantized in the forms of Hugging Face folders, with the logits of their weights.

    pip download --no-deps --dest PACKAGES auto-gptq==0.7.1 autoawq==0.2.9
    python tools/fixtures_quantized.py --packages PACKAGES --out crates/kiln-pretrained/tests/fixtures/quantized

A case is a Hugging Face folder with an additional file `expected.safetensors`: token ids, and the logits that transformers
computes in f32 with the dequantized weights. Weights are rounded to the grid that their own range gives, without calibration:
the cases test files, not quality.

Weights are packed and dequantized by the references, on the CPU:

- GPTQ: `pack` and `forward` of `auto_gptq/nn_modules/qlinear/qlinear_cuda.py`. `gptq_v2` has the zero points of the same file
  plus one. The scales are multiplied in f32 where Kiln keeps the values exactly, and in f16, as stored, where it does not.
- AWQ: packed by the order in `awq/modules/linear/gemm.py`, dequantized by `awq/utils/packing_utils.py`.
- FP8: quantized and dequantized by transformers (`Fp8Quantize`, `Fp8Dequantize`), blocks that do not divide the matrix by its
  `_dequantize_fp8_weight`.
- bitsandbytes: quantized and dequantized by its functions, 4 bits by that in PyTorch.

The modules of GPTQ and AWQ are loaded from the downloaded packages without the rest of the packages, which needs a GPU.
"""

import importlib.util
import json
import shutil
import sys
import tarfile
import tempfile
import types
import zipfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.integrations import finegrained_fp8
from transformers.utils.quantization_config import FineGrainedFP8Config

import checking
from fixtures import agrees

HIDDEN, INNER, VOCAB, LENGTH = 32, 96, 24, 9

MODEL = dict(vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=INNER, num_hidden_layers=1, num_attention_heads=2,
             num_key_value_heads=1, head_dim=32, max_position_embeddings=64)

# name: model_type, options of quantization, and whether Kiln keeps the values exactly.
CASES = {
    "gptq-symmetric": ("llama", dict(quant_method="gptq", bits=4, group_size=32, sym=True, desc_act=False), True),
    "gptq-asymmetric": ("llama", dict(quant_method="gptq", bits=4, group_size=32, sym=False, desc_act=False,
                                      checkpoint_format="gptq", true_sequential=True, damp_percent=0.01), True),
    "gptq-v2": ("qwen2", dict(quant_method="gptq", bits=4, group_size=-1, sym=False, desc_act=False,
                              checkpoint_format="gptq_v2", pack_dtype="int32", meta={"quantizer": ["none"]}), True),
    "gptq-act-order": ("llama", dict(quant_method="gptq", bits=4, group_size=8, sym=False, desc_act=True), False),
    "gptq-8-bits": ("llama", dict(quant_method="gptq", bits=8, group_size=32, sym=True, desc_act=False), True),
    "gptq-8-bits-asymmetric": ("llama", dict(quant_method="gptq", bits=8, group_size=16, sym=False, desc_act=False), False),
    "awq": ("qwen2", dict(quant_method="awq", bits=4, group_size=32, zero_point=True, version="gemm",
                          modules_to_not_convert=["down_proj"]), True),
    "fp8-blocks": ("qwen3", dict(quant_method="fp8", activation_scheme="dynamic", weight_block_size=[16, 8], fmt="e4m3",
                                 modules_to_not_convert=["lm_head"]), True),
    "fp8-ragged": ("llama", dict(quant_method="fp8", activation_scheme="dynamic", weight_block_size=[20, 24]), True),
    "fp8-tensor": ("llama", dict(quant_method="fp8", activation_scheme="static", weight_block_size=None), True),
    "nf4": ("llama", dict(quant_method="bitsandbytes", load_in_4bit=True, bnb_4bit_quant_type="nf4",
                          bnb_4bit_compute_dtype="bfloat16", bnb_4bit_use_double_quant=True), True),
    "fp4": ("llama", dict(quant_method="bitsandbytes", load_in_4bit=True, bnb_4bit_quant_type="fp4"), True),
    "int8": ("llama", dict(load_in_8bit=True, llm_int8_threshold=6.0, llm_int8_skip_modules=["lm_head"]), True),
    "fp8-exponents": ("llama", dict(quant_method="fp8", weight_block_size=[16, 16], scale_fmt="ue8m0"), True),
}


def module(packages, archive, path):
    """Load one Python file of a downloaded package."""
    found = next(packages.glob(archive))
    if found.suffix == ".whl":
        with zipfile.ZipFile(found) as files:
            text = files.read(path)
    else:
        with tarfile.open(found) as files:
            text = files.extractfile(next(m for m in files if m.name.endswith(path))).read()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / Path(path).name
        file.write_bytes(text)
        spec = importlib.util.spec_from_file_location(Path(path).stem, file)
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
    return loaded


def grid(weight, bits, group_of, symmetric):
    """Scales in f16 and zero points `[out, groups]` for the range of each group's weights. Zero points are 1 to 2^bits − 1."""
    groups = int(group_of.max()) + 1
    scales, zeros = torch.zeros(weight.shape[0], groups), torch.zeros(weight.shape[0], groups)
    most = 2**bits - 1
    for group in range(groups):
        part = weight[:, group_of == group]
        low, high = part.min(1).values.clamp(max=0), part.max(1).values.clamp(min=0)
        if symmetric:
            scale = 2 * torch.maximum(high, -low) / most
            zero = torch.full_like(scale, 2 ** (bits - 1))
        else:
            scale = (high - low) / most
            zero = torch.round(-low / scale).clamp(1, most)
        scales[:, group], zeros[:, group] = scale.half().float(), zero
    return scales, zeros


def rounded(linear, scales, zeros, group_of, bits):
    """The linear layer with weights on the grid, so that packing rounds nothing."""
    s, z = scales[:, group_of], zeros[:, group_of]
    q = torch.clamp(torch.round(linear.weight / s) + z, 0, 2**bits - 1)
    on_grid = nn.Linear(linear.in_features, linear.out_features, bias=linear.bias is not None)
    on_grid.weight.data = s * (q - z)
    if linear.bias is not None:
        on_grid.bias.data = linear.bias.data
    return on_grid, q.to(torch.int32)


def gptq(linear, options, exact, reference):
    """Stored tensors of a linear layer, and its weight as the reference has it."""
    bits, inputs, outputs = options["bits"], linear.in_features, linear.out_features
    size = options["group_size"] if options["group_size"] > 0 else inputs
    order = torch.randperm(inputs) if options["desc_act"] else torch.arange(inputs)
    group_of = torch.empty(inputs, dtype=torch.int64)
    group_of[order] = torch.arange(inputs) // size
    scales, zeros = grid(linear.weight.data, bits, group_of, options["sym"])
    on_grid, _ = rounded(linear, scales, zeros, group_of, bits)
    packed = reference.QuantLinear(bits, size, inputs, outputs, bias=False)
    packed.pack(on_grid, scales.clone(), zeros.clone(), group_of.to(torch.int32))
    packed.scales = scales.t().contiguous() if exact else scales.t().contiguous().half()
    identity = torch.eye(inputs, dtype=packed.scales.dtype)
    packed.bias = None
    weight = packed(identity).t().float().contiguous()
    # On the grid, up to the last bit of a product in f16.
    assert (weight - on_grid.weight.data).abs().max() <= 2**-11 * on_grid.weight.abs().max()
    stored = {"qweight": packed.qweight, "qzeros": packed.qzeros, "scales": scales.t().contiguous().half()}
    if options.get("checkpoint_format") == "gptq_v2":
        # Without the index, which only act-order needs.
        stored["qzeros"] = packed.qzeros + (0x11111111 if bits == 4 else 0x01010101)
    else:
        stored["g_idx"] = packed.g_idx.to(torch.int32)
    return stored, weight


def awq(linear, options, _, reference):
    """As `gptq`, packed along the outputs."""
    inputs, size = linear.in_features, options["group_size"]
    group_of = torch.arange(inputs) // size
    scales, zeros = grid(linear.weight.data, 4, group_of, False)
    on_grid, q = rounded(linear, scales, zeros, group_of, 4)

    def pack(integers):
        words = torch.zeros(integers.shape[0], integers.shape[1] // 8, dtype=torch.int64)
        for position, column in enumerate([0, 2, 4, 6, 1, 3, 5, 7]):
            words |= integers[:, column::8].to(torch.int64) << (4 * position)
        return words.to(torch.int32)

    stored = {"qweight": pack(q.t()), "qzeros": pack(zeros.t().int()), "scales": scales.t().contiguous().half()}
    weight = reference.dequantize_gemm(stored["qweight"], stored["qzeros"], stored["scales"].float(), 4, size).t()
    assert torch.equal(weight, on_grid.weight.data)
    return stored, weight.contiguous()


def fp8(linear, options, dtype, name):
    """As `gptq`, for 8-bit floats."""
    config = FineGrainedFP8Config(**options)
    owner = types.SimpleNamespace(quantization_config=config)
    weight, block = linear.weight.data, options["weight_block_size"]
    rows, columns = weight.shape
    if block and (rows % block[0] or columns % block[1]):
        # Padded to whole blocks, quantized, and cut again.
        padded = torch.zeros(-(-rows // block[0]) * block[0], -(-columns // block[1]) * block[1])
        padded[:rows, :columns] = weight
        made = finegrained_fp8.Fp8Quantize(owner).convert({f"{name}.weight": padded})
        quantized, scales = made[f"{name}.weight"][:rows, :columns].contiguous(), made[f"{name}.weight_scale_inv"]
        dequantized = finegrained_fp8._dequantize_fp8_weight(quantized, scales, block, torch.float32)
    else:
        made = finegrained_fp8.Fp8Quantize(owner).convert({f"{name}.weight": weight})
        quantized, scales = made[f"{name}.weight"], made[f"{name}.weight_scale_inv"]
        dequantized = finegrained_fp8.Fp8Dequantize(owner)._dequantize_one(quantized, scales, output_dtype=dtype)
    stored = {"weight": quantized, "weight_scale_inv": scales if block else scales.reshape(())}
    if options.get("activation_scheme") == "static":
        stored["activation_scale"] = torch.tensor(0.25)
    return stored, dequantized.float()


def bitsandbytes(linear, options, dtype):
    """As `gptq`, by bitsandbytes."""
    from bitsandbytes import functional
    from bitsandbytes.backends.default.ops import _dequantize_4bit_compute

    weight = linear.weight.data
    if options.get("load_in_8bit"):
        quantized, scales, _ = functional.int8_vectorwise_quant(weight.half())
        dequantized = functional.int8_vectorwise_dequant(quantized, scales).to(dtype)
        stored = {"weight": quantized, "SCB": scales, "weight_format": torch.tensor(0, dtype=torch.uint8)}
        return stored, dequantized.float()
    quantized, state = functional.quantize_4bit(
        weight.to(dtype), blocksize=64, quant_type=options["bnb_4bit_quant_type"],
        compress_statistics=options.get("bnb_4bit_use_double_quant", False))
    stored = {"weight": quantized} | {f"weight.{part}": value for part, value in state.as_dict(packed=True).items()}
    scales = state.absmax
    if state.nested:
        scales = functional.dequantize_blockwise(state.absmax, state.state2) + state.offset
    # The compiled kernel of the CPU is wrong where a block has several rows, so that the function in PyTorch is used.
    dequantized = _dequantize_4bit_compute(quantized.reshape(-1), scales, state.code, 64, weight.shape, dtype).float()
    assert (dequantized - weight).abs().max() < 0.2 * weight.abs().max()
    return stored, dequantized


def case(name, out, packages):
    model_type, options, exact = CASES[name]
    torch.manual_seed(len(name))
    method = options.get("quant_method", "bitsandbytes")
    halves = {"fp8-blocks": torch.bfloat16, "nf4": torch.bfloat16, "int8": torch.bfloat16}
    dtype = halves.get(name, torch.float32 if method == "fp8" else torch.float16)
    config = AutoConfig.for_model(model_type, **MODEL)
    model = AutoModelForCausalLM.from_config(config).eval()
    for parameter in model.parameters():
        noise = torch.randn_like(parameter) * 0.3
        # What is not quantized is stored in 16 bits, or f32.
        parameter.data = (noise + (1.0 if parameter.ndim == 1 else 0.0)).to(dtype).float()
    if method == "gptq":
        reference = module(packages, "auto_gptq-*.whl", "auto_gptq/nn_modules/qlinear/qlinear_cuda.py")
    elif method == "awq":
        reference = module(packages, "autoawq-*.tar.gz", "awq/utils/packing_utils.py")
    plain = {n: p.data.to(dtype) for n, p in model.named_parameters()}
    excluded = options.get("modules_to_not_convert", []) + ["lm_head"]
    tensors = dict(plain)
    for path, linear in model.named_modules():
        if not isinstance(linear, nn.Linear) or any(path.endswith(entry) for entry in excluded):
            continue
        if method == "fp8":
            stored, weight = fp8(linear, options, dtype, path)
        elif method == "bitsandbytes":
            stored, weight = bitsandbytes(linear, options, dtype)
        else:
            stored, weight = (gptq if method == "gptq" else awq)(linear, options, exact, reference)
        assert (weight - linear.weight).abs().max() > 1e-4, "quantization changes nothing"
        linear.weight.data = weight
        del tensors[f"{path}.weight"]
        tensors |= {f"{path}.{part}": tensor.contiguous() for part, tensor in stored.items()}
    ids = torch.randint(0, VOCAB, (1, LENGTH))
    with torch.no_grad():
        logits = model(ids).logits[0]
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    written = json.loads(config.to_json_string(use_diff=False))
    written = {key: value for key, value in written.items() if value is not None}
    written |= {"dtype": str(dtype).removeprefix("torch."), "quantization_config": options}
    written["architectures"] = [type(model).__name__]
    (folder / "config.json").write_text(json.dumps(written, indent=1, sort_keys=True) + "\n")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    save_file({"ids": ids[0].to(torch.int32), "logits": logits.float().contiguous()}, folder / "expected.safetensors")
    if method == "fp8" and name != "fp8-ragged":
        # The whole path of the reference, from the folder. It has no CPU path for blocks that do not divide a matrix.
        own = AutoModelForCausalLM.from_pretrained(folder, quantization_config=FineGrainedFP8Config(dequantize=True),
                                                   dtype=dtype).float()
        with torch.no_grad():
            agrees(own(ids).logits[0], logits, 1e-5)
    print(f"{name}: {(folder / 'model.safetensors').stat().st_size} bytes, logits up to {logits.abs().max():.2f}")


def main():
    parser = checking.options(__doc__)
    parser.add_argument("--packages", type=Path, required=True, help="folder of the downloaded packages")
    arguments = checking.parsed(parser)
    for name in CASES:
        case(name, arguments.out, arguments.packages)


if __name__ == "__main__":
    sys.exit(main())
