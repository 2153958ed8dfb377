"""Write a 500 MB checkpoint: a Llama model with random weights, identical for identical package versions.

    python benchmarks/peers/checkpoint.py FOLDER [f32 | bf16]
"""

import sys

import torch
from transformers import LlamaConfig, LlamaForCausalLM

# Layers that make 500 MB.
LAYERS = {"f32": 8, "bf16": 18}
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
name = sys.argv[2] if len(sys.argv) > 2 else "f32"
torch.manual_seed(6)
config = LlamaConfig(vocab_size=21_760, hidden_size=1024, intermediate_size=2816, num_hidden_layers=LAYERS[name],
                     num_attention_heads=16, num_key_value_heads=16, max_position_embeddings=1024,
                     tie_word_embeddings=True, initializer_range=0.05)
model = LlamaForCausalLM(config).to(DTYPES[name])
model.save_pretrained(sys.argv[1], max_shard_size="10GB")
size = sum(p.numel() * p.element_size() for p in model.parameters())
print(f"{size / 1e6:.0f} MB in {sys.argv[1]}")
