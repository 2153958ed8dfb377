# /// script
# requires-python = ">=3.11"
# dependencies = ["tokenizers==0.23.3", "sentencepiece==0.2.3", "protobuf==7.36.2", "transformers==5.24.0"]
# ///
"""Write tokenizer folders in every layout, with the ids and texts that `AutoTokenizer` gives for them.

    python tools/fixtures_tokenizer_files.py --out crates/kiln-data/fixtures/tokenizer_files

Each kind (byte-level BPE, WordPiece, Unigram, SentencePiece BPE) is one JSON file: `files` by key (text, or base64 of
bytes), `results` by key, and `cases` that name both. The files of a case are those of one folder. A folder that the
reference does not read has no result and is left out.
"""

import argparse
import base64
import copy
import hashlib
import io
import json
import os
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import sentencepiece
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer
from transformers.utils import logging

logging.set_verbosity_error()

CORPUS = [
    "Hello world, hello there; the user says hello and the world says hello.",
    "The quick brown fox jumps over the lazy dog. It wasn't the dog's day, they're told: 12,345.67 and 2024!",
    "Das Mädchen läuft über die Straße. É déjà là. naïve façade. a b c d e f g",
    "system user assistant tool tools and or if then else end begin\n\n猫 東京",
] * 4

TEXTS = [
    "", " ", "Hello É world", "<|im_start|>user\nHello<|im_end|>\n", " leading  two  ", "a<tool>b <tool> c", "<s>Hello</s> x",
    "[CLS] hi [MASK] x [SEP]", "don't stop . Is n't it ? yes , he 's", "123 45,6", "naïve café ﬁn ½", "猫 ▁x 東京", "<extra_id_0> and<extra_id_1> <mask> <pad>",
    "HELLO\tWorld\n\n  end", "x<|endoftext|> y <unk>[UNK] z", "<|user|>Hello world<|endoftext|>", "they're told<END> <end>",
]


def added(content, **options):
    default = {"lstrip": False, "rstrip": False, "normalized": False, "single_word": False, "special": True}
    return {"content": content, **default, **options}


def to_json(tokenizer):
    return json.loads(tokenizer.to_str())


def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return to_json(tokenizer)


def wordpiece(lowercase):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=220, special_tokens=special, show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return to_json(tokenizer)


def sentencepiece_model(kind, **options):
    model = io.BytesIO()
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
        # A small normalization table: the ligature fi, and 1/2.
        rules.write("FB01\t66 69\nBD\t31 2F 32\n")
        rules.flush()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(line for text in CORPUS for line in text.splitlines() if line), model_writer=model, model_type=kind,
            normalization_rule_tsv=rules.name, character_coverage=0.99, minloglevel=2, num_threads=1, hard_vocab_limit=False, **options,
        )
    return model.getvalue()


def unigram_json(model):
    """A `tokenizer.json` of a Unigram model as older converters wrote it, with a `Metaspace` pre-tokenizer."""
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    pieces = [(processor.id_to_piece(i), processor.get_score(i)) for i in range(processor.get_piece_size())]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=processor.unk_id(), byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    tokenizer.add_special_tokens([processor.id_to_piece(i) for i in range(processor.get_piece_size()) if processor.is_control(i) or processor.is_unknown(i)])
    return to_json(tokenizer)


def spm_bpe_json(model):
    """A `tokenizer.json` of a BPE model as older converters wrote it, with `Prepend` and `Replace` normalizers."""
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    vocab = {processor.id_to_piece(i): i for i in range(processor.get_piece_size())}
    merges = []
    for piece, i in vocab.items():
        if not processor.is_byte(i):
            merges += [((processor.get_score(i), -i), piece[:at], piece[at:]) for at in range(1, len(piece)) if piece[:at] in vocab and piece[at:] in vocab]
    merges = [(left, right) for _, left, right in sorted(merges, reverse=True)]
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", vocab["<s>"])]
    )
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    return to_json(tokenizer)


def with_added(tokenizer_json, *tokens):
    """The `tokenizer.json` with more added tokens, at the next ids."""
    tokenizer = Tokenizer.from_str(json.dumps(tokenizer_json))
    tokenizer.add_tokens([AddedToken(**token) for token in tokens])
    return to_json(tokenizer)


def decoder_of(*pairs):
    return {str(i): token for i, token in pairs}


IM = ["<|im_start|>", "<|im_end|>"]


def beside(size):
    """Files beside the vocabulary, by name: each is (tokenizer_config additions, other files)."""
    chat = decoder_of(*[(size + i, added(name)) for i, name in enumerate(IM)])
    tool = added("<tool>", special=False)
    yield "plain", {}, {}
    yield "added_tokens.json", {}, {"added_tokens.json": {"<|im_start|>": size, "<|im_end|>": size + 1, "<tool>": size + 2}}
    yield "added_tokens_decoder", {"added_tokens_decoder": {**chat, str(size + 2): tool}}, {}
    yield "eos in added_tokens.json", {"eos_token": "<|im_end|>", "pad_token": "<pad>"}, {"added_tokens.json": {"<|im_end|>": size, "<pad>": size + 1}}
    yield "unordered added_tokens.json", {}, {"added_tokens.json": {"<tool>": size + 1, "<|im_end|>": size}}
    yield "special_tokens_map.json", {"eos_token": "<end>"}, {"special_tokens_map.json": {"eos_token": "<END>", "pad_token": added("<pad>", lstrip=True), "additional_special_tokens": IM}}
    yield "map beside a decoder", {"added_tokens_decoder": chat, "pad_token": "<pad>"}, {"special_tokens_map.json": {"pad_token": "<tool>", "eos_token": "<END>"}, "added_tokens.json": {"<END>": size + 5}}
    yield "additional_special_tokens", {"additional_special_tokens": IM}, {}
    yield "extra_special_tokens", {"extra_special_tokens": {"image_token": "<tool>"}, "audio_token": "<end>"}, {}
    yield "named and stripping", {"mask_token": {"__type": "AddedToken", **added("<mask>", lstrip=True)}, "pad_token": "<pad>"}, {}
    yield "hole in the decoder", {"added_tokens_decoder": decoder_of((size, added("<|im_start|>")), (size + 4, added("<|im_end|>")))}, {}
    yield "normalized", {"added_tokens_decoder": decoder_of((size, added("<END>", special=False, normalized=True)), (size + 1, added("<tool>", rstrip=True, single_word=True)))}, {}
    yield "add bos and eos", {"add_bos_token": True, "add_eos_token": True}, {}
    yield "add eos only", {"add_bos_token": False, "add_eos_token": True, "eos_token": "<|im_end|>"}, {"added_tokens.json": {"<|im_end|>": size}}


def grid(layouts, classes, size, defaults):
    """Every layout with every class and every set of files beside it."""
    for layout, files in layouts.items():
        for name, config, model_type in classes:
            for kind, more_config, more_files in beside(size):
                folder = dict(files)
                tokenizer_config = {**defaults, **config, **more_config}
                if tokenizer_config:
                    folder["tokenizer_config.json"] = tokenizer_config
                if model_type:
                    folder["config.json"] = {"model_type": model_type}
                yield f"{layout}, {name}, {kind}", {**folder, **more_files}


def byte_level_cases():
    file = byte_level()
    model = file["model"]
    vocab = {token: i for token, i in model["vocab"].items()}
    merges = "#version: 0.2\n" + "\n".join(" ".join(pair) if isinstance(pair, list) else pair for pair in model["merges"]) + "\n"
    size = len(vocab)
    pair = {"vocab.json": vocab, "merges.txt": merges}
    chat = with_added(file, *[added(name) for name in IM])
    trimmed = copy.deepcopy(file)
    trimmed["post_processor"] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    other = {**vocab, "Ġzebra": size}
    layouts = {"tokenizer.json": {"tokenizer.json": trimmed}, "vocab and merges": pair, "both": {"tokenizer.json": file, "vocab.json": other, "merges.txt": merges}}
    classes = [
        ("GPT2Tokenizer", {"tokenizer_class": "GPT2Tokenizer"}, None),
        ("Qwen2Tokenizer", {"tokenizer_class": "Qwen2Tokenizer", "bos_token": None}, None),
        ("no class", {}, None),
    ]
    yield from grid(layouts, classes, size, {})
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>", "cls_token": "<s>", "sep_token": "</s>"}
    for layout, files in layouts.items():
        for prefix in [False, True]:
            yield f"{layout}, RobertaTokenizer, add_prefix_space {prefix}", {**files, "tokenizer_config.json": {**special, "tokenizer_class": "RobertaTokenizer", "add_prefix_space": prefix}}
            yield f"{layout}, GPT2TokenizerFast, add_prefix_space {prefix}", {**files, "tokenizer_config.json": {"tokenizer_class": "GPT2TokenizerFast", "add_prefix_space": prefix}}
            yield f"{layout}, PreTrainedTokenizerFast, add_prefix_space {prefix}", {**files, "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "add_prefix_space": prefix}}
        for model_type in ["gpt2", "qwen2", "roberta", "llama", "mistral", "phi3", "gpt_neox", "phi", "qwen3_5"]:
            for class_name in [None, "GPT2Tokenizer", "PreTrainedTokenizerFast", "LlamaTokenizer", "MadeUpTokenizer"]:
                config = {"tokenizer_config.json": {"tokenizer_class": class_name}} if class_name else {}
                yield f"{layout}, {model_type}, {class_name}", {**files, **config, "config.json": {"model_type": model_type}}
    yield "added in tokenizer.json, other attributes in the decoder", {"tokenizer.json": chat, "tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer", "added_tokens_decoder": decoder_of((size, added(IM[0], rstrip=True)), (size + 1, added(IM[1], special=False)))}}
    yield "the same for PreTrainedTokenizerFast", {"tokenizer.json": chat, "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "added_tokens_decoder": decoder_of((size, added(IM[0], rstrip=True)), (size + 1, added(IM[1], special=False)))}}
    yield "class in config.json", {"tokenizer.json": file, "config.json": {"model_type": "llama", "tokenizer_class": "GPT2TokenizerFast"}, "tokenizer_config.json": {"add_prefix_space": True}}


def wordpiece_cases():
    cased, uncased = wordpiece(False), wordpiece(True)
    layouts = {}
    for name, file in [("cased", cased), ("uncased", uncased)]:
        lines = [token for token, _ in sorted(file["model"]["vocab"].items(), key=lambda item: item[1])]
        layouts[f"{name} tokenizer.json"] = {"tokenizer.json": file}
        layouts[f"{name} vocab.txt"] = {"vocab.txt": "\n".join(lines) + "\n"}
    layouts["both"] = {**layouts["cased tokenizer.json"], **layouts["uncased vocab.txt"]}
    size = len(cased["model"]["vocab"])
    short = {name: layouts[name] for name in ["cased tokenizer.json", "cased vocab.txt"]}
    yield from grid(short, [("BertTokenizer", {"tokenizer_class": "BertTokenizer"}, None)], size, {})
    flags = [{}, {"do_lower_case": False}, {"do_lower_case": True}, {"do_lower_case": False, "strip_accents": True}, {"do_lower_case": True, "strip_accents": False}, {"tokenize_chinese_chars": False}]
    for layout, files in layouts.items():
        for flag in flags:
            yield f"{layout}, BertTokenizer, {flag}", {**files, "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", **flag}}
            yield f"{layout}, no class, {flag}", {**files, "tokenizer_config.json": flag}
        yield f"{layout}, DistilBertTokenizer", {**files, "tokenizer_config.json": {"tokenizer_class": "DistilBertTokenizer", "do_lower_case": False}}
        yield f"{layout}, ElectraTokenizerFast", {**files, "tokenizer_config.json": {"tokenizer_class": "ElectraTokenizerFast"}}
        yield f"{layout}, MPNetTokenizer", {**files, "tokenizer_config.json": {"tokenizer_class": "MPNetTokenizer", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]", "pad_token": "[PAD]", "bos_token": "[CLS]", "eos_token": "[SEP]"}}
        yield f"{layout}, bert", {**files, "config.json": {"model_type": "bert"}}
        yield f"{layout}, other names", {**files, "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "unk_token": "hello", "mask_token": "<mask>", "sep_token": "[PAD]"}}
        yield f"{layout}, no clean-up", {**files, "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "clean_up_tokenization_spaces": False}}
        yield f"{layout}, clean-up", {**files, "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": True}}


def unigram_cases():
    t5 = sentencepiece_model("unigram", vocab_size=130, pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    xlmr = sentencepiece_model("unigram", vocab_size=130, bos_id=1, eos_id=2, unk_id=0, pad_id=-1)
    user = sentencepiece_model("unigram", vocab_size=130, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, user_defined_symbols=["<tool>"], control_symbols=["<|im_start|>"])
    size = sentencepiece.SentencePieceProcessor(model_proto=t5).get_piece_size()
    json_t5 = unigram_json(t5)
    sentinels = with_added(json_t5, *[added(f"<extra_id_{i}>") for i in range(3)])
    layouts = {"spiece.model": {"spiece.model": t5}, "tokenizer.json": {"tokenizer.json": json_t5}, "both": {"spiece.model": user, "tokenizer.json": sentinels}}
    yield from grid(layouts, [("T5Tokenizer", {"tokenizer_class": "T5Tokenizer", "extra_ids": 3}, None)], size, {})
    for layout, files in {**layouts, "user-defined": {"spiece.model": user}}.items():
        for name, flag in [("default", {}), ("extra_ids 0", {"extra_ids": 0}), ("clean-up", {"extra_ids": 2, "clean_up_tokenization_spaces": True}),
                           ("listed", {"extra_ids": 2, "additional_special_tokens": ["<extra_id_0>", "<extra_id_1>"]}), ("listed, more", {"extra_ids": 4, "additional_special_tokens": ["<extra_id_0>", "<|im_end|>"]})]:
            yield f"{layout}, T5Tokenizer, {name}", {**files, "tokenizer_config.json": {"tokenizer_class": "T5Tokenizer", **flag}}
        yield f"{layout}, t5", {**files, "config.json": {"model_type": "t5"}}
        yield f"{layout}, mt5", {**files, "config.json": {"model_type": "mt5"}, "special_tokens_map.json": {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}}
    yield "tokenizer.json, PreTrainedTokenizerFast, clean-up", {"tokenizer.json": json_t5, "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": True}}
    json_xlmr = unigram_json(xlmr)
    for layout, files in {"sentencepiece.bpe.model": {"sentencepiece.bpe.model": xlmr}, "tokenizer.json of XLM-R": {"tokenizer.json": json_xlmr}}.items():
        for name, flag in [("default", {}), ("no prefix", {"add_prefix_space": False}), ("mask", {"mask_token": added("<mask>", lstrip=True)}), ("clean-up", {"clean_up_tokenization_spaces": True})]:
            yield f"{layout}, XLMRobertaTokenizer, {name}", {**files, "tokenizer_config.json": {"tokenizer_class": "XLMRobertaTokenizer", **flag}}
        yield f"{layout}, xlm-roberta", {**files, "config.json": {"model_type": "xlm-roberta"}}
        yield f"{layout}, camembert", {**files, "config.json": {"model_type": "camembert"}}
        yield f"{layout}, no class", {**files}
    albert = {"spiece.model": sentencepiece_model("unigram", vocab_size=130, pad_id=0, unk_id=1, bos_id=-1, eos_id=-1, control_symbols=["[CLS]", "[SEP]"], user_defined_symbols=["[MASK]"])}
    for name, flag in [("default", {}), ("cased", {"do_lower_case": False, "keep_accents": True})]:
        yield f"spiece.model, AlbertTokenizer, {name}", {**albert, "tokenizer_config.json": {"tokenizer_class": "AlbertTokenizer", **flag}}
    for model, kind in [(t5, "t5"), (user, "user-defined")]:
        yield f"tokenizer.model of {kind}, no class", {"tokenizer.model": model}


def spm_bpe_files():
    """Folders of one BPE model, and other models."""
    llama = sentencepiece_model("bpe", vocab_size=430, byte_fallback=True, remove_extra_whitespaces=False)
    user = sentencepiece_model("bpe", vocab_size=430, byte_fallback=True, add_dummy_prefix=False, user_defined_symbols=["<tool>", "  "], control_symbols=["<|im_start|>"])
    gemma = sentencepiece_model("bpe", vocab_size=430, byte_fallback=True, add_dummy_prefix=False, remove_extra_whitespaces=False, pad_id=0, eos_id=1, bos_id=2, unk_id=3, pad_piece="<pad>", eos_piece="<eos>", bos_piece="<bos>")
    size = sentencepiece.SentencePieceProcessor(model_proto=llama).get_piece_size()
    file = spm_bpe_json(llama)
    return {"tokenizer.model": {"tokenizer.model": llama}, "tokenizer.json": {"tokenizer.json": file}}, user, gemma, size


def spm_bpe_cases():
    layouts, _, _, size = spm_bpe_files()
    yield from grid(layouts, [("LlamaTokenizer", {"tokenizer_class": "LlamaTokenizer", "legacy": False}, None), ("no class", {}, None)], size, {})


def spm_bpe_class_cases():
    layouts, user, gemma, size = spm_bpe_files()
    llama, file = layouts["tokenizer.model"]["tokenizer.model"], layouts["tokenizer.json"]["tokenizer.json"]
    flags = [("default", {}), ("legacy", {"legacy": True}), ("no prefix", {"add_prefix_space": False}), ("no bos", {"add_bos_token": False}), ("bos", {"add_bos_token": True}), ("eos", {"add_bos_token": True, "add_eos_token": True})]
    for layout, files in {**layouts, "both": {"tokenizer.json": file, "tokenizer.model": user}, "user-defined": {"tokenizer.model": user}}.items():
        for name, flag in flags:
            yield f"{layout}, LlamaTokenizerFast, {name}", {**files, "tokenizer_config.json": {"tokenizer_class": "LlamaTokenizerFast", **flag}}
            yield f"{layout}, PreTrainedTokenizerFast, {name}", {**files, "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", **flag}}
        yield f"{layout}, CodeLlamaTokenizer", {**files, "tokenizer_config.json": {"tokenizer_class": "CodeLlamaTokenizer"}}
        for model_type in ["llama", "mistral", "phi3"]:
            yield f"{layout}, {model_type}, LlamaTokenizer", {**files, "tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True}, "config.json": {"model_type": model_type}}
            yield f"{layout}, {model_type}, no class", {**files, "config.json": {"model_type": model_type}}
    yield "renamed placeholders", {"tokenizer.model": llama, "config.json": {"model_type": "phi3"}, "tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "added_tokens_decoder": decoder_of((1, added("<s>")), (5, added("<|im_start|>")), (size, added("<|im_end|>", rstrip=True)))}}
    for layout, files in {"tokenizer.model of Gemma": {"tokenizer.model": gemma}}.items():
        for name, flag in [("default", {}), ("bos", {"add_bos_token": True})]:
            yield f"{layout}, GemmaTokenizer, {name}", {**files, "tokenizer_config.json": {"tokenizer_class": "GemmaTokenizer", **flag}}


def result(tokenizer):
    """Ids with and without added special tokens, and their texts."""
    rows = []
    for text in TEXTS:
        ids, plain = tokenizer(text)["input_ids"], tokenizer(text, add_special_tokens=False)["input_ids"]
        rows.append([ids, plain if plain != ids else 0, tokenizer.decode(ids, skip_special_tokens=True)])
    return rows


class Store:
    """Values by a short key of their contents."""

    def __init__(self):
        self.values = {}

    def put(self, value):
        key = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]
        self.values[key] = value
        return key


def write_folder(folder, files):
    for name, contents in files.items():
        if isinstance(contents, bytes):
            (folder / name).write_bytes(contents)
        else:
            (folder / name).write_text(contents if isinstance(contents, str) else json.dumps(contents))


def fixture(cases, report):
    files, results, rows = Store(), Store(), []
    for name, contents in cases:
        with tempfile.TemporaryDirectory() as folder:
            write_folder(Path(folder), contents)
            try:
                tokenizer = AutoTokenizer.from_pretrained(folder)
                if len(tokenizer) < 60:
                    report(f"read by the reference without its vocabulary: {name}")
                    continue
                outcome = result(tokenizer)
            except BaseException as error:  # the reference's errors are of any kind, panics of its library included
                report(f"not read by the reference: {name}: {type(error).__name__}: {str(error)[:90]!r}")
                continue
        stored = {}
        for file, data in contents.items():
            stored[file] = files.put({"base64": base64.b64encode(data).decode()} if isinstance(data, bytes) else data)
        roles = {role: getattr(tokenizer, f"{role}_token_id") for role in ["bos", "eos", "pad", "unk", "sep", "cls", "mask"]}
        rows.append({"name": name, "class": type(tokenizer).__name__, "files": stored, "size": len(tokenizer), "roles": {k: v for k, v in roles.items() if v is not None}, "result": results.put(outcome)})
    return {"texts": TEXTS, "files": files.values, "results": results.values, "cases": rows}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, cases in {"byte_level": byte_level_cases, "wordpiece": wordpiece_cases, "unigram": unigram_cases, "spm_bpe": spm_bpe_cases, "spm_bpe_classes": spm_bpe_class_cases}.items():
        written = fixture(cases(), print)
        text = json.dumps(written, ensure_ascii=False, separators=(",", ":"))
        (out / f"{name}.json").write_text(text + "\n")
        print(f"{name}: {len(written['cases'])} cases, {len(written['results'])} results, {len(text) // 1024} KiB")


if __name__ == "__main__":
    main()
