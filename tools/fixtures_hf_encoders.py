# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.15.0", "transformers==5.23.0", "numpy==2.4.6", "safetensors==0.8.0"]
# ///
"""Write tiny encoders and encoder-decoders of the reference code with their outputs, and check that it reads the models
that Kiln saved.

    python tools/fixtures_hf_encoders.py --out crates/kiln-laws/fixtures/hf-encoders
    python tools/fixtures_hf_encoders.py --sentences models/all-minilm-l6-v2 --out crates/kiln-laws/fixtures
    python tools/fixtures_hf_encoders.py --check FOLDER --fixtures crates/kiln-laws/fixtures/hf-encoders --record FILE

A case is a Hugging Face folder with an additional file `expected.safetensors`: the outputs for three texts of unequal
length, padded on the right and on the left; hidden states; gradients of sum(outputs * cotangent); 64 greedy tokens if the
model generates. `control.json` is the configuration with options changed, and `control` its outputs. A case is refused if
the two differ too little. Everything is computed in f32, with additive masks.
"""

import json
from pathlib import Path

import numpy as np
import safetensors
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoConfig

import checking
from fixtures import agrees, differs
from fixtures_hf import draw

LENGTHS, WIDTH, WRITTEN, GREEDY = (11, 7, 4), 11, 5, 64

BERT = dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, layer_norm_eps=1e-2)
MODERN = dict(max_position_embeddings=24, norm_eps=1e-2, pad_token_id=0, eos_token_id=None, bos_token_id=None,
              cls_token_id=None, sep_token_id=None)

# name: class, model_type, options, options changed in the control.
CASES = {
    "bert-masked": ("BertForMaskedLM", "bert", BERT | dict(
        vocab_size=37, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20,
        max_position_embeddings=24, type_vocab_size=3), dict(hidden_act="relu")),
    "bert-untied": ("BertForPreTraining", "bert", BERT | dict(
        vocab_size=41, hidden_size=20, num_hidden_layers=3, num_attention_heads=4, intermediate_size=18,
        max_position_embeddings=17, hidden_act="gelu_new", tie_word_embeddings=False), dict(layer_norm_eps=1.0)),
    "bert-bare": ("BertModel", "bert", BERT | dict(
        vocab_size=29, hidden_size=10, num_hidden_layers=1, num_attention_heads=2, intermediate_size=14,
        max_position_embeddings=13), dict(layer_norm_eps=1.0)),
    "bert-classes": ("BertForSequenceClassification", "bert", BERT | dict(
        vocab_size=31, hidden_size=14, num_hidden_layers=2, num_attention_heads=7, intermediate_size=9, num_labels=5,
        max_position_embeddings=15, hidden_act="silu"), dict(hidden_act="gelu")),
    "roberta-masked": ("RobertaForMaskedLM", "roberta", BERT | dict(
        vocab_size=37, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20,
        max_position_embeddings=20, type_vocab_size=1, pad_token_id=1), dict(pad_token_id=4)),
    "roberta-classes": ("RobertaForSequenceClassification", "roberta", BERT | dict(
        vocab_size=43, hidden_size=18, num_hidden_layers=2, num_attention_heads=2, intermediate_size=11, num_labels=3,
        max_position_embeddings=15, type_vocab_size=2, pad_token_id=3, hidden_act="relu"), dict(hidden_act="gelu")),
    "distilbert-masked": ("DistilBertForMaskedLM", "distilbert", dict(
        vocab_size=37, dim=12, n_layers=2, n_heads=3, hidden_dim=20, max_position_embeddings=24, dropout=0.0,
        attention_dropout=0.0), dict(activation="relu")),
    "distilbert-untied": ("DistilBertForMaskedLM", "distilbert", dict(
        vocab_size=31, dim=10, n_layers=1, n_heads=2, hidden_dim=14, max_position_embeddings=13, dropout=0.0,
        attention_dropout=0.0, sinusoidal_pos_embds=True, tie_word_embeddings=False), dict(n_heads=5)),
    "distilbert-classes": ("DistilBertForSequenceClassification", "distilbert", dict(
        vocab_size=33, dim=14, n_layers=1, n_heads=2, hidden_dim=9, max_position_embeddings=15, dropout=0.0,
        attention_dropout=0.0, seq_classif_dropout=0.0, num_labels=5), dict(activation="relu")),
    "electra-masked": ("ElectraForMaskedLM", "electra", BERT | dict(
        vocab_size=37, embedding_size=8, hidden_size=12, num_hidden_layers=2, num_attention_heads=3,
        intermediate_size=20, max_position_embeddings=24, type_vocab_size=3), dict(hidden_act="relu")),
    "electra-untied": ("ElectraForMaskedLM", "electra", BERT | dict(
        vocab_size=29, embedding_size=14, hidden_size=10, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=18, max_position_embeddings=17, hidden_act="silu", tie_word_embeddings=False),
        dict(layer_norm_eps=1.0)),
    "electra-bare": ("ElectraModel", "electra", BERT | dict(
        vocab_size=33, embedding_size=14, hidden_size=14, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=12, max_position_embeddings=15), dict(layer_norm_eps=1.0)),
    "electra-classes": ("ElectraForSequenceClassification", "electra", BERT | dict(
        vocab_size=31, embedding_size=6, hidden_size=12, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=10, max_position_embeddings=15, num_labels=3, hidden_act="relu"), dict(hidden_act="gelu")),
    "modernbert-masked": ("ModernBertForMaskedLM", "modernbert", MODERN | dict(
        vocab_size=37, hidden_size=12, num_hidden_layers=3, num_attention_heads=3, intermediate_size=10,
        local_attention=4, rope_parameters={"full_attention": {"rope_type": "default", "rope_theta": 400.0},
                                            "sliding_attention": {"rope_type": "default", "rope_theta": 20.0}}),
        dict(local_attention=8)),
    "modernbert-biases": ("ModernBertForMaskedLM", "modernbert", MODERN | dict(
        vocab_size=29, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=14,
        layer_types=["sliding_attention", "full_attention"], local_attention=6, hidden_activation="silu",
        classifier_activation="gelu", norm_bias=True, attention_bias=True, mlp_bias=True, classifier_bias=True,
        decoder_bias=False, tie_word_embeddings=False), dict(classifier_activation="relu")),
    "modernbert-bare": ("ModernBertModel", "modernbert", MODERN | dict(
        vocab_size=31, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12,
        local_attention=2), dict(rope_parameters={"full_attention": {"rope_type": "default", "rope_theta": 10.0}})),
    "modernbert-classes": ("ModernBertForSequenceClassification", "modernbert", MODERN | dict(
        vocab_size=33, hidden_size=12, num_hidden_layers=2, num_attention_heads=2, intermediate_size=8,
        local_attention=4, classifier_pooling="mean", num_labels=4), dict(classifier_activation="relu")),
    "t5-tied": ("T5ForConditionalGeneration", "t5", dict(
        vocab_size=37, d_model=12, d_kv=5, d_ff=20, num_layers=2, num_heads=3, relative_attention_num_buckets=8,
        relative_attention_max_distance=12, dropout_rate=0.0, layer_norm_epsilon=1e-3),
        dict(relative_attention_max_distance=40)),
    "t5-gated": ("T5ForConditionalGeneration", "t5", dict(
        vocab_size=41, d_model=10, d_kv=4, d_ff=14, num_layers=3, num_decoder_layers=1, num_heads=2, dropout_rate=0.0,
        relative_attention_num_buckets=32, feed_forward_proj="gated-gelu", tie_word_embeddings=False),
        dict(feed_forward_proj="gated-silu", dense_act_fn="silu")),
    "mt5-untied": ("MT5ForConditionalGeneration", "mt5", dict(
        vocab_size=43, d_model=14, d_kv=3, d_ff=18, num_layers=3, num_decoder_layers=2, num_heads=4, dropout_rate=0.0,
        relative_attention_num_buckets=6, relative_attention_max_distance=9, tie_word_embeddings=False),
        dict(relative_attention_max_distance=30)),
    "mt5-tied": ("MT5ForConditionalGeneration", "mt5", dict(
        vocab_size=33, d_model=8, d_kv=4, d_ff=12, num_layers=1, num_heads=2, dropout_rate=0.0,
        feed_forward_proj="gated-silu"), dict(feed_forward_proj="gated-gelu", dense_act_fn="gelu_new")),
}


def writes(model):
    return model.config.is_encoder_decoder


def made(name, change=None):
    """A model before its weights are drawn, without special tokens that would end a text."""
    kind, model_type, options, _ = CASES[name]
    ends = dict(eos_token_id=None, decoder_start_token_id=0) if "t5" in kind.lower() else {}
    config = AutoConfig.for_model(model_type, **(options | ends | (change or {})))
    config._attn_implementation = "eager"
    model = getattr(transformers, kind)(config).float().eval()
    untied = options.get("tie_word_embeddings") is False
    if untied and writes(model):
        # The class ties them regardless of the configuration; in files they are separate.
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    return model


DOUBLED = ("query.weight", "key.weight", ".k.weight", "relative_attention_bias", "q_lin.weight", "k_lin.weight", "Wqkv.weight")


def texts(model):
    """Texts without the padding ids of the case and of its control, which RoBERTa would treat as padding."""
    rng = np.random.default_rng(5)
    padding = 4 if model.config.model_type == "roberta" else model.config.pad_token_id or 0
    return [torch.from_numpy(padding + 1 + rng.integers(0, model.config.vocab_size - padding - 1, n)) for n in LENGTHS]


def padded(model, left):
    rows = texts(model)
    ids = torch.full((len(rows), WIDTH), model.config.pad_token_id or 0)
    mask = torch.zeros(len(rows), WIDTH, dtype=torch.long)
    for row, text in enumerate(rows):
        where = slice(WIDTH - len(text), WIDTH) if left else slice(0, len(text))
        ids[row, where], mask[row, where] = text, 1
    return ids, mask


def types(model, mask):
    """Token types: 1 for the second half of each text, the last type for its last token. 0 in a model without types."""
    if not hasattr(model.config, "type_vocab_size"):
        return mask * 0
    places = mask.cumsum(1) * mask
    kinds = (places * 2 > places.max(1, keepdim=True).values).long()
    kinds[places == places.max(1, keepdim=True).values] = model.config.type_vocab_size - 1
    return kinds.clamp(max=model.config.type_vocab_size - 1) * mask


def written(model):
    rng = np.random.default_rng(7)
    ids = torch.from_numpy(rng.integers(0, model.config.vocab_size, (len(LENGTHS), WRITTEN)))
    ids[:, 0] = 0
    return ids


def run(model, left=False):
    """Outputs, hidden states, the mask."""
    ids, mask = padded(model, left)
    if writes(model):
        result = model(input_ids=ids, attention_mask=mask, decoder_input_ids=written(model), use_cache=False,
                       output_hidden_states=True)
        return result.logits, result.encoder_hidden_states, result.decoder_hidden_states, mask
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    if model.config.model_type == "roberta":
        positions = (mask.cumsum(1) * mask) + model.config.pad_token_id
    more = dict(position_ids=positions, output_hidden_states=True)
    if hasattr(model.config, "type_vocab_size"):
        more["token_type_ids"] = types(model, mask)
    if left and type(model).__name__.endswith("Classification"):
        # The first token means the first position, padding or not: run the rows one at a time.
        rows = [model(**{k: v[i:i + 1, -n:] if torch.is_tensor(v) else v
                         for k, v in (more | dict(input_ids=ids)).items()}) for i, n in enumerate(LENGTHS)]
        return torch.cat([row.logits for row in rows]), None, None, mask
    result = model(input_ids=ids, attention_mask=mask, **more)
    first = "prediction_logits" if hasattr(result, "prediction_logits") else "logits"
    return getattr(result, first, None) if hasattr(result, first) else result.last_hidden_state, result.hidden_states, None, mask


def greedy(model, prompt):
    """Greedy tokens with the cache, and the minimum logit margin to the second-best token. Checks them without the cache."""
    mask = torch.ones_like(prompt)[None]
    cached = model.generate(prompt[None], attention_mask=mask, max_new_tokens=GREEDY, do_sample=False)
    ids, leads = torch.zeros(1, 1, dtype=torch.long), []
    for _ in range(GREEDY):
        result = model(input_ids=prompt[None], attention_mask=mask, decoder_input_ids=ids, use_cache=False)
        best = result.logits[0, -1].topk(2)
        leads.append((best.values[0] - best.values[1]).item())
        ids = torch.cat([ids, best.indices[:1][None]], 1)
    assert torch.equal(ids, cached), "tokens with and without cache differ"
    return ids[0, 1:], min(leads)


def lively(name, model):
    """Draw weights. For a model that generates, until the greedy tokens vary and each has a clear margin."""
    for seed in range(3000):
        draw(model, seed, DOUBLED)
        if not writes(model):
            return None
        with torch.no_grad():
            tokens, lead = greedy(model, texts(model)[1])
        if lead > 2e-3 and len(set(tokens.tolist())) >= 5:
            return tokens
    raise AssertionError(f"{name}: no seed gives varied tokens with clear margins")


def only(outputs, mask):
    """The outputs of non-padding tokens, if there is one output per token."""
    return outputs[mask.bool()] if outputs.dim() == 3 and outputs.shape[1] == WIDTH else outputs


def case(name, out):
    model = made(name)
    tokens = lively(name, model)
    outputs, states, decoded, mask = run(model)
    rng = np.random.default_rng(6)
    cotangent = torch.from_numpy(rng.standard_normal(tuple(outputs.shape)).astype(np.float32))
    if outputs.dim() == 3 and outputs.shape[1] == WIDTH:
        cotangent = cotangent * mask[..., None]
    (outputs * cotangent).sum().backward()
    with torch.no_grad():
        left, _, _, left_mask = run(model, left=True)
        agrees(only(left, left_mask), only(outputs, mask), 1e-5)
        other = made(name, CASES[name][3])
        other.load_state_dict(model.state_dict())
        control = run(other)[0]
    differs(only(control, mask), only(outputs, mask), 1e-2)
    tensors = {"ids": padded(model, False)[0], "left.ids": padded(model, True)[0], "lengths": torch.tensor(LENGTHS),
               "outputs": outputs, "left.outputs": left, "control": control, "cotangent": cotangent}
    if writes(model):
        tensors |= {"written": written(model), "greedy": tokens, "prompt": texts(model)[1]}
    else:
        tensors |= {"types": types(model, mask), "left.types": types(model, left_mask)}
    tensors |= {f"hidden.{i}": state for i, state in enumerate(states)}
    tensors |= {f"decoder.hidden.{i}": state for i, state in enumerate(decoded or ())}
    tensors |= {f"gradient.{n}": p.grad for n, p in model.named_parameters() if p.grad is not None}
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    save(model, name, folder)
    (folder / "control.json").write_text(described(other, name))
    save_file({n: t.detach().clone().contiguous() for n, t in tensors.items()}, folder / "expected.safetensors")
    vary = "" if tokens is None else f"{len(set(tokens.tolist()))} different tokens, "
    print(f"{name}: {vary}control {(only(control, mask) - only(outputs, mask)).abs().max():.2f}")


def described(model, name):
    """The configuration as in files of the class. Only older files mark an untied T5 head as untied."""
    config = json.loads(model.config.to_json_string(use_diff=False)) | {"architectures": [CASES[name][0]]}
    if writes(model) and CASES[name][2].get("tie_word_embeddings") is False:
        config["tie_word_embeddings"] = False
    return json.dumps(config, indent=2) + "\n"


def save(model, name, folder):
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "config.json").write_text(described(model, name))


SENTENCES = ["A cat sits on the mat.", "Transformers, encoders and a very long sentence about nothing in particular, "
             "which goes on and on until even the patient reader asks where it ends.", "Über naïve cafés: 3 × 7 = 21!",
             "word"]


def sentences(folder, out):
    """The vectors that a sentence encoder computes for texts in one batch, and their token ids."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").float().eval()
    batch = tokenizer(SENTENCES, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**batch).last_hidden_state
    live = batch["attention_mask"][..., None].float()
    vectors = torch.nn.functional.normalize((hidden * live).sum(1) / live.sum(1), dim=1)
    tensors = {"ids": batch["input_ids"], "lengths": batch["attention_mask"].sum(1), "vectors": vectors}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, out / "minilm.safetensors")


def check(folder, fixtures):
    """Check that models saved by Kiln load without missing or unexpected keys and give the same outputs."""
    lines = []
    for saved in sorted(path for path in folder.iterdir() if (path / "config.json").exists()):
        kind = getattr(transformers, json.loads((saved / "config.json").read_text())["architectures"][0])
        model, info = kind.from_pretrained(saved, output_loading_info=True, attn_implementation="eager")
        # May be missing: the pooler of a model without head; with an untied head, a second bias that nothing reads.
        unused = ("pooler.dense.weight", "pooler.dense.bias")
        if not model.config.tie_word_embeddings:
            unused += ("cls.predictions.bias", "lm_head.bias")
        missing = [key for key in info["missing_keys"] if not key.endswith(unused)]
        assert not (missing or info["unexpected_keys"] or info["mismatched_keys"]), f"{saved.name}: {info}"
        expected = load_file(fixtures / saved.name / "expected.safetensors")
        with torch.no_grad():
            outputs, _, _, mask = run(model.eval())
        # Bits of matrix products differ from machine to machine.
        agrees(only(outputs, mask), only(expected["outputs"], mask), 1e-5)
        apart = (only(outputs, mask) - only(expected["outputs"], mask)).abs().max()
        left = ", ".join(sorted(info["missing_keys"]))
        but = f" but for what no output reads ({left})" if left else ""
        lines.append(f"{saved.name}: {kind.__name__}, no key missing{but}, unexpected or mismatched; outputs apart by {apart:.1e}")
    return lines


def main():
    parser = checking.options(__doc__)
    parser.add_argument("--sentences", type=Path, help="sentence encoder; writes its vectors instead of the cases")
    parser.add_argument("--only", choices=CASES, help="write only this case")
    asked = checking.parsed(parser)
    if asked.sentences:
        sentences(asked.sentences, asked.out)
    elif asked.out:
        for name in [asked.only] if asked.only else CASES:
            case(name, asked.out)
    if asked.check:
        lines = check(asked.check, asked.fixtures)
        checking.record("Models", [transformers, torch, safetensors], lines, asked.record)


if __name__ == "__main__":
    main()
