# /// script
# requires-python = ">=3.11"
# dependencies = ["sentence-transformers==6.2.0", "torch==2.15.0", "transformers==5.24.0", "safetensors==0.8.0"]
# ///
"""Write losses, gradients and metrics of contrastive training, as sentence-transformers computes them.

    python tools/fixtures_contrastive.py --out crates/kiln-laws/fixtures

`contrastive.safetensors` has the embeddings `anchors`, `positives`, `negatives.0`, `negatives.1` of six pairs and, for each
case, the mean loss `CASE.loss` and its gradients `CASE.d.NAME`. The losses are MultipleNegativesRankingLoss, its symmetric
form and MatryoshkaLoss of sentence-transformers. The case `duplicates` adds masks of equal texts, which that library leaves
to its batch sampler: the texts are numbered in `duplicates.anchor_texts` and `duplicates.positive_texts`.
`CASE.accuracy`, `CASE.mrr`, `CASE.positive_similarity` and `CASE.negative_similarity` are computed from the same
similarities. Everything is computed in f64 and stored as f64.

The script refuses to write a case whose loss is that of another case: every option must change something.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss, MultipleNegativesRankingLoss
from sentence_transformers.util import cos_sim, dot_score

import checking

PAIRS, WIDTH = 6, 16
WIDTHS, WEIGHTS = [16, 8, 4], [1.0, 0.5, 0.25]
ANCHOR_TEXTS = [0, 1, 2, 0, 4, 5]
# The positives of pairs 1 and 4 are one text; the positive of pair 5 is the anchor of pair 2.
POSITIVE_TEXTS = [10, 11, 12, 13, 11, 2]
SYMMETRIC = dict(directions=("query_to_doc", "doc_to_query"), partition_mode="per_direction")


class Given(torch.nn.Module):
    """A model whose embeddings are its inputs."""

    def forward(self, features):
        return {"sentence_embedding": features["embedding"]}

    def get_embedding_dimension(self):
        return WIDTH


def ranking(columns, **options):
    return MultipleNegativesRankingLoss(Given(), **options).compute_loss_from_embeddings(columns, None)


def matryoshka(columns):
    model = Given()
    loss = MatryoshkaLoss(model, MultipleNegativesRankingLoss(model), WIDTHS, WEIGHTS)
    return loss([{"embedding": column} for column in columns], None)


def excluded_pairs():
    """`[anchor, positive]`: the positives that are no negatives of an anchor, because their texts say the same."""
    mask = torch.zeros(PAIRS, PAIRS, dtype=torch.bool)
    for i in range(PAIRS):
        for j in range(PAIRS):
            same_positive = POSITIVE_TEXTS[i] == POSITIVE_TEXTS[j]
            same_anchor = ANCHOR_TEXTS[i] == ANCHOR_TEXTS[j]
            mask[i, j] = i != j and (same_positive or same_anchor or POSITIVE_TEXTS[j] == ANCHOR_TEXTS[i])
    return mask


def masked(columns):
    scores = (20 * cos_sim(*columns)).masked_fill(excluded_pairs(), -torch.inf)
    return torch.nn.functional.cross_entropy(scores, torch.arange(PAIRS))


# Number of columns, loss, similarity, mask of excluded candidates.
CASES = {
    "pairs": (2, ranking, cos_sim, None),
    "negatives": (4, ranking, cos_sim, None),
    "temperature": (2, lambda columns: ranking(columns, scale=1 / 0.2), cos_sim, None),
    "dot": (4, lambda columns: ranking(columns, scale=1 / 2.5, similarity_fct=dot_score), dot_score, None),
    "symmetric": (2, lambda columns: ranking(columns, **SYMMETRIC), cos_sim, None),
    "symmetric_negatives": (4, lambda columns: ranking(columns, **SYMMETRIC), cos_sim, None),
    "matryoshka": (4, matryoshka, cos_sim, None),
    "duplicates": (2, masked, cos_sim, excluded_pairs()),
}


def metrics(columns, similarity, excluded):
    scores = similarity(columns[0], torch.cat(columns[1:]))
    positive = scores.diagonal()
    negative = ~torch.eye(PAIRS, scores.shape[1], dtype=torch.bool)
    if excluded is not None:
        negative[:, :PAIRS] &= ~excluded
    ranks = 1 + ((scores >= positive[:, None]) & negative).sum(1)
    means = torch.stack([row[keep].mean() for row, keep in zip(scores, negative)])
    return {
        "accuracy": (ranks == 1).double().mean(),
        "mrr": (1 / ranks.double()).mean(),
        "positive_similarity": positive.mean(),
        "negative_similarity": means.mean(),
    }


def main():
    arguments = checking.parsed(checking.options(__doc__))
    anchors = torch.randn(PAIRS, WIDTH, dtype=torch.float64)
    # Near enough to their anchors that some, but not all, are ranked first.
    near = [share * anchors + torch.randn(PAIRS, WIDTH, dtype=torch.float64) for share in (0.9, 0.45, 0.45)]
    # Texts that are equal have similar embeddings here: only then their mask changes much.
    anchors[3] = anchors[0] + 0.2 * anchors[3]
    near[0][4] = near[0][1] + 0.2 * near[0][4]
    near[0][5] = anchors[2] + 0.2 * near[0][5]
    names = ["anchors", "positives", "negatives.0", "negatives.1"]
    tensors = dict(zip(names, [anchors, *near]))
    tensors["duplicates.anchor_texts"] = torch.tensor(ANCHOR_TEXTS)
    tensors["duplicates.positive_texts"] = torch.tensor(POSITIVE_TEXTS)
    seen = {}
    for case, (count, loss, similarity, excluded) in CASES.items():
        columns = [tensors[name].clone().requires_grad_() for name in names[:count]]
        value = loss(columns)
        same = [other for other, known in seen.items() if abs(known - value.item()) < 1e-3]
        assert not same, f"{case}: the loss is that of {same}"
        seen[case] = value.item()
        value.backward()
        tensors[f"{case}.loss"] = value.detach().reshape(1)
        for name, column in zip(names, columns):
            tensors[f"{case}.d.{name}"] = column.grad
        found = metrics([column.detach() for column in columns], similarity, excluded)
        tensors |= {f"{case}.{name}": number.reshape(1) for name, number in found.items()}
        print(f"{case}: loss {value.item():.4f}, " + ", ".join(f"{k} {v.item():.3f}" for k, v in found.items()))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, Path(arguments.out) / "contrastive.safetensors")


if __name__ == "__main__":
    main()
