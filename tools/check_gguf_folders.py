# /// script
# requires-python = ">=3.11"
# dependencies = ["gguf==0.19.0", "llama-cpp-python==0.3.36", "numpy==2.4.6", "safetensors==0.8.0", "tokenizers==0.23.3"]
# ///
"""Export Hugging Face folders to GGUF with Kiln, check the files with the `gguf` package, and compare llama.cpp with Kiln.

    python tools/check_gguf_folders.py KILN FOLDER...

FOLDER is a Hugging Face folder: one from `fixtures_gguf.py folders`, or a real model. Checked for each folder:

- Every tensor equals that of the folder, rounded to F16 if the file stores F16.
- llama.cpp and the tokenizer of the folder give the same ids on the texts in `crates/kiln-data/fixtures/tokenizers`.
- The difference of the logits of both programs for the same ids (for an encoder, of its vectors), relative to the largest
  value, is printed.
"""

import ctypes
import importlib.metadata
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import gguf
import llama_cpp as ll
import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

FIXTURES = Path(__file__).resolve().parent.parent / "crates/kiln-data/fixtures/tokenizers"
TEXTS = json.loads((FIXTURES / "texts.json").read_text())
SENTENCES = ["The quick brown fox jumps over the lazy dog.", "the dog's day isn't over", "3 cats, 14 dogs"]
ARCHITECTURES = {"gpt2": "GPT2", "llama": "LLAMA", "mistral": "LLAMA", "qwen2": "QWEN2", "bert": "BERT", "t5": "T5"}


def turned(name, values, config, kind):
    """A tensor in the row order of llama.cpp."""
    if kind == "gpt2" and re.search(r"(c_attn|c_proj|c_fc)\.weight$", name):
        return values.T
    if kind == "llama" and (found := re.search(r"(q|k)_proj\.(weight|bias)$", name)):
        heads = config["num_attention_heads" if found[1] == "q" else "num_key_value_heads"]
        return values.reshape(heads, 2, -1, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)
    return values


def compare(path, folder, config):
    kind = config["model_type"]
    blocks = config.get("num_hidden_layers") or config.get("n_layer") or config["num_layers"]
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[ARCHITECTURES[kind]], blocks)
    found = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    kinds = {}
    for name, values in load_file(folder / "model.safetensors").items():
        if name.startswith("pooler.") or name.endswith("position_ids"):
            continue
        tensor = found.pop(names.get_name(name, (".weight", ".bias")))
        want = turned(name, values.astype(np.float32), config, "llama" if kind == "mistral" else kind)
        stored = tensor.tensor_type.name
        want = want.astype(np.float16).astype(np.float32) if stored == "F16" else want
        assert np.array_equal(gguf.quants.dequantize(tensor.data, tensor.tensor_type), want), name
        kinds[stored] = kinds.get(stored, 0) + 1
    assert not found, found.keys()
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))


class Llama:
    """A model loaded in llama.cpp, on one thread, without flash attention, which is less exact."""

    def __init__(self, path, embeds):
        ll.llama_backend_init()
        model = ll.llama_model_default_params()
        model.n_gpu_layers, model.use_mmap = 0, False
        self.model = ll.llama_model_load_from_file(str(path).encode(), model)
        assert self.model, "llama.cpp cannot load the file"
        self.vocab = ll.llama_model_get_vocab(self.model)
        context = ll.llama_context_default_params()
        context.n_ctx = context.n_batch = context.n_ubatch = 512
        context.n_threads = context.n_threads_batch = 1
        context.flash_attn_type = 0
        context.type_k = context.type_v = 0
        context.embeddings = embeds
        self.context = ll.llama_init_from_model(self.model, context)
        self.width = ll.llama_model_n_embd(self.model)

    def ids(self, text, special=True):
        text = text.encode()
        room = (ctypes.c_int32 * (len(text) + 16))()
        count = ll.llama_tokenize(self.vocab, text, len(text), room, len(room), special, True)
        return list(room[:count])

    def batch(self, ids):
        batch = ll.llama_batch_init(len(ids), 0, 1)
        batch.n_tokens = len(ids)
        for i, token in enumerate(ids):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, i, 1, 1
            batch.seq_id[i][0] = 0
        return batch

    def clear(self):
        memory = ll.llama_get_memory(self.context)
        if memory:
            ll.llama_memory_clear(memory, True)

    def logits(self, ids, prompt=None):
        self.clear()
        if prompt:
            assert ll.llama_encode(self.context, self.batch(prompt)) == 0
        assert ll.llama_decode(self.context, self.batch(ids)) == 0
        width = ll.llama_vocab_n_tokens(self.vocab)
        rows = [ll.llama_get_logits_ith(self.context, i)[:width] for i in range(len(ids))]
        return np.array(rows, dtype=np.float64)

    def vector(self, ids):
        self.clear()
        assert ll.llama_encode(self.context, self.batch(ids)) == 0
        return np.array(ll.llama_get_embeddings_seq(self.context, 0)[: self.width], dtype=np.float64)


def kiln(binary, *arguments):
    done = subprocess.run([binary, *map(str, arguments), "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def apart(found, want):
    return np.abs(found - want).max() / np.abs(want).max()


def outputs(binary, path, llama, config):
    """The relative difference between the outputs of the two programs."""
    gaps, kind = [], config["model_type"]
    # llama.cpp does not scale the input of a head that is tied to the embedding.
    scale = config["d_model"] ** -0.5 if config.get("scale_decoder_outputs") else 1.0
    for sentence in SENTENCES:
        ids = llama.ids(sentence)
        told = ",".join(map(str, ids))
        if kind == "bert":
            want = kiln(binary, "embed", path, "--text", sentence)
            want, found = np.array(want["embeddings"]), llama.vector(ids)
        elif kind == "t5":
            written = [0, *ids[:5]]
            want = kiln(binary, "logits", path, "--ids", told, "--decoder-ids", ",".join(map(str, written)))
            want, found = np.array(want["logits"]), llama.logits(written, ids).ravel() * scale
        else:
            want, found = np.array(kiln(binary, "logits", path, "--ids", told)["logits"]), llama.logits(ids).ravel()
        gaps.append(apart(found, want))
    return max(gaps)


def tokens(folder, llama):
    """The number of texts, and the texts whose ids differ from those of the folder's tokenizer or SentencePiece."""
    file = folder / "tokenizer.json"
    if file.exists():
        own = Tokenizer.from_file(str(file))
        own.no_truncation(), own.no_padding()
        want = [(text, own.encode(text).ids) for text in TEXTS if "\0" not in text]
    else:
        (model,) = (path for path in FIXTURES.glob("*.model") if path.read_bytes() == (folder / "tokenizer.model").read_bytes())
        cases = json.loads(model.with_suffix(".cases.json").read_text())
        want = [(case["text"], case["ids"]) for case in cases]
    return len(want), [text for text, ids in want if llama.ids(text, file.exists()) != ids]


def main():
    print(f"gguf {importlib.metadata.version('gguf')}, llama-cpp-python {ll.__version__}")
    binary = sys.argv[1]
    silent = ll.llama_log_callback(lambda *_: None)
    ll.llama_log_set(silent, ctypes.c_void_p(0))
    for folder in map(Path, sys.argv[2:]):
        config = json.loads((folder / "config.json").read_text())
        kind = config["model_type"]
        with tempfile.TemporaryDirectory() as home:
            path = Path(home) / f"{folder.name}.gguf"
            kiln(binary, "export", folder, "--format", "gguf", "--out", path)
            tensors = compare(path, folder, config)
            llama = Llama(path, kind == "bert")
            texts, other = tokens(folder, llama)
            gap = outputs(binary, path, llama, config)
            print(f"| {folder.name} | {tensors} | {texts - len(other)} of {texts} | {gap:.1e} |")
            for text in other:
                print(f"  different ids: {text!r}")


if __name__ == "__main__":
    main()
