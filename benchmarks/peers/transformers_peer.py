"""transformers as a benchmark subject, in f32. A GGUF file is dequantized when it is loaded."""

from pathlib import Path

import answer

asked = answer.arguments()

import torch  # noqa: E402 (the arguments are read first: a wrong call needn't wait for it)
from transformers import AutoModelForCausalLM  # noqa: E402

torch.set_num_threads(asked.threads)
path = Path(asked.model)
place = {"gguf_file": path.name} if path.suffix == ".gguf" else {}
folder = path.parent if place else path
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **place).eval()
tokens = torch.tensor([asked.ids])
with torch.inference_mode():
    if asked.what == "logits":
        answer.logits(model(tokens).logits[0, -1].tolist())
    else:
        count = asked.tokens
        new = model.generate(tokens, attention_mask=torch.ones_like(tokens), do_sample=False, max_new_tokens=count,
                             min_new_tokens=count, pad_token_id=0)
        answer.ids(new[0, len(asked.ids):])
