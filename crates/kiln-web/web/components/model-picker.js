// The choice of a model: a checkpoint of a saved run, or a model that was opened from files.

import { h, replace } from "./dom.js";
import { ErrorNote } from "./error-note.js";
import { bytes, count, plural } from "./format.js";

export class ModelPicker {
  constructor(context) {
    this.context = context;
    this.select = h("select", { "aria-label": "Model", on: { change: () => this.#choose() } });
    this.facts = h("span", { class: "note" });
    this.error = new ErrorNote();
    this.element = h("div", {},
      h("div", { class: "row" }, h("div", { class: "grow", style: { "max-width": "420px" } }, this.select),
        context.files.button("Open a file", { accept: ".zip,.gguf,.safetensors,.json" }), context.files.button("Open a folder", { folder: true }), this.facts),
      this.error.element);
    context.models.subscribe(() => this.#draw());
    context.runs.subscribe(() => this.#draw());
    context.files.subscribe(() => this.#draw());
    this.#draw();
  }

  #draw() {
    const { models, runs, files } = this.context;
    const { current } = models;
    const opened = models.models.filter(model => model.run === null);
    const trained = runs.runs.filter(run => run.step > 0 || run.finished);
    const chosen = current === null ? "" : current.run === null ? `model ${current.model}` : `${current.checkpoint} ${current.run}`;
    const signature = JSON.stringify([chosen, opened.map(model => model.model), trained.map(run => run.run), this.isLoading]);
    if (signature !== this.signature) {
      this.signature = signature;
      replace(this.select,
        h("option", { value: "" }, trained.length + opened.length > 0 ? "Choose a model" : "No model yet: train one, or open a file"),
        opened.length > 0 && h("optgroup", { label: "Opened" }, opened.map(model => h("option", { value: `model ${model.model}` }, model.name))),
        trained.map(run => h("optgroup", { label: run.name }, ["best", "last"].map(checkpoint =>
          h("option", { value: `${checkpoint} ${run.run}` }, `${run.name}, ${checkpoint} checkpoint`)))));
      this.select.value = chosen;
    }
    this.select.disabled = this.isLoading || files.isBusy;
    this.facts.textContent = files.isBusy ? "Reading the file…" : this.isLoading ? "Loading the model…" : current ? describe(current) : "";
  }

  async #choose() {
    const [checkpoint, ...rest] = this.select.value.split(" ");
    const name = rest.join(" ");
    this.isLoading = true;
    this.#draw();
    await this.error.guard(async () => {
      if (checkpoint === "model") this.context.models.choose(name);
      else if (checkpoint) await this.context.models.load(name, checkpoint);
      else this.context.models.choose(null);
    });
    this.isLoading = false;
    this.signature = null;
    this.#draw();
  }
}

function describe(model) {
  const parts = [`${count(model.parameters)} parameters`, model.family, model.bytes && bytes(model.bytes), model.step !== undefined && plural(model.step, "step")];
  return parts.filter(Boolean).join(" · ");
}
