// Loss over steps of the chosen runs, with the floor of the corpus, and the accuracy of one run by kind of dependency.

import { smooth } from "../components/curve-points.js";
import { h } from "../components/dom.js";
import { LineChart } from "../components/line-chart.js";
import { Segments } from "../components/segments.js";

const KIND_ORDER = ["local", "agreement", "recall", "ownership"];

/** Points (step, value) of the rows of a kind that have a finite value. */
export function points(rows, kind, value) {
  return rows.filter(row => row.kind === kind).map(row => [row.step, value(row)]).filter(([, y]) => typeof y === "number" && Number.isFinite(y));
}

export class LossCurves {
  constructor(context) {
    this.context = context;
    this.chart = new LineChart({ label: "Loss", unit: "loss", yLabel: "nats per token", height: 300, empty: "Start a run to see its loss here." });
    this.axis = new Segments("Axis of the loss", [["linear", "Linear"], ["log", "Log"]], () => this.draw());
    this.element = h("section", { "aria-label": "Loss curves" }, h("div", { class: "head" }, h("h2", {}, "Loss"), this.axis.element), this.chart.element);
  }

  draw() {
    const { runs } = this.context;
    const shown = runs.runs.filter(run => runs.shown.has(run.run));
    const curves = shown.flatMap(run => this.#curvesOf(run, shown.length));
    const legend = shown.length === 0 ? [] : [...(shown.length > 1 ? shown.map(run => ({ name: run.name, color: runs.colorOf(run.run) })) : []),
      { name: "training", style: "thin", color: shown.length === 1 ? runs.colorOf(shown[0].run) : undefined }, { name: "validation", color: shown.length === 1 ? runs.colorOf(shown[0].run) : undefined }];
    const floor = this.#floor(shown);
    if (floor) legend.push({ name: "floor: the entropy of the text", style: "dashed" });
    this.chart.draw([...curves, ...(floor ? [floor] : [])], { isLog: this.axis.value === "log", legend });
  }

  #curvesOf(run, shownRuns) {
    const { rows } = this.context.runs.metricsOf(run.run);
    const color = this.context.runs.colorOf(run.run);
    const training = points(rows, "step", row => row.loss);
    const validation = points(rows, "validation", row => row.loss);
    const name = shownRuns > 1 ? `${run.name}, ` : "";
    const smoothed = smooth(training);
    return [
      { name: `${name}every step`, color, style: "faint", points: smoothed === training ? [] : training },
      { name: `${name}training`, color, style: "thin", points: smoothed },
      { name: `${name}validation`, color, style: "line", dots: validation.length < 60, points: validation, endLabel: shownRuns > 1 ? run.name : "validation" },
    ];
  }

  /** The lowest floor of the shown runs over their steps. */
  #floor(shown) {
    const known = shown.map(run => this.context.runs.metricsOf(run.run)).filter(metrics => typeof metrics.floor === "number");
    if (known.length === 0) return null;
    const floor = Math.min(...known.map(metrics => metrics.floor));
    const last = Math.max(1, ...known.flatMap(metrics => metrics.rows.at(-1)?.step ?? 0));
    return { name: "floor", style: "dashed", points: [[1, floor], [last, floor]], endLabel: "floor" };
  }
}

export class AccuracyCurves {
  constructor(context) {
    this.context = context;
    this.chart = new LineChart({ label: "Accuracy", unit: "percent", range: [0, 1], height: 220, empty: "The first evaluation has not been made yet." });
    this.note = h("p", { class: "note" });
    this.title = h("h2", {}, "Accuracy");
    this.element = h("section", { "aria-label": "Accuracy" }, this.title, this.note, this.chart.element);
  }

  /** Draws the run in the middle of the page; null: none. Its name stands in the heading if there are more runs. */
  draw(run) {
    this.title.textContent = run && this.context.runs.runs.length > 1 ? `Accuracy of ${run.name}` : "Accuracy";
    const rows = run ? this.context.runs.metricsOf(run.run).rows : [];
    const evaluations = rows.filter(row => row.kind === "validation");
    const kinds = [...new Set(evaluations.flatMap(row => Object.keys(row.kinds ?? {})))].sort((a, b) => KIND_ORDER.indexOf(a) - KIND_ORDER.indexOf(b));
    this.element.hidden = evaluations.length === 0;
    this.note.textContent = kinds.length > 0 ? "Share of the words that the text before them determines, predicted right, by kind of dependency." : "Share of the tokens of the validation text that are predicted right.";
    const share = kind => row => (row.kinds?.[kind]?.total > 0 ? row.kinds[kind].right / row.kinds[kind].total : null);
    const series = kinds.length > 0
      ? kinds.map((kind, color) => ({ name: kind, color, points: points(rows, "validation", share(kind)), endLabel: kind, dots: true }))
      : [{ name: "accuracy", color: 0, points: points(rows, "validation", row => row.accuracy), endLabel: "accuracy", dots: true }];
    this.chart.draw(series, { legend: kinds.map((name, color) => ({ name, color })) });
  }
}
