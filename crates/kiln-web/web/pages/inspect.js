// The page Inspect: a model and a text; attention maps, logit lens and patching as three views.

import { debounce, h, uniqueId } from "../components/dom.js";
import { ErrorNote } from "../components/error-note.js";
import { plural } from "../components/format.js";
import { Latest } from "../components/latest.js";
import { ModelPicker } from "../components/model-picker.js";
import { Segments } from "../components/segments.js";
import { AttentionView } from "./inspect-attention.js";
import { LensView } from "./inspect-lens.js";
import { PatchView } from "./inspect-patch.js";

/** Fills the page's section. */
export function inspectPage(section, context) {
  const page = new InspectPage(section, context);
  return { shown: () => page.update() };
}

class InspectPage {
  #latest = new Latest();
  #shown = null;

  constructor(section, context) {
    Object.assign(this, { section, context, error: new ErrorNote() });
    const id = uniqueId("text");
    this.text = h("textarea", { id, rows: "2", on: { input: debounce(350, () => this.update()) } });
    this.text.value = "Once upon a time there was a baker. The baker had a red lamp.";
    this.count = h("span", { class: "note", role: "status" });
    this.views = { attention: new AttentionView(context), lens: new LensView(), patch: new PatchView(context) };
    this.tabs = new Segments("View", [["attention", "Attention"], ["lens", "Logit lens"], ["patch", "Patching"]], () => this.#show());
    this.result = h("div", { hidden: true }, h("div", { class: "head" }, this.tabs.element, this.count), Object.values(this.views).map(view => view.element));
    this.hint = h("p", { class: "note" }, "Choose a model above. A run that you trained here works, and so does any model file.");
    section.append(h("div", { class: "flow" }, new ModelPicker(context).element, h("div", {}, h("label", { for: id }, "Text"), this.text, this.error.element), this.hint, this.result));
    context.models.subscribe(() => this.update());
    this.#show();
  }

  /** Inspects the text if the page is shown and the text or the model is new. */
  async update() {
    const { current } = this.context.models;
    this.hint.hidden = current !== null;
    if (!current) this.result.hidden = true;
    if (!current) this.#shown = null;
    const wanted = current && `${current.model} ${this.text.value}`;
    if (!current || this.section.hidden || wanted === this.#shown || this.text.value === "") return;
    this.#shown = wanted;
    await this.#latest.run(isCurrent => this.error.guard(() => this.#inspect(current, this.text.value, isCurrent)));
  }

  async #inspect(model, text, isCurrent) {
    this.count.textContent = "Computing…";
    try {
      const inside = await this.context.client.call("inspect", { model: model.model, text });
      if (!isCurrent()) return;
      this.count.textContent = plural(inside.tokens.length, "token");
      this.result.hidden = false;
      for (const view of Object.values(this.views)) view.update(model, text, inside);
    } catch (error) {
      this.count.textContent = "";
      if (isCurrent()) this.#shown = null;
      if (isCurrent()) throw error;
    }
  }

  #show() {
    for (const [name, view] of Object.entries(this.views)) view.element.hidden = name !== this.tabs.value;
    this.views[this.tabs.value].shown?.();
  }
}
