# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.15.0", "numpy==2.4.6"]
# ///
"""Write losses and gradients of the objectives `preference` and `distill`, computed by PyTorch's autograd in f64.

    python tools/fixtures_objectives.py --out crates/kiln-train/fixtures
    python tools/fixtures_objectives.py --out crates/kiln-train/fixtures --trl FOLDER

The formulas are those of the papers. With `--trl`, a folder that holds `dpo_trainer.py`, `cpo_trainer.py` and `orpo_trainer.py`
of TRL 0.19.1 (`trl/trainer` of its wheel), each loss that TRL has is compared with TRL's own function. Inputs are exact in f32.
Two cases that agree would test nothing: the script refuses them.
"""

import argparse
import ast
import json
import math
import types
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

PAIRS = 6


def exact(rng, *shape, scale=1.0, shift=0.0):
    """Random values that are exact in f32, as f64."""
    values = (rng.standard_normal(shape) * scale + shift).astype(np.float32)
    return torch.from_numpy(values).double()


def pairs():
    """Log-probabilities of answers by policy and reference, and lengths in tokens. The last pair is far apart."""
    rng = np.random.default_rng(3)
    chosen, rejected = exact(rng, PAIRS, scale=6, shift=-25), exact(rng, PAIRS, scale=6, shift=-25)
    reference = [values + exact(rng, PAIRS, scale=4) for values in (chosen, rejected)]
    reference = [values.float().double() for values in reference]
    chosen[-1], rejected[-1] = -4.0, -90.0
    lengths = [torch.tensor(values, dtype=torch.float64) for values in ([9, 14, 7, 20, 11, 8], [12, 9, 15, 8, 10, 30])]
    return dict(chosen=chosen, rejected=rejected, reference_chosen=reference[0], reference_rejected=reference[1],
                chosen_length=lengths[0], rejected_length=lengths[1])


def preference_losses(case, x):
    """Loss of each pair."""
    loss, beta, smoothing = case["loss"], case["beta"], case["label_smoothing"]
    chosen, rejected = x["chosen"], x["rejected"]
    chosen_mean, rejected_mean = chosen / x["chosen_length"], rejected / x["rejected_length"]
    chosen_ratio, rejected_ratio = chosen - x["reference_chosen"], rejected - x["reference_rejected"]
    margin = chosen_ratio - rejected_ratio
    log_sigmoid = F.logsigmoid
    if loss == "dpo":  # 2305.18290, equation 7; label smoothing: Mitchell 2023, cDPO
        losses = -(1 - smoothing) * log_sigmoid(beta * margin) - smoothing * log_sigmoid(-beta * margin)
    elif loss == "robust":  # 2403.00409, equation 12
        losses = (-(1 - smoothing) * log_sigmoid(beta * margin) + smoothing * log_sigmoid(-beta * margin))
        losses = losses / (1 - 2 * smoothing)
    elif loss == "ipo":  # 2310.12036, equation 17, with means over tokens
        mean_margin = (chosen_ratio / x["chosen_length"]) - (rejected_ratio / x["rejected_length"])
        losses = (mean_margin - 1 / (2 * beta)) ** 2
    elif loss == "hinge":  # 2305.10425; 2309.06657
        losses = torch.relu(1 - beta * margin)
    elif loss == "exo_pair":  # 2402.00856, equation 16
        p = torch.sigmoid(beta * margin)
        losses = p * (log_sigmoid(beta * margin) - math.log(1 - smoothing))
        losses = losses + (1 - p) * (log_sigmoid(-beta * margin) - math.log(smoothing))
    elif loss == "nca_pair":  # 2402.05369
        up, down = beta * chosen_ratio, beta * rejected_ratio
        losses = -log_sigmoid(up) - 0.5 * log_sigmoid(-up) - 0.5 * log_sigmoid(-down)
    elif loss == "sppo_hard":  # 2405.00675, equation 4.7
        losses = (chosen_ratio - 0.5 / beta) ** 2 + (rejected_ratio + 0.5 / beta) ** 2
    elif loss == "apo_zero":  # 2408.06266, equation 7
        losses = 1 - torch.sigmoid(beta * chosen_ratio) + torch.sigmoid(beta * rejected_ratio)
    elif loss == "apo_down":  # 2408.06266, equation 8
        losses = torch.sigmoid(beta * chosen_ratio) + 1 - torch.sigmoid(beta * margin)
    elif loss == "cpo":  # 2401.08417, equation 3
        margin = chosen - rejected
        losses = -(1 - smoothing) * log_sigmoid(beta * margin) - smoothing * log_sigmoid(-beta * margin)
    elif loss == "simpo":  # 2405.14734, equation 6
        margin = beta * (chosen_mean - rejected_mean) - case["gamma"]
        losses = -(1 - smoothing) * log_sigmoid(margin) - smoothing * log_sigmoid(-margin)
    elif loss == "orpo":  # 2403.07691, equations 6 and 7
        log_odds = lambda mean: mean - torch.log1p(-torch.exp(mean))
        losses = -chosen_mean - beta * log_sigmoid(log_odds(chosen_mean) - log_odds(rejected_mean))
    # 2404.19733, equation 1: negative log-likelihood of the chosen answer for each of its tokens.
    return losses - case["sft_weight"] * chosen_mean


CASES = [
    dict(loss="dpo", beta=0.1), dict(loss="dpo", beta=0.5, label_smoothing=0.1),
    dict(loss="dpo", beta=0.1, sft_weight=0.75), dict(loss="robust", beta=0.1, label_smoothing=0.2),
    dict(loss="ipo", beta=0.1), dict(loss="ipo", beta=0.7), dict(loss="hinge", beta=0.1), dict(loss="hinge", beta=0.4),
    dict(loss="exo_pair", beta=0.1, label_smoothing=1e-3), dict(loss="nca_pair", beta=0.1),
    dict(loss="sppo_hard", beta=0.1), dict(loss="apo_zero", beta=0.1), dict(loss="apo_down", beta=0.1),
    dict(loss="cpo", beta=0.1), dict(loss="cpo", beta=0.1, label_smoothing=0.1, sft_weight=1.0),
    dict(loss="simpo", beta=2.0, gamma=1.0), dict(loss="simpo", beta=2.5, gamma=0.5, label_smoothing=0.1),
    dict(loss="orpo", beta=0.1), dict(loss="orpo", beta=1.0),
]


def preference(trl):
    x, cases = pairs(), []
    for options in CASES:
        case = dict(label_smoothing=0.0, gamma=0.0, sft_weight=0.0) | options
        leaves = {name: x[name].clone().requires_grad_() for name in ("chosen", "rejected")}
        losses = preference_losses(case, x | leaves)
        if trl:
            compare_with_trl(trl, case, x, losses.detach())
        gradients = torch.autograd.grad(losses.sum(), list(leaves.values()))
        values = dict(losses=losses.detach(), chosen_gradient=gradients[0], rejected_gradient=gradients[1])
        cases.append(case | {name: value.tolist() for name, value in values.items()})
    for i, case in enumerate(cases):
        for other in cases[:i]:
            apart = np.abs(np.subtract(case["losses"], other["losses"])).max()
            assert apart > 1e-2, f"{case['loss']} and {other['loss']} agree"
    return dict(pairs={name: value.tolist() for name, value in x.items()}, cases=cases)


def method(folder, file, name):
    """A method of a trainer of TRL as a function."""
    tree = ast.parse((folder / file).read_text())
    found = next(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == name)
    found.decorator_list, found.returns = [], None
    for argument in found.args.args:
        argument.annotation = None
    divergence = types.SimpleNamespace(**{key: types.SimpleNamespace(value=key) for key in
                                          ("ALPHA_DIVERGENCE", "JS_DIVERGENCE")})
    scope = dict(torch=torch, F=F, math=math, FDivergenceType=divergence)
    exec(compile(ast.Module([found], []), file, "exec"), scope)
    return scope[name]


def compare_with_trl(folder, case, x, losses):
    """Compare the losses of a case with those of TRL, without the SFT term, which TRL adds elsewhere."""
    names = dict(dpo="sigmoid", cpo="sigmoid")
    stub = types.SimpleNamespace(
        accelerator=types.SimpleNamespace(device="cpu"), reference_free=False, f_divergence_type="reverse_kl",
        f_divergence_params=None, beta=case["beta"], label_smoothing=case["label_smoothing"],
        loss_type=names.get(case["loss"], case["loss"]), simpo_gamma=case["gamma"],
        alpha=0.0)
    mean = lambda name: x[name] / x[name.removeprefix("reference_") + "_length"]
    chosen_mean = mean("chosen")
    losses = losses + case["sft_weight"] * chosen_mean
    if case["loss"] == "orpo":
        ratio = method(folder, "orpo_trainer.py", "odds_ratio_loss")(stub, chosen_mean, mean("rejected"))
        expected = -chosen_mean - ratio[0]
    elif case["loss"] in ("cpo", "simpo"):
        values = [x["chosen"], x["rejected"]] if case["loss"] == "cpo" else [chosen_mean, mean("rejected")]
        expected = method(folder, "cpo_trainer.py", "cpo_loss")(stub, *values)[0]
    else:
        keys = ["chosen", "rejected", "reference_chosen", "reference_rejected"]
        # TRL averages the log-probabilities for IPO before it calls the function.
        values = [mean(key) if case["loss"] == "ipo" else x[key] for key in keys]
        expected = method(folder, "dpo_trainer.py", "dpo_loss")(stub, *values)[0]
    apart = (losses - expected).abs().max().item()
    assert apart < 1e-9, f"{case}: TRL differs by {apart}"


TOKENS, VOCABULARY = 5, 11


def divergence(kind, p, q):
    """Divergence of each row: `p` is the teacher's, `q` the student's distribution."""
    kl = lambda a, b: torch.where(a > 0, a * (a.log() - b.log()), torch.zeros_like(a)).sum(-1)
    middle = (p + q) / 2
    return dict(kl=lambda: kl(p, q), reverse_kl=lambda: kl(q, p), jsd=lambda: (kl(p, middle) + kl(q, middle)) / 2)[kind]()


def distill_losses(case, student, teacher, targets):
    """KL part and cross-entropy of each token, before weights and `alpha`. The KL part includes T²."""
    temperature, top_k = case["temperature"], case["top_k"]
    p, q = (torch.softmax(logits / temperature, -1) for logits in (teacher, student))
    if top_k:
        largest = p.topk(top_k, -1).indices
        rest = lambda values: values.scatter(-1, largest, 0.0).sum(-1, keepdim=True)
        p, q = (torch.cat([values.gather(-1, largest), rest(values)], -1) for values in (p, q))
    kl = temperature ** 2 * divergence(case["kind"], p, q)
    return kl, F.cross_entropy(student, targets, reduction="none")


def distill():
    rng = np.random.default_rng(4)
    student, teacher = exact(rng, TOKENS, VOCABULARY, scale=3), exact(rng, TOKENS, VOCABULARY, scale=3)
    targets = torch.from_numpy(rng.integers(0, VOCABULARY, TOKENS))
    weights = torch.tensor([1.0, 0.5, 1.0, 2.0, 0.25], dtype=torch.float64)
    cases = []
    for kind in ("kl", "reverse_kl", "jsd"):
        for temperature, alpha, top_k in ((1.0, 1.0, 0), (2.0, 0.5, 0), (3.0, 0.9, 4)):
            case = dict(kind=kind, temperature=temperature, alpha=alpha, top_k=top_k)
            leaf = student.clone().requires_grad_()
            kl, cross_entropy = distill_losses(case, leaf, teacher, targets)
            total = (weights * (alpha * kl + (1 - alpha) * cross_entropy)).sum()
            gradient, = torch.autograd.grad(total, leaf)
            values = dict(kl=kl.detach(), cross_entropy=cross_entropy.detach(), gradient=gradient)
            cases.append(case | {name: value.tolist() for name, value in values.items()})
    for i, case in enumerate(cases):
        for other in cases[:i]:
            assert np.abs(np.subtract(case["gradient"], other["gradient"])).max() > 1e-2, "two cases agree"
    inputs = dict(student=student, teacher=teacher, targets=targets, weights=weights)
    return dict({name: value.tolist() for name, value in inputs.items()}, cases=cases)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--trl", type=Path, help="folder of TRL's trainers, to compare with")
    arguments = parser.parse_args()
    for name, values in (("preference", preference(arguments.trl)), ("distill", distill())):
        (arguments.out / f"{name}.json").write_text(json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    main()
