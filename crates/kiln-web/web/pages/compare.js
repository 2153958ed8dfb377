// The page Compare: one text and one set of weights under several variants of the model, side by side.

import { debounce, h, replace, uniqueId } from "../components/dom.js";
import { ErrorNote } from "../components/error-note.js";
import { ModelPicker } from "../components/model-picker.js";
import { familiesOf } from "../components/variants.js";
import { VariantColumn } from "./compare-variant.js";

const MAX_VARIANTS = 4;
const FIRST = [{}, { position: "alibi" }, { pattern: "window" }];

/** Fills the page's section. */
export function comparePage(section, context) {
  const page = new ComparePage(section, context);
  return { shown: () => page.update() };
}

class ComparePage {
  #base = null;

  constructor(section, context) {
    Object.assign(this, { section, context, columns: [], error: new ErrorNote(), families: {} });
    const ids = { text: uniqueId("text"), layer: uniqueId("layer"), head: uniqueId("head") };
    this.text = h("textarea", { id: ids.text, rows: "2", on: { input: debounce(350, () => this.#inspectAll()) } });
    this.text.value = "Once upon a time there was a baker. The baker had a red lamp.";
    this.layer = h("select", { id: ids.layer, on: { change: () => this.#showHead() } });
    this.head = h("select", { id: ids.head, on: { change: () => this.#showHead() } });
    this.add = h("button", { type: "button", class: "button", on: { click: () => this.#add({}) } }, "Add a variant");
    this.list = h("div", { class: "columns variants" });
    this.controls = h("div", { class: "row", style: { "align-items": "end" } }, h("div", { class: "field" }, h("label", { for: ids.layer }, "Layer"), this.layer), h("div", { class: "field" }, h("label", { for: ids.head }, "Head"), this.head), this.add);
    this.hint = h("p", { class: "note" }, "Choose a model above. Its weights are used wherever they fit the variant; parameters that it has no weights for are initialized anew.");
    this.body = h("div", { class: "flow", hidden: true }, this.controls, this.list);
    section.append(h("div", { class: "flow" }, new ModelPicker(context).element, h("div", {}, h("label", { for: ids.text }, "Text"), this.text), this.hint, this.error.element, this.body));
    context.models.subscribe(() => this.update());
    context.onCatalog.push(catalog => { this.families = familiesOf(catalog); this.update(); });
  }

  /** Starts anew when the page is shown with another model. */
  async update() {
    const { current } = this.context.models;
    this.hint.hidden = current !== null;
    this.body.hidden = current === null;
    if (this.section.hidden || !this.families.position || current?.model === this.#base?.model) return;
    this.#base = current;
    for (const column of this.columns) column.close();
    this.columns = [];
    this.list.replaceChildren();
    this.recipe = null;
    if (!current) return;
    if (current.run) {
      const known = await this.error.guard(() => this.context.runs.loadMetrics(current.run));
      this.recipe = known?.toml ?? null;
    }
    for (const choices of FIRST) this.#add(choices);
  }

  #add(choices) {
    if (this.columns.length >= MAX_VARIANTS) return;
    const color = [0, 1, 2, 3].find(one => this.columns.every(column => column.color !== one));
    const column = new VariantColumn(this, color, choices);
    this.columns.push(column);
    this.list.append(column.element);
    this.add.disabled = this.columns.length >= MAX_VARIANTS;
    column.build();
  }

  /** Removes a column; the last one stays. */
  remove(column) {
    if (this.columns.length < 2) return;
    this.columns = this.columns.filter(other => other !== column);
    column.element.remove();
    column.close();
    this.add.disabled = false;
  }

  /** The model that the variants are made of. */
  get base() {
    return this.#base;
  }

  /** Offers the layers and heads of a column that was inspected. The choice stays if it is still there. */
  offer(attention) {
    if (attention.length === 0) return;
    const layer = attention.find(one => one.layer === this.layer.value) ?? attention[0];
    fillSelect(this.layer, attention.map(one => one.layer), layer.layer);
    fillSelect(this.head, Array.from({ length: layer.heads }, (_, head) => String(head)), this.head.value || "0");
  }

  #showHead() {
    const attention = this.columns.find(column => column.attention?.length > 0)?.attention;
    if (attention) this.offer(attention);
    for (const column of this.columns) column.showHead();
  }

  #inspectAll() {
    for (const column of this.columns) column.inspect();
  }
}

function fillSelect(select, values, chosen) {
  const isSame = select.options.length === values.length && values.every((value, index) => select.options[index].value === value);
  if (!isSame) replace(select, values.map(value => h("option", { value }, value)));
  select.value = values.includes(chosen) ? chosen : values[0];
}
