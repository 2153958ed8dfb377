# /// script
# requires-python = ">=3.11"
# dependencies = ["transformers==5.24.0", "tokenizers==0.23.3", "sentencepiece==0.2.3", "protobuf==7.36.2"]
# ///
"""Write the tokenizer classes of the `transformers` library: by model type, and by the names that files give them.

    python tools/tokenizer_classes.py > crates/kiln-data/src/tokenizer/pretrained/class_table.json

`model_types`: the class of each `model_type`. `unreliable`: model types whose files name a wrong class. `classes`: the
class that a name in `tokenizer_class` stands for, where it is another one, or one that is not the class of a model type.
"""

import json
import os

os.environ["HF_HUB_OFFLINE"] = "1"

import transformers
from transformers.models.auto import configuration_auto, tokenization_auto as auto
from transformers.utils import logging

logging.set_verbosity_error()


def main():
    model_types = {name: cls for name, cls in sorted(auto.TOKENIZER_MAPPING_NAMES.items()) if cls}
    names = {name for name in dir(transformers) if name.endswith(("Tokenizer", "TokenizerFast"))} | set(model_types.values())
    # Removed classes live on under the names of their models: ElectraTokenizer is BertTokenizer.
    names |= {config.removesuffix("Config") + "Tokenizer" for config in configuration_auto.CONFIG_MAPPING_NAMES.values()}
    names |= {name + "Fast" for name in names if not name.endswith("Fast")}
    classes = {}
    for name in sorted(names):
        try:
            found = auto.tokenizer_class_from_name(name)
        except Exception:  # a class whose own dependency is missing
            found = None
        if found is not None:
            classes[name] = found.__name__
    table = {
        "transformers": transformers.__version__, "model_types": model_types,
        "unreliable": sorted(auto.MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS), "classes": classes,
    }
    print(json.dumps(table, indent=0, separators=(",", ":")))


if __name__ == "__main__":
    main()
