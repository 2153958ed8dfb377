# /// script
# requires-python = ">=3.11"
# dependencies = ["sentence-transformers==6.2.0", "torch==2.15.0", "transformers==5.24.0", "tokenizers==0.23.2",
#                 "safetensors==0.8.0"]
# ///
"""Write sentence encoders with every chain of modules that sentence-transformers commonly writes, and their vectors.

    python tools/fixtures_sentence.py --out crates/kiln-infer/tests/fixtures/sentence

`base` is a BERT with random weights and a cased WordPiece tokenizer. A case is a folder of the files that differ from the
base: a test lays it over a copy of the base. `expected.safetensors` has the vectors `CASE` of the texts in `texts.json`,
`CASE@NAME` with the prompt NAME, `CASE@` with an explicit prompt (`PROMPT`), and `CASE.similarity`, of each pair.
Everything is computed in f64 and stored as f32.
"""

import json
import shutil
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

import checking

TEXTS = ["The harbor was quiet until the Ferry came back with oranges and gulls argued over the nets", "a cat",
         "Quiet gulls came over", "The cat and the ferry and the cat and the gulls and the harbor"]
PROMPT = "find the "
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ("a the The harbor was quiet Quiet until ferry Ferry came back with oranges and gulls argued over nets cat find "
         "query passage : ##s ##t").split()
# Files of the base; a case repeats one only if it differs.
BASE_FILES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]


def write_base(folder):
    vocabulary = {token: i for i, token in enumerate(SPECIAL + WORDS)}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    # A shorter length than any of the cases states: sentence-transformers does not read it.
    tokenizer.enable_truncation(5)
    roles = dict(pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=12, **roles).save_pretrained(folder)
    torch.manual_seed(3)
    model = BertModel(BertConfig(vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                                 intermediate_size=24, max_position_embeddings=20, initializer_range=0.6))
    model.save_pretrained(folder)


def edit_json(name, **changes):
    """Change keys of a JSON file; `None` leaves a key out."""
    def edit(folder):
        file = folder / name
        contents = (json.loads(file.read_text()) if file.exists() else {}) | changes
        file.write_text(json.dumps({k: v for k, v in contents.items() if v is not None}, indent=1) + "\n")
    return edit


def older_files(*flags):
    """The layout of older versions: class names, flags of the pooling modes."""
    def edit(folder):
        file = folder / "modules.json"
        modules = json.loads(file.read_text())
        for module in modules:
            module["type"] = "sentence_transformers.models." + module["type"].rsplit(".", 1)[1]
        file.write_text(json.dumps(modules, indent=1) + "\n")
        pooling = {"word_embedding_dimension": 16} | {f"pooling_mode_{flag}": True for flag in flags}
        (folder / "1_Pooling/config.json").write_text(json.dumps(pooling) + "\n")
    return edit


def without_truncation(folder):
    file = folder / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"truncation": None}, ensure_ascii=False))


def as_pickle(folder):
    torch.save(load_file(folder / "2_Dense/model.safetensors"), folder / "2_Dense/pytorch_model.bin")
    (folder / "2_Dense/model.safetensors").unlink()


def length(tokens):
    return edit_json("sentence_bert_config.json", max_seq_length=tokens, do_lower_case=False)


ALL = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
PROMPTS = {"query": "query : ", "passage": "passage : "}
# name: modules after the transformer, options of SentenceTransformer, edits of the folder, prompts to encode with.
CASES = {
    "mean": (lambda: [Pooling(16), Normalize()], {}, [length(8), older_files("mean_tokens")], []),
    "mean-untruncated": (lambda: [Pooling(16), Normalize()], {}, [length(16), without_truncation], []),
    "tokenizer-length": (lambda: [Pooling(16, "cls")], {}, [], []),
    "all-modes": (lambda: [Pooling(16, ALL)], dict(similarity_fn_name="dot"), [], []),
    "older-modes": (lambda: [Pooling(16, ALL)], dict(similarity_fn_name="manhattan"),
                    [older_files("mean_sqrt_len_tokens", "cls_token", "max_tokens")], []),
    "dense": (lambda: [Pooling(16), Dense(16, 7), Normalize()], {}, [], []),
    "dense-twice": (lambda: [Pooling(16, ("cls", "max")), Dense(32, 9, bias=False, activation_function=torch.nn.Identity()),
                             Dense(9, 5, activation_function=torch.nn.GELU())], dict(similarity_fn_name="euclidean"),
                    [as_pickle], []),
    "residual": (lambda: [Pooling(16), Dense(16, 16, use_residual=True), Normalize(), Dense(16, 3, use_residual=True)], {},
                 [], []),
    "prompts": (lambda: [Pooling(16, ("mean", "weightedmean", "max", "cls", "lasttoken"), include_prompt=False)],
                dict(prompts=PROMPTS, default_prompt_name="passage"), [length(14)], ["query", ""]),
    "prompts-pooled": (lambda: [Pooling(16)], dict(prompts=PROMPTS), [], ["passage", ""]),
    "lowercase": (lambda: [Pooling(16)], {},
                  [edit_json("sentence_bert_config.json", max_seq_length=18, do_lower_case=True)], []),
}


def vectors(model, **options):
    return model.encode(TEXTS, convert_to_tensor=True, show_progress_bar=False, **options)


def case(name, base, out):
    modules, options, edits, prompts = CASES[name]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / name
        torch.manual_seed(5)
        SentenceTransformer(modules=[Transformer(str(base)), *modules()], **options).save(str(folder))
        for path in base.iterdir():
            shutil.copy(path, folder / path.name)
        for edit in edits:
            edit(folder)
        model = SentenceTransformer(str(folder), device="cpu").double()
        plain = vectors(model)
        tensors = {name: plain, f"{name}.similarity": model.similarity(plain, plain)}
        for prompt in prompts:
            options = dict(prompt_name=prompt) if prompt else dict(prompt=PROMPT)
            tensors[f"{name}@{prompt}"] = vectors(model, **options)
            assert (tensors[f"{name}@{prompt}"] - plain).abs().max() > 1e-3, f"{name}: the prompt changes nothing"
        for path in sorted(folder.rglob("*")):
            relative = path.relative_to(folder)
            same = str(relative) in BASE_FILES and path.read_bytes() == (base / relative).read_bytes()
            if path.is_file() and path.name != "README.md" and not same:
                (out / name / relative).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, out / name / relative)
    print(f"{name}: {tuple(plain.shape)}, {model.max_seq_length} tokens")
    return tensors


def main():
    parser = checking.options(__doc__)
    asked = checking.parsed(parser)
    shutil.rmtree(asked.out, ignore_errors=True)
    base = asked.out / "base"
    base.mkdir(parents=True)
    write_base(base)
    tensors = {}
    for name in CASES:
        tensors |= case(name, base, asked.out)
    save_file({name: tensor.float().contiguous() for name, tensor in tensors.items()}, asked.out / "expected.safetensors")
    (asked.out / "texts.json").write_text(json.dumps(TEXTS, indent=1) + "\n")


if __name__ == "__main__":
    main()
