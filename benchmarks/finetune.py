# /// script
# requires-python = ">=3.11"
# dependencies = ["torch", "transformers", "peft", "safetensors"]
# ///
"""Adapters or full fine-tuning of a Hugging Face folder with peft and PyTorch: seconds per step and peak resident memory.

    python benchmarks/finetune.py FOLDER [--method lora] [--dtype bfloat16] [--length 256] [--rows 2] [--steps 4]
    python benchmarks/finetune.py FOLDER --method dora --save OUT --ids 1,2,3

The step is that of `kiln train --from FOLDER`: the same shape, AdamW, gradient checkpointing, LoRA of rank 8 on the query and
value maps; the other methods are those of `adapters.py`. With --dtype bfloat16 and full fine-tuning, the weights, gradients and
moments are all in bfloat16 (PyTorch has no master weights of its own). The tokens are random: they change neither time nor
memory. One line of JSON.

With --save, nothing is trained: the adapters get random values, their folder is saved, and the answer has the logits of the last
of the given tokens.
"""

import argparse
import json
import resource
import time


def adapters():
    """The configuration of each method, for models with the names of Llama."""
    from peft import IA3Config, LoraConfig, PromptTuningConfig, VeraConfig

    shared = dict(target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    return {
        "lora": LoraConfig(r=8, lora_alpha=16, **shared),
        "rslora": LoraConfig(r=8, lora_alpha=16, use_rslora=True, **shared),
        "dora": LoraConfig(r=8, lora_alpha=16, use_dora=True, **shared),
        "ia3": IA3Config(target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"],
                         task_type="CAUSAL_LM"),
        "vera": VeraConfig(r=64, **shared),
        "prompt_tuning": PromptTuningConfig(num_virtual_tokens=20, task_type="CAUSAL_LM"),
    }


METHODS = ["lora", "rslora", "dora", "ia3", "vera", "prompt_tuning", "full"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--method", choices=METHODS, default="lora")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--rows", type=int, default=2)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--save", help="folder for adapters with random values")
    parser.add_argument("--ids", type=lambda text: [int(part) for part in text.split(",")], default=[1, 2, 3])
    args = parser.parse_args()

    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(args.folder, dtype=getattr(torch, args.dtype))
    loaded = peak()
    if args.method != "full":
        from peft import get_peft_model

        model = get_peft_model(model, adapters()[args.method])
    print(json.dumps(save(model, args) if args.save else steps(model, args) | {"peak_after_loading_mb": loaded}))


def steps(model, args):
    """Time and memory of training steps."""
    import torch

    model.config.use_cache = False
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=5e-4, betas=(0.9, 0.95), weight_decay=0.0)
    times = []
    for _ in range(args.steps):
        tokens = torch.randint(0, model.config.vocab_size, (args.rows, args.length))
        start = time.perf_counter()
        loss = model(input_ids=tokens, labels=tokens).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.perf_counter() - start)
    return {"method": args.method, "dtype": args.dtype, "seconds_per_step": sorted(times)[len(times) // 2],
            "peak_mb": peak(), "trained": sum(p.numel() for p in trained)}


def save(model, args):
    """Save adapters with random values; the logits of the last token."""
    import torch

    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            noise = torch.randn_like(parameter) * 0.05
            # Scales and magnitudes stay near their own values; matrices and vectors that start at 0 become small.
            parameter.data = parameter.data * (1 + noise) if "ia3" in name or "magnitude" in name else parameter.data + noise
    model.eval().save_pretrained(args.save)
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([args.ids])).logits[0, -1]
    return {"logits": [float(logit) for logit in logits]}


def peak():
    """Peak resident memory of this process so far, in MB (10^6 bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 // 10**6


if __name__ == "__main__":
    main()
