"""Figures as tables, as JSON, as a picture and as a page."""

import json
import statistics
from html import escape

NAMES = {"wall": "time", "cpu": "CPU", "peak": "peak memory", "rate": "speed"}
SCALE = {"MB": 1e-6}


def shown(figures, unit):
    """Median and spread."""
    low, middle, high = (SCALE.get(unit, 1) * f(figures) for f in (min, statistics.median, max))
    digits = 0 if middle >= 100 else 1 if middle >= 10 else 2
    return f"{middle:.{digits}f} {unit} ({low:.{digits}f}–{high:.{digits}f})"


def ratio(kiln, peer):
    """The median of the rounds' ratios: Kiln's figure over the peer's."""
    return statistics.median(a / b for a, b in zip(kiln, peer))


def rows(scenario):
    """A row a subject: its figures, and behind each Kiln's over it."""
    kiln = scenario.runs["kiln"]
    for name, figures in scenario.runs.items():
        cells = [name]
        for metric, unit in scenario.metrics.items():
            own = name == "kiln"
            cells += [shown(figures[metric], unit), "" if own else f"{ratio(kiln[metric], figures[metric]):.2f}"]
        yield [*cells, scenario.notes[name]]


def head(scenario):
    metrics = [cell for metric in scenario.metrics for cell in (NAMES[metric], "Kiln ÷ it")]
    return ["subject", *metrics, "checked first"]


def table(scenario):
    """In Markdown."""
    lines = [head(scenario), ["---"] * len(head(scenario)), *rows(scenario)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def facts(scenarios, subjects, how):
    """Everything as JSON."""
    return json.dumps({
        "threads": how.threads, "rounds": how.rounds, "subjects": {s.name: s.version for s in subjects},
        "scenarios": {s.name: {"runs": s.runs, "notes": s.notes} for s in scenarios},
    }, indent=1)


def picture(scenarios):
    """Bars of medians, a group a scenario's first metric and its peak memory, as SVG."""
    bars, y = [], 10
    for scenario in scenarios:
        for metric, unit in scenario.metrics.items():
            if metric == "cpu":
                continue
            medians = {name: statistics.median(figures[metric]) for name, figures in scenario.runs.items()}
            y += 18
            bars.append(f'<text x="10" y="{y}" font-weight="bold">{escape(scenario.title)}: {NAMES[metric]}, {unit}</text>')
            for name, median in medians.items():
                y += 20
                width, colour = 430 * median / max(medians.values()), "#d1495b" if name == "kiln" else "#8d99ae"
                label = shown([median], unit).split(" (")[0]
                bars.append(f'<text x="100" y="{y}" text-anchor="end">{escape(name)}</text>'
                            f'<rect x="108" y="{y - 11}" width="{width:.1f}" height="13" fill="{colour}"/>'
                            f'<text x="{114 + width:.1f}" y="{y}">{label}</text>')
            y += 14
    style = 'font-family="sans-serif" font-size="12" fill="#222"'
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="660" height="{y}" viewBox="0 0 660 {y}" {style}>'
            f'<rect width="660" height="{y}" fill="white"/>{"".join(bars)}</svg>\n')


PAGE = """# Benchmarks

Kiln beside its peers: the same work, the same files, the same number of threads, in the same run, on {machine}.
Written by

```sh
just bench --write docs/benchmarks.md
```

{subjects}

Each subject is a process of its own. In each round every subject has its turn; rounds: {rounds}, after one that isn't counted.
A figure is the median, with the least and the largest behind it; "Kiln ÷ it" is the median of the rounds' ratios: for time
and memory less than 1 is good for Kiln, for speed more than 1. CPU is user and system time. Memory is the largest
resident set, files that are mapped into it included. Nothing is written if the subjects didn't compute the same.

What is not the same: Kiln and transformers compute in f32, Kiln on the packed weights of a GGUF, transformers on what it
unpacks when it loads; candle and llama.cpp multiply packed weights with activations rounded to eight bits, so that their
numbers are near and their tokens part at some place. Kiln reads its prompt as text, with the file's tokenizer; the others get ids.
llama.cpp reads no safetensors.{picture}
"""


def page(scenarios, subjects, missing, how, image):
    """docs/benchmarks.md."""
    named = ", ".join(f"{subject.name} {subject.version}" for subject in subjects)
    absent = f" Not measured, because it is not there: {', '.join(missing)}." if missing else ""
    shown = PAGE.format(machine=how.machine, rounds=how.rounds, subjects=f"Subjects: {named}.{absent}",
                        picture=f"\n\n![Medians]({image})")
    return "\n".join([shown, *(f"## {s.title}\n\n{table(s)}\n" for s in scenarios)])
