# /// script
# requires-python = ">=3.11"
# dependencies = ["torch", "transformers", "peft", "safetensors"]
# ///
"""LoRA or full fine-tuning of a Hugging Face folder with peft and PyTorch: seconds per step and peak resident memory.

    python benchmarks/finetune.py FOLDER [--method lora] [--dtype bfloat16] [--length 256] [--rows 2] [--steps 4]

The step is that of `kiln train --from FOLDER`: the same shape, AdamW, gradient checkpointing, LoRA of rank 8 on the query and
value maps. With --dtype bfloat16 and full fine-tuning, the weights, gradients and moments are all in bfloat16 (PyTorch has no
master weights of its own). The tokens are random: they change neither time nor memory. One line of JSON.
"""

import argparse
import json
import resource
import time


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--method", choices=["lora", "full"], default="lora")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--rows", type=int, default=2)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()

    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(args.folder, dtype=getattr(torch, args.dtype))
    loaded = peak()
    if args.method == "lora":
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"]))
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
    print(json.dumps({
        "method": args.method, "dtype": args.dtype, "seconds_per_step": sorted(times)[len(times) // 2],
        "peak_mb": peak(), "peak_after_loading_mb": loaded, "trained": sum(p.numel() for p in trained),
    }))


def peak():
    """Peak resident memory of this process so far, in MB (10^6 bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 // 10**6


if __name__ == "__main__":
    main()
