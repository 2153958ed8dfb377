"""The benchmark scenarios. Each checks that the outputs of all subjects agree before it records figures."""

import sys
from dataclasses import dataclass, field

from measure import Failed, run

PROMPT = "The three laws of motion are"
TOKENS = 128
# Maximum logit difference relative to the largest logit: in f32, and with activations rounded to 8 bits.
NEAR, NEAR_PACKED = 1e-4, 1e-1
# Minimum number of equal greedy tokens with activations rounded to 8 bits.
NEAR_TOKENS = 8


@dataclass
class Scenario:
    """`runs[subject][metric]` has one number for each round; `notes[subject]` is the result of the output check."""

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
    """The largest logit difference, relative to the largest logit of the reference."""
    a, b = reference["logits"], found["logits"]
    if len(a) != len(b):
        raise Failed(f"found {len(b)} logits, expected {len(a)} as in the reference")
    return max(abs(x - y) for x, y in zip(a, b)) / max(map(abs, a))


def same_logits(name, reference, found, packed):
    apart, limit = logits_apart(reference, found), NEAR_PACKED if packed else NEAR
    if not apart <= limit:
        raise Failed(f"{name}: logits differ by {apart:.1e} of the largest logit, the limit is {limit:.0e}")
    return f"logits within {apart:.1e} of the largest logit"


def same_ids(name, reference, found, packed):
    a, b = reference["ids"], found["ids"]
    if len(a) != len(b):
        raise Failed(f"{name}: found {len(b)} tokens, expected {len(a)}; use a prompt after which no subject stops early")
    same = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), len(a))
    if same < (min(NEAR_TOKENS, len(a)) if packed else len(a)):
        raise Failed(f"{name}: only the first {same} of {len(a)} tokens equal those of the reference")
    return f"first {same} of {len(a)} tokens equal"


def compared(scenario, subjects, model, answers, same):
    """Compare all answers with the reference: transformers if it is installed, else the first subject."""
    reference = "transformers" if "transformers" in answers else subjects[0].name
    for subject in subjects:
        packed = subject.packed and str(model).endswith(".gguf")
        scenario.notes[subject.name] = same(subject.name, answers[reference], answers[subject.name], packed)


def rounds(name, how):
    """Round numbers; round 0 is the warmup round and is not counted."""
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


def generate(subjects, model, prompt, ids, how):
    """`start`: from the start of the process to the first token. `decode`: tokens per second after the first token,
    computed from the time difference of a run with one token and a run with many."""
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
