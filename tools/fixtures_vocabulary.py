# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.15.0", "transformers==5.24.0", "tokenizers==0.23.3", "numpy==2.4.6"]
# ///
"""Write tiny models whose tokenizers have more tokens than the models have rows, with what the reference generates.

    python tools/fixtures_vocabulary.py --out crates/kiln/tests/fixtures/vocabulary

`added`: a Llama with byte-level BPE, to which a padding token, a special token and a plain token were added. `mask`: a BERT
with WordPiece whose mask token was added. `expected.json` has the greedy ids of the reference after each prompt. Control: a
token with a row changes the ids, and the reference fails on a token without one.
"""

import json
import shutil

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, BertConfig, BertForMaskedLM, LlamaConfig, LlamaForCausalLM
from transformers import PreTrainedTokenizerFast

import checking
from fixtures_hf import draw

TEXTS = ["Ann has a cat and the cat has a hat.", "Ben went home with the hat and the cat.", "Hello world, said the cat."] * 4
PROMPTS = ["Hello world", "The cat", "Ann"]
NEW_TOKENS = 8


def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=280, special_tokens=["<|end|>"], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def word_piece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer.train_from_iterator(TEXTS, trainers.WordPieceTrainer(vocab_size=60, special_tokens=special, show_progress=False))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def added(folder):
    tokenizer = byte_level()
    rows = tokenizer.get_vocab_size()
    tokenizer.add_special_tokens(["[PAD]", "<tool>"])
    tokenizer.add_tokens([AddedToken("zebra", normalized=False)])
    assert [tokenizer.token_to_id(token) for token in ("[PAD]", "<tool>", "zebra")] == [rows, rows + 1, rows + 2]
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|end|>", eos_token="<|end|>",
                            pad_token="[PAD]").save_pretrained(folder)
    config = LlamaConfig(vocab_size=rows, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
                         max_position_embeddings=128, bos_token_id=0, eos_token_id=0, pad_token_id=None)
    model = LlamaForCausalLM(config).eval()
    draw(model, 3)
    model.save_pretrained(folder)
    read, loaded = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    expected = {}
    for prompt in PROMPTS:
        ids = torch.tensor([read(prompt)["input_ids"]])
        new = loaded.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW_TOKENS, do_sample=False)
        expected[prompt] = new[0, ids.shape[1]:].tolist()
    assert len({tuple(ids) for ids in expected.values()}) == len(PROMPTS), "the prompts make no difference"
    for text, token in (("a <tool>", rows + 1), ("a zebra", rows + 2)):
        ids = read(text)["input_ids"]
        assert ids[-1] == token, ids
        try:
            loaded(torch.tensor([ids]))
            raise SystemExit(f"the reference computes {text}")
        except IndexError:
            pass
    return {"rows": rows, "greedy": expected}


def mask(folder):
    tokenizer = word_piece()
    rows = tokenizer.get_vocab_size()
    tokenizer.add_special_tokens(["[MASK]"])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
                            pad_token="[PAD]", mask_token="[MASK]").save_pretrained(folder)
    config = BertConfig(vocab_size=rows, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
                        max_position_embeddings=64)
    model = BertForMaskedLM(config).eval()
    draw(model, 4)
    model.save_pretrained(folder)
    assert tokenizer.token_to_id("[MASK]") == rows
    return {"rows": rows}


def main():
    out = checking.parsed(checking.options(__doc__)).out
    transformers.logging.set_verbosity_error()
    expected = {name: write(fresh(out / name)) for name, write in (("added", added), ("mask", mask))}
    (out / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
