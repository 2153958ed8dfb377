# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.15.0", "transformers==5.24.0"]
# ///
"""Write the list of keys that the reference's classes read of a config.json.

    python tools/config_keys.py --out crates/kiln-models/src/hf/config_keys.json

A key of a model type is read if one of these is true:

1. It is a field of the configuration class.
2. The source names it: `config.key` or `getattr(config, "key")` in the files of the configuration class and of the model,
   `kwargs.pop("key")` where a configuration is built.
3. A tiny model reads it while it is built, loaded, trained for a step and used with a cache, with every attention kernel
   of the CPU. This finds what the code that all models share reads, such as masks and caches.

Settings of generation are left out, which transformers reads from generation_config.json, and keys that change no result
(`COMPUTES_NOTHING`). The file has, for each model
type, the keys with the default of the class (null if it has none), and the other names of keys (`attribute_map`).
"""

import argparse
import ast
import dataclasses
import inspect
import json
import sys
import tempfile
import textwrap
import warnings

import torch
import transformers
from transformers import AutoConfig, GenerationConfig, PreTrainedConfig
from transformers.models.auto import modeling_auto

LLAMA = dict(vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
             num_key_value_heads=1, max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2)
BERT = dict(vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
            max_position_embeddings=64, pad_token_id=1)
T5 = dict(vocab_size=32, d_model=16, d_kv=8, d_ff=16, num_layers=2, num_heads=2, pad_token_id=0, eos_token_id=1,
          decoder_start_token_id=0)

# model_type: options of a tiny model.
MODEL_TYPES = {
    "gpt2": dict(vocab_size=32, n_positions=64, n_embd=16, n_layer=2, n_head=2, eos_token_id=2, pad_token_id=0),
    "llama": LLAMA,
    "mistral": LLAMA,
    "phi3": LLAMA,
    "qwen2": LLAMA,
    "qwen3": LLAMA,
    "gemma": LLAMA,
    "gemma2": LLAMA,
    "mixtral": LLAMA,
    "olmo2": LLAMA,
    "granite": LLAMA,
    "starcoder2": LLAMA,
    "gpt_neox": LLAMA,
    "phi": LLAMA,
    "smollm3": LLAMA,
    "diffllama": LLAMA | dict(num_key_value_heads=2),
    "qwen3_moe": LLAMA,
    "deepseek_v3": LLAMA | dict(num_key_value_heads=2, q_lora_rank=8, kv_lora_rank=8, qk_rope_head_dim=4, qk_nope_head_dim=4,
                                v_head_dim=4, n_routed_experts=4, num_experts_per_tok=2, n_group=2, topk_group=1,
                                moe_intermediate_size=8, first_k_dense_replace=1),
    "mamba2": dict(vocab_size=32, hidden_size=16, num_hidden_layers=2, num_heads=4, head_dim=8, state_size=4, n_groups=2,
                   chunk_size=4, pad_token_id=0, bos_token_id=1, eos_token_id=2),
    "lfm2": LLAMA | dict(layer_types=["conv", "full_attention"]),
    "gptj": dict(vocab_size=32, n_positions=64, n_embd=16, n_layer=2, n_head=2, rotary_dim=4, eos_token_id=2, pad_token_id=0),
    "bloom": dict(vocab_size=32, hidden_size=16, n_layer=2, n_head=2, pad_token_id=0, bos_token_id=1, eos_token_id=2),
    "falcon": dict(vocab_size=32, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, pad_token_id=0, bos_token_id=1,
                   eos_token_id=2),
    "opt": dict(vocab_size=32, hidden_size=16, ffn_dim=16, num_hidden_layers=2, num_attention_heads=2,
                max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2),
    "gpt_bigcode": dict(vocab_size=32, n_positions=64, n_embd=16, n_layer=2, n_head=2, eos_token_id=2, pad_token_id=0),
    "stablelm": LLAMA,
    "cohere": LLAMA,
    "gpt_oss": LLAMA | dict(num_local_experts=4, num_experts_per_tok=2),
    "qwen2_moe": LLAMA,
    "mpt": dict(vocab_size=32, d_model=16, n_layers=2, n_heads=2, max_seq_len=64, pad_token_id=0, eos_token_id=2),
    "bert": BERT,
    "roberta": BERT,
    "xlm-roberta": BERT,
    "camembert": BERT,
    "distilbert": dict(vocab_size=32, dim=16, hidden_dim=16, n_layers=2, n_heads=2, max_position_embeddings=64, pad_token_id=1),
    "electra": BERT | dict(embedding_size=8),
    "modernbert": BERT | dict(bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2),
    "t5": T5,
    "mt5": T5,
}

# Keys that are read and change no result, with what they are read for.
COMPUTES_NOTHING = {
    "attn_implementation": "choice of a kernel",
    "distributed_config": "placement of weights",
    "experts_implementation": "choice of a kernel",
    "fusion_config": "choice of a kernel",
    "gradient_checkpointing": "memory of training",
    "init_std": "initialization",
    "mtp_layer_types": "older spellings",
    "output_cross_attentions": "further outputs",
    "vision_aspect_ratio": "names of tensors",
    "vision_feature_layer": "names of tensors",
    "vision_feature_select_strategy": "names of tensors",
}

# Lists of classes for each task; those that have a class for a model type are tried.
TASKS = ("MODEL_MAPPING_NAMES", "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES", "MODEL_FOR_MASKED_LM_MAPPING_NAMES",
         "MODEL_FOR_PRETRAINING_MAPPING_NAMES", "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
         "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES")


def model_classes(model_type):
    """The classes of a model type for the supported tasks, without repetition."""
    names = []
    for task in TASKS:
        found = getattr(modeling_auto, task).get(model_type, ())
        names += [found] if isinstance(found, str) else found
    return [getattr(transformers, name) for name in dict.fromkeys(names)]


def fields(config_class):
    """Fields of a configuration class with their defaults."""
    found = {}
    for field in dataclasses.fields(config_class):
        default = field.default
        if default is dataclasses.MISSING:
            default = field.default_factory() if field.default_factory is not dataclasses.MISSING else None
        found[field.name] = default
    return found


def is_config(node):
    """Whether an expression is `config`, `self.config` or, in a configuration class, `self`."""
    return isinstance(node, ast.Name) and node.id == "config" or isinstance(node, ast.Attribute) and node.attr == "config"


def named_in_source(module):
    """Keys that the source of a module reads of a configuration."""
    names = set()
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Attribute) and is_config(node.value) and isinstance(node.ctx, ast.Load):
            names.add(node.attr)
        is_getattr = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr"
        if is_getattr and is_config(node.args[0]) and isinstance(node.args[1], ast.Constant):
            names.add(node.args[1].value)
    return names


def taken_from_arguments(function):
    """Keys that a method of the configuration class takes from its arguments: `kwargs.pop("key")`, `kwargs.get("key")`."""
    names = set()
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        method = node.func if isinstance(node, ast.Call) else None
        is_taken = isinstance(method, ast.Attribute) and method.attr in ("pop", "get") and ast.unparse(method.value) == "kwargs"
        if is_taken and isinstance(node.args[0], ast.Constant):
            names.add(node.args[0].value)
    return names


class Recorder:
    """Records the names of attributes that are read of a configuration, whether they exist or not."""

    def __init__(self, config_class):
        self.names, self.config_class = set(), config_class

    def __enter__(self):
        self.inherited = self.config_class.__dict__.get("__getattribute__")
        original, names = self.config_class.__getattribute__, self.names

        def record(config, name):
            # Checks of a configuration compute nothing.
            if not sys._getframe(1).f_code.co_name.startswith("validate"):
                names.add(name)
            return original(config, name)

        self.config_class.__getattribute__ = record
        return self.names

    def __exit__(self, *_):
        if self.inherited is None:
            del self.config_class.__getattribute__
        else:
            self.config_class.__getattribute__ = self.inherited


def use(model):
    """Runs a training step, then reads a text in two pieces with a cache."""
    # T5's classifier needs the token that ends a text.
    end = model.config.eos_token_id or 1
    ids = torch.tensor([[5, 6, 7, end]])
    given = dict(input_ids=ids, attention_mask=torch.tensor([[0, 1, 1, 1]]))
    if model.config.is_encoder_decoder:
        given["decoder_input_ids"] = ids
    model.train()
    model(**given)[0].float().sum().backward()
    model.eval()
    output = model(**given)
    if model.can_generate() and "past_key_values" in output:
        given["decoder_input_ids" if model.config.is_encoder_decoder else "input_ids"] = ids[:, :1]
        del given["attention_mask"]
        model(**given, past_key_values=output.past_key_values)


def read_by_use(config_class, options, classes):
    """Keys that tiny models read while they are built, loaded and used."""
    with Recorder(config_class) as names, tempfile.TemporaryDirectory() as folder:
        for model_class in classes:
            model_class(config_class(**options)).save_pretrained(folder)
            for attention in ("eager", "sdpa"):
                try:
                    model = model_class.from_pretrained(folder, attn_implementation=attention)
                except ValueError:  # a class with softcaps has the eager code only
                    continue
                use(model)
    return set(names)


def keys_of(model_type, options):
    """The keys that are read for a model type, with defaults, and the other names of keys."""
    config_class = type(AutoConfig.for_model(model_type))
    classes = model_classes(model_type)
    found = fields(config_class)
    own = {sys.modules[config_class.__module__], *(sys.modules[model.__module__] for model in classes)}
    read = read_by_use(config_class, options, classes).union(*map(named_in_source, own))
    read = {name for name in read if not (hasattr(PreTrainedConfig, name) or callable(getattr(config_class, name, None)))}
    read |= taken_from_arguments(PreTrainedConfig.__post_init__)
    if "rope_parameters" in found:
        read |= taken_from_arguments(config_class.convert_rope_params_to_dict)
    else:
        read = {name for name in read if not name.startswith("rope_")}
    read -= {*config_class.attribute_map, *vars(GenerationConfig()), *COMPUTES_NOTHING}
    found |= {name: None for name in read - set(found) if not name.startswith("_")}
    # Infinity is no number of JSON: the class's own form of it.
    keys = PreTrainedConfig._encode_special_floats(dict(sorted(found.items())))
    return {"keys": keys, "aliases": dict(sorted(config_class.attribute_map.items()))}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    out = parser.parse_args().out
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    torch.manual_seed(0)
    model_types = {model_type: keys_of(model_type, options) for model_type, options in MODEL_TYPES.items()}
    written = {"transformers": transformers.__version__, "model_types": model_types}
    with open(out, "w") as file:
        json.dump(written, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
