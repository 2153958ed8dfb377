// Texts that the model generated at its evaluations, with a slider over the steps.

import { h, replace, uniqueId } from "../components/dom.js";
import { count, percent } from "../components/format.js";

const MAX_SAMPLES = 3;

export class Samples {
  #rows = [];
  #follows = true;

  constructor() {
    const id = uniqueId("samples");
    this.slider = h("input", { type: "range", id, min: "0", max: "0", value: "0", on: { input: () => { this.#follows = this.slider.value === this.slider.max; this.#show(); } } });
    this.step = h("output", { class: "note", for: id });
    this.title = h("h2", {}, "Samples");
    this.list = h("div", {});
    this.note = h("p", { class: "note" });
    this.element = h("section", { hidden: true, "aria-label": "Samples" },
      h("div", { class: "head" }, this.title, this.step), h("label", { for: id, class: "sr" }, "Step of the samples"), this.slider, this.note, this.list);
  }

  /** Shows the samples of a run, under `title`. The slider stays at the end until the reader moves it. */
  draw(rows, title) {
    this.title.textContent = title;
    const found = rows.filter(row => row.kind === "samples" && row.samples?.length > 0);
    this.element.hidden = found.length === 0;
    if (found.length === this.#rows.length && found.at(-1) === this.#rows.at(-1)) return;
    this.#rows = found;
    this.slider.max = String(Math.max(0, found.length - 1));
    this.slider.hidden = found.length < 2;
    if (this.#follows) this.slider.value = this.slider.max;
    this.#show();
  }

  #show() {
    const row = this.#rows[Number(this.slider.value)];
    if (!row) return;
    const accepted = typeof row.accepted === "number" ? ` · ${percent(row.accepted)} of the sentences are well formed` : "";
    this.step.textContent = `step ${count(row.step)}${accepted}`;
    this.slider.setAttribute("aria-valuetext", this.step.textContent);
    const samples = row.samples.slice(0, MAX_SAMPLES);
    const hasRejected = samples.some(sample => sample.marks?.some(mark => !mark.ok));
    replace(this.note, hasRejected && [h("mark", {}, "Underlined"), ": the grammar of the built-in stories cannot produce the sentence."]);
    this.note.hidden = !hasRejected;
    replace(this.list, samples.map(sample => h("blockquote", {}, sample.prompt && h("b", {}, sample.prompt), spans(sample))));
  }
}

/** The text of a sample; ranges that the grammar rejects are marked. Ranges count bytes of UTF-8. */
function spans(sample) {
  const content = new TextEncoder().encode(sample.text ?? "");
  const text = (start, end) => new TextDecoder().decode(content.slice(start, end));
  const parts = [];
  let at = 0;
  for (const mark of [...(sample.marks ?? [])].sort((a, b) => a.start - b.start)) {
    if (mark.start < at || mark.end > content.length) continue;
    parts.push(text(at, mark.start), mark.ok ? text(mark.start, mark.end) : h("mark", {}, text(mark.start, mark.end)));
    at = mark.end;
  }
  return [...parts, text(at, content.length)];
}
