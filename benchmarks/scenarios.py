"""What is measured. Before any figure counts, all subjects must have computed the same."""

import sys
from dataclasses import dataclass, field

from measure import Failed, run

PROMPT = "The three laws of motion are"
TOKENS = 128
# Largest difference over the largest logit: in f32, and where activations are rounded to eight bits.
NEAR, NEAR_PACKED = 1e-4, 1e-1
# So many tokens are the same at least where activations are rounded.
NEAR_TOKENS = 8


@dataclass
class Scenario:
    """`runs[subject][metric]` has a number a round; `notes` says how alike the answers were."""

    name: str
    title: str
    metrics: dict
    runs: dict = field(default_factory=dict)
    notes: dict = field(default_factory=dict)

    def record(self, subject, **figures):
        for metric, figure in figures.items():
            self.runs.setdefault(subject, {}).setdefault(metric, []).append(figure)


TIME = {"wall": "s", "cpu": "s", "peak": "MB"}


def logits_apart(reference, found):
    """The largest difference of the logits, over the largest of the reference's."""
    a, b = reference["logits"], found["logits"]
    if len(a) != len(b):
        raise Failed(f"{len(b)} logits, where the reference has {len(a)}")
    return max(abs(x - y) for x, y in zip(a, b)) / max(map(abs, a))


def same_logits(name, reference, found, packed):
    apart, most = logits_apart(reference, found), NEAR_PACKED if packed else NEAR
    if not apart <= most:
        raise Failed(f"{name}: logits differ by {apart:.1e} of the largest, of at most {most:.0e}: other work was done")
    return f"logits within {apart:.1e} of the largest"


def same_ids(name, reference, found, packed):
    a, b = reference["ids"], found["ids"]
    if len(a) != len(b):
        raise Failed(f"{name}: {len(b)} tokens instead of {len(a)}: give another prompt, which no subject ends early")
    same = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), len(a))
    if same < (min(NEAR_TOKENS, len(a)) if packed else len(a)):
        raise Failed(f"{name}: only the first {same} of {len(a)} tokens are the reference's: other work was done")
    return f"the first {same} of {len(a)} tokens are the same"


def compared(scenario, subjects, model, answers, same):
    """Notes how alike all answers are to the first's. transformers is the reference where it is there."""
    reference = "transformers" if "transformers" in answers else subjects[0].name
    for subject in subjects:
        packed = subject.packed and str(model).endswith(".gguf")
        scenario.notes[subject.name] = same(subject.name, answers[reference], answers[subject.name], packed)


def rounds(name, how):
    """The first, 0, isn't counted."""
    for round in range(how.rounds + 1):
        print(f"{name}: round {round} of {how.rounds}", file=sys.stderr)
        yield round


def load(name, title, subjects, model, ids, how):
    """From the start of the process to the logits of one token."""
    scenario = Scenario(name, title, TIME)
    for round in rounds(name, how):
        runs = {s.name: run(s.logits(model, ids[:1], how.threads), how.threads, how.cores) for s in subjects}
        if round == 0:
            compared(scenario, subjects, model, {name: one.answer for name, one in runs.items()}, same_logits)
            continue
        for subject, one in runs.items():
            scenario.record(subject, wall=one.wall, cpu=one.cpu, peak=one.peak)
    return scenario


def write(subjects, model, prompt, ids, how):
    """`start`: from the start of the process to the first token; `decode`: tokens a second of those after it, by the
    difference of two processes, one token long and many."""
    start = Scenario("start", "From the start of the process to the first token", TIME)
    decode = Scenario("decode", f"Decoding {TOKENS} tokens after the first", {"rate": "tokens/s", "peak": "MB"})
    for round in rounds("start and decode", how):
        short, long = (
            {s.name: run(s.generate(model, prompt, ids, tokens, how.threads), how.threads, how.cores) for s in subjects}
            for tokens in (1, 1 + TOKENS)
        )
        if round == 0:
            for scenario, runs in [(start, short), (decode, long)]:
                compared(scenario, subjects, model, {name: one.answer for name, one in runs.items()}, same_ids)
            continue
        for name, one in short.items():
            start.record(name, wall=one.wall, cpu=one.cpu, peak=one.peak)
            decode.record(name, rate=TOKENS / max(long[name].wall - one.wall, 1e-9), peak=long[name].peak)
    return [start, decode]
