# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.15.0", "transformers==5.24.0", "sentence-transformers==6.2.0", "numpy==2.4.6", "tokenizers==0.23.3"]
# ///
"""Export models with Kiln and compare what transformers reads from the original and from the export.

    python tools/check_export.py KILN MODEL...

MODEL is a Hugging Face folder or a .gguf file. A folder is exported with `--format hf`, and also by way of a .gguf file where
GGUF can store the model. Compared for each folder:

- the tokenizer: class, ids of the texts in `crates/kiln-data/fixtures/tokenizers`, special tokens, added tokens, padding side,
  maximum length, a padded batch;
- the chat templates, and a conversation that they render;
- the generation settings;
- of a sentence encoder: the prompts, the maximum length, the similarity function and the embeddings.

By way of GGUF: ids, special tokens, chat template and end tokens, as far as GGUF has a place for them. A .gguf file is exported
and read.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from transformers import AutoTokenizer, GenerationConfig

FIXTURES = Path(__file__).resolve().parent.parent / "crates/kiln-data/fixtures/tokenizers"
TEXTS = [text for text in json.loads((FIXTURES / "texts.json").read_text()) if text]
CHAT = [{"role": "user", "content": "Hi <b>!"}, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "?"}]
ROLES = ["bos", "eos", "pad", "unk", "mask", "sep", "cls"]


def rendered(tokenizer, template=None):
    try:
        return tokenizer.apply_chat_template(CHAT, chat_template=template, tokenize=False, add_generation_prompt=True)
    except Exception as error:  # a template may refuse the conversation
        return f"{type(error).__name__}: {error}"


def tokenizer_facts(folder, strict):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    facts = {"ids": [tokenizer(text)["input_ids"] for text in TEXTS]}
    facts["plain ids"] = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
    facts["text"] = [tokenizer.decode(ids) for ids in facts["plain ids"]]
    facts |= {role: getattr(tokenizer, f"{role}_token_id") for role in ROLES}
    templates = tokenizer.chat_template
    facts["chat"] = rendered(tokenizer) if templates else None
    if not strict:
        return facts
    facts["templates"] = templates
    facts["class"] = type(tokenizer).__name__
    facts["added"] = {id: (t.content, t.special, t.lstrip, t.rstrip, t.normalized) for id, t in tokenizer.added_tokens_decoder.items()}
    facts["special"] = tokenizer.all_special_tokens
    facts["sides"] = tokenizer.padding_side, tokenizer.truncation_side
    facts["length"] = tokenizer.model_max_length
    if tokenizer.pad_token is not None:
        facts["batch"] = tokenizer(TEXTS[:4], padding=True, truncation=True, max_length=16)["input_ids"]
    return facts


def generation(folder):
    if not (Path(folder) / "generation_config.json").exists():
        return None
    config = GenerationConfig.from_pretrained(folder).to_dict()
    config.pop("transformers_version", None)
    return config


def encoder_facts(folder):
    if not (Path(folder) / "modules.json").exists():
        return None
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    facts = {"prompts": model.prompts, "default": model.default_prompt_name, "length": model.max_seq_length}
    facts["similarity"] = model.similarity_fn_name
    facts["embeddings"] = model.encode(TEXTS[:8] + ["word " * 400])
    return facts


def differences(name, found, expected):
    if found is None or expected is None:
        return [] if found is expected else [f"{name}: found {found}, expected {expected}"]
    wrong = []
    for key, want in expected.items():
        have = found.get(key)
        same = np.abs(have - want).max() < 1e-5 if isinstance(want, np.ndarray) else have == want
        if not same:
            wrong.append(f"{name}, {key}: found {str(have)[:300]}, expected {str(want)[:300]}")
    return wrong


def export(kiln, model, *arguments):
    done = subprocess.run([kiln, "export", model, *arguments], capture_output=True, text=True)
    said = [line for line in done.stderr.splitlines() if line]
    return done.returncode == 0, said


def check(kiln, model, home):
    out, packed, back = home / "hf", home / "model.gguf", home / "back"
    good, said = export(kiln, model, "--format", "hf", "--out", str(out))
    print(f"## {model}\n" + "\n".join(f"    {line}" for line in said))
    if not good:
        return ["the export failed"]
    if Path(model).is_file():
        tokenizer_facts(out, True)
        return [] if generation(out) else ["no generation settings"]
    wrong = differences("tokenizer", tokenizer_facts(out, True), tokenizer_facts(model, True))
    wrong += differences("generation", generation(out), generation(model))
    wrong += differences("encoder", encoder_facts(out), encoder_facts(model))
    good, said = export(kiln, model, "--format", "gguf", "--out", str(packed))
    if not good:
        print(f"    no GGUF file: {said[0]}")
        return wrong
    good, said = export(kiln, str(packed), "--format", "hf", "--out", str(back))
    if not good:
        return [*wrong, f"from GGUF: {said}"]
    return wrong + [f"from GGUF: {line}" for line in differences("tokenizer", tokenizer_facts(back, False), tokenizer_facts(model, False))]


def main():
    kiln, *models = sys.argv[1:]
    failed = 0
    for model in models:
        with tempfile.TemporaryDirectory() as home:
            wrong = check(str(Path(kiln).resolve()), model, Path(home))
        failed += bool(wrong)
        print("\n".join(f"  - {line}" for line in wrong) or "  equal")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
