"""Write the 500 MB checkpoint: a Llama model with random weights, identical for identical package versions.

    python benchmarks/peers/checkpoint.py FOLDER
"""

import sys

import torch
from transformers import LlamaConfig, LlamaForCausalLM

torch.manual_seed(6)
config = LlamaConfig(vocab_size=21_760, hidden_size=1024, intermediate_size=2816, num_hidden_layers=8,
                     num_attention_heads=16, num_key_value_heads=16, max_position_embeddings=1024,
                     tie_word_embeddings=True, initializer_range=0.05)
model = LlamaForCausalLM(config)
model.save_pretrained(sys.argv[1], max_shard_size="10GB")
print(f"{sum(p.numel() for p in model.parameters()) * 4 / 1e6:.0f} MB in {sys.argv[1]}")
