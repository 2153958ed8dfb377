// The saved runs: which are drawn, how far each is, and what can be done with it.

import { h, replace } from "../components/dom.js";
import { bytes, count, loss } from "../components/format.js";
import { saveFile } from "../components/files.js";
import { colorClass } from "../components/line-chart.js";

export class RunTable {
  /** `actions`: show(run), pause(run), resume(run), use(run). `error` is an `ErrorNote`. */
  constructor(context, actions, error) {
    Object.assign(this, { context, actions, error });
    this.body = h("tbody");
    this.confirming = null;
    this.open = h("div", { class: "buttons", hidden: true }, context.files.button("Open a run (.zip)", { accept: ".zip" }));
    this.table = h("div", { class: "wide" }, h("table", { class: "runs" }, h("thead", {}, h("tr", {}, ["Run", "Step", "Training", "Validation", "Size", ""].map((name, index) =>
      h("th", { class: index > 1 && index < 5 ? "n" : null, scope: "col" }, name || h("span", { class: "sr" }, "Actions"))))), this.body));
    this.empty = h("p", { class: "note" }, "No run is saved in this browser yet.");
    this.element = h("section", { "aria-label": "Saved runs" },
      h("div", { class: "head" }, h("h2", {}, "Runs"), this.open),
      this.table, this.empty);
    context.runs.subscribe(() => this.draw());
    this.draw();
  }

  draw() {
    const { runs } = this.context.runs;
    this.open.hidden = !this.context.hasZips;
    this.table.hidden = runs.length === 0;
    this.empty.hidden = runs.length > 0;
    const signature = JSON.stringify([runs, [...this.context.runs.shown], this.confirming, this.context.runs.active, this.context.hasZips]);
    if (signature === this.signature) return;
    this.signature = signature;
    const focused = document.activeElement?.dataset?.action;
    replace(this.body, runs.map(run => this.#row(run)));
    if (focused && !this.element.contains(document.activeElement)) this.body.querySelector(`[data-action="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }

  #row(run) {
    const { runs } = this.context;
    const color = colorClass(runs.colorOf(run.run));
    const box = h("input", { type: "checkbox", checked: runs.shown.has(run.run), "aria-label": `Draw ${run.name}`, data: { action: `draw ${run.run}` }, on: { change: () => this.error.guard(() => runs.setShown(run.run, box.checked)) } });
    const share = run.steps > 0 ? Math.min(1, run.step / run.steps) : 0;
    return h("tr", { class: color, data: { run: run.run } },
      h("td", {}, h("div", { class: "name" }, box, h("span", { class: "swatch" }), h("button", { type: "button", title: `Show ${run.name} above`, data: { action: `show ${run.run}` }, on: { click: () => this.actions.show(run.run) } },
        h("b", {}, run.name), h("small", {}, [run.objective, stateOf(run, runs.active)].filter(Boolean).join(" · "))))),
      h("td", { class: "progress", data: { label: "Step" } }, `${count(run.step)} of ${count(run.steps)}`, h("div", { class: "track" }, h("i", { style: { width: `${100 * share}%` } }))),
      h("td", { class: "n", data: { label: "Training loss" } }, loss(run.train_loss)),
      h("td", { class: "n", data: { label: "Validation loss" } }, loss(run.validation_loss)),
      h("td", { class: "n", data: { label: "Size" } }, bytes(run.bytes)),
      h("td", {}, h("div", { class: "buttons" }, this.confirming === run.run ? this.#confirm(run) : this.#buttons(run))));
  }

  #buttons(run) {
    const isActive = run.running || this.context.runs.active === run.run;
    const isIdle = this.context.runs.active === null;
    return [
      isActive && this.#button(run, "Pause", () => this.actions.pause(run.run)),
      !isActive && !run.finished && !run.problem && this.#button(run, "Resume", () => this.actions.resume(run.run), !isIdle),
      run.step > 0 && this.#button(run, "Generate", () => this.actions.use(run.run)),
      this.context.hasZips && this.#button(run, "Download", () => this.#download(run.run), isActive),
      this.#button(run, "Delete", () => { this.confirming = run.run; this.draw(); }, isActive),
    ];
  }

  #confirm(run) {
    return [h("span", { class: "note" }, "Delete it for good?"),
      this.#button(run, "Delete", () => { this.confirming = null; return this.#delete(run.run); }, false, "bad"),
      this.#button(run, "Keep", () => { this.confirming = null; this.draw(); })];
  }

  #button(run, label, act, isDisabled = false, style = "") {
    return h("button", { type: "button", class: `button small ${style}`, "aria-label": `${label} ${run.name}`, disabled: isDisabled, data: { action: `${label} ${run.run}` }, on: { click: () => this.error.guard(act) } }, label);
  }

  async #download(run) {
    const { name, bytes: content } = await this.context.client.call("download", { run });
    saveFile(name, content);
  }

  async #delete(run) {
    await this.context.models.forget(run);
    await this.context.runs.delete(run);
  }
}

function stateOf(run, active) {
  if (run.problem) return run.problem;
  if (run.running || active === run.run) return "training";
  if (run.finished) return "finished";
  return run.step > 0 ? "paused" : "not started";
}
