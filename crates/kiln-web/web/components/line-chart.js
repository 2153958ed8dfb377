// A chart of lines over steps, with the values under the pointer. Arrow keys move along the chart.

import { downsample, nearest } from "./curve-points.js";
import { h, replace, svg } from "./dom.js";
import { count, loss, percent, plain } from "./format.js";
import { Scale } from "./scale.js";

const UNITS = { loss, percent, plain, count };

export class LineChart {
  #shown = [];
  #series = [];
  #at = null;

  /** `options`: title, note, height in pixels, unit of y (loss, percent, plain, count), range of y, empty (a sentence). */
  constructor(options) {
    this.options = { height: 240, unit: "plain", range: null, note: "", empty: "No values yet.", ...options };
    this.legend = h("ul", { class: "legend" });
    this.frame = h("div", { class: "frame", tabindex: "0", role: "img", style: { height: `${this.options.height}px` }, on: {
      pointermove: event => this.#point(event), pointerdown: event => this.#point(event), pointerleave: event => { if (event.pointerType === "mouse") this.#clear(); },
      blur: () => this.#clear(), keydown: event => this.#key(event),
    } });
    this.live = h("div", { class: "sr", "aria-live": "polite" });
    const { title, note, yLabel } = this.options;
    this.element = h("figure", { class: "chart" }, title && h("figcaption", {}, h("b", {}, title), note && h("span", {}, note)),
      this.legend, yLabel && h("div", { class: "unit" }, yLabel), this.frame, this.live);
  }

  /** Draws the series: `{name, color, style, points, endLabel}`, where style is line, thin, faint or dashed. */
  draw(series, { isLog = false, legend = [] } = {}) {
    this.#series = series.filter(one => one.points.length > 0);
    const points = this.#series.filter(one => one.style !== "faint" || series.length === 1).flatMap(one => one.points);
    this.x = new Scale([...(points.length > 0 ? [0] : []), ...points.map(point => point[0])], false);
    this.y = this.#yScale(points.map(point => point[1]), isLog);
    this.#drawLegend(legend);
    replace(this.frame, this.#lines(), this.#labels(), points.length === 0 && h("i", { class: "empty" }, this.options.empty));
    this.frame.setAttribute("aria-label", this.#summary());
    this.#shown = [];
    if (this.#at !== null) this.#show(this.#at);
  }

  #yScale(values, isLog) {
    const { range } = this.options;
    if (range) return Object.assign(new Scale(range, false), { isEmpty: false });
    const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
    const limit = sorted.length >= 200 ? 1.1 * sorted[Math.floor(sorted.length * 0.995)] : Infinity;
    return new Scale(values.filter(value => value <= limit), isLog).rounded(5);
  }

  #lines() {
    const { height } = this.options;
    const place = ([x, y]) => `${(1000 * this.x.position(x)).toFixed(1)} ${(height * (1 - this.y.position(y))).toFixed(1)}`;
    const grid = this.y.ticks(5).map(tick => svg("path", { class: "grid", d: `M0 ${(height * (1 - this.y.position(tick))).toFixed(1)}h1000` }));
    const lines = this.#series.map(one => {
      const drawn = downsample(one.points, 400).filter(point => Number.isFinite(this.y.position(point[1])));
      const isolated = drawn.length === 1 || one.dots ? drawn.map(point => `M${place(point)}h0`).join("") : "";
      const name = `${one.style ?? "line"} ${colorClass(one.color)}`;
      return [svg("path", { class: name, d: drawn.map((point, index) => (index ? "L" : "M") + place(point)).join("") }),
        isolated && svg("path", { class: `${name} isolated`, d: isolated })];
    });
    return svg("svg", { viewBox: `0 0 1000 ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" }, grid, lines);
  }

  #labels() {
    const { height, unit } = this.options;
    const format = tickFormat(unit, this.y.ticks(5));
    const y = this.y.ticks(5).map(tick => h("i", { class: "y", style: { top: `${height * (1 - this.y.position(tick))}px` } }, format(tick)));
    const x = this.x.isEmpty ? [] : this.x.ticks(5).map(tick => h("i", { class: "x", style: { left: `${100 * this.x.position(tick)}%` } }, count(tick)));
    return [y, x, x.length > 0 && h("i", { class: "x-label" }, "step"), this.#endLabels()];
  }

  /** Names and last values at the right end, moved apart so that none covers another. */
  #endLabels() {
    const { height, unit } = this.options;
    const labels = this.#series.filter(one => one.endLabel).map(one => {
      const last = one.points.at(-1)[1];
      return { one, last, top: height * (1 - Math.min(1, Math.max(0, this.y.position(last)))) };
    }).sort((a, b) => a.top - b.top);
    labels.forEach((label, index) => { if (index > 0) label.top = Math.max(label.top, labels[index - 1].top + 17); });
    labels.reverse().forEach((label, index) => { label.top = Math.min(label.top, index > 0 ? labels[index - 1].top - 17 : height); });
    return labels.map(({ one, last, top }) => h("span", { class: `end ${one.style ?? "line"} ${colorClass(one.color)}`, style: { top: `${top}px` }, "aria-hidden": "true" },
      h("span", {}, one.endLabel), h("b", {}, UNITS[unit](last))));
  }

  #drawLegend(entries) {
    replace(this.legend, entries.map(entry => h("li", { class: `${entry.style ?? ""} ${colorClass(entry.color)}` }, entry.name)));
    this.legend.hidden = entries.length === 0;
  }

  #summary() {
    const { title, label, unit } = this.options;
    const lines = this.#series.filter(one => one.style !== "faint").map(one => `${one.name}: last value ${UNITS[unit](one.points.at(-1)[1])}`);
    return `${title ?? label}. ${lines.length ? lines.join("; ") : this.options.empty}`;
  }

  #point(event) {
    const box = this.frame.getBoundingClientRect();
    this.#show(Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)));
  }

  #key(event) {
    const step = { ArrowLeft: -0.02, ArrowRight: 0.02, Home: -1, End: 1 }[event.key];
    if (event.key === "Escape") this.#clear();
    if (!step) return;
    event.preventDefault();
    this.#show(Math.min(1, Math.max(0, (this.#at ?? 1) + step)));
    this.live.textContent = this.frame.querySelector(".tip")?.innerText ?? "";
  }

  #clear() {
    this.#at = null;
    this.#shown.forEach(element => element.remove());
    this.#shown = [];
  }

  #show(at) {
    const lines = this.#series.filter(one => one.style !== "faint");
    this.#clear();
    if (lines.length === 0) return;
    this.#at = at;
    const wanted = this.x.value(at);
    const found = lines.map(one => [one, nearest(one.points, wanted)]);
    const free = found.filter(([one]) => one.style !== "dashed");
    const x = (free.length ? free : found).map(([, point]) => point[0]).reduce((a, b) => (Math.abs(a - wanted) <= Math.abs(b - wanted) ? a : b));
    const across = this.x.position(x);
    const write = UNITS[this.options.unit];
    const rows = found.map(([one, point]) => h("div", { class: `${colorClass(one.color)} ${one.style ?? "line"}` }, h("span", {}, one.name), h("b", {}, write(point[1]))));
    const side = across > 0.5 ? "right" : "left";
    const tip = h("div", { class: "tip", style: { [side]: `calc(${100 * (across > 0.5 ? 1 - across : across)}% + 12px)` } }, h("small", {}, `step ${count(x)}`), rows);
    const spots = free.map(([one, [px, py]]) => h("div", { class: `spot ${colorClass(one.color)}`, style: { left: `${100 * this.x.position(px)}%`, top: `${100 * (1 - this.y.position(py))}%` } }));
    this.#shown = [h("div", { class: "cross", style: { left: `${100 * across}%` } }), ...spots, tip];
    this.frame.append(...this.#shown);
  }
}

/** Class of a line color: six colors, then the same ones dotted. */
export const colorClass = color => (color === undefined ? "" : `c${color % 6}${color >= 6 ? " repeated" : ""}`);

function tickFormat(unit, ticks) {
  if (unit === "percent") return tick => percent(tick);
  const step = ticks.length > 1 ? Math.abs(ticks[1] - ticks[0]) : 1;
  const places = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return tick => (Math.abs(tick) >= 10000 ? count(tick) : tick.toFixed(places));
}
