// The form of a recipe's main choices. A change becomes assignments; a refusal is shown below the field it is about.

import { h, replace, uniqueId } from "./dom.js";
import { startOf } from "./variant-start.js";

export class RecipeForm {
  #fields = new Map();
  #lastChanged = null;

  /** `onChange` is called after the overrides changed. */
  constructor(overrides, onChange) {
    Object.assign(this, { overrides, onChange });
    this.element = h("div", { class: "panel" });
  }

  /** Draws groups of fields. The field that has the focus keeps it. */
  draw(groups) {
    const focused = document.activeElement?.dataset?.field;
    this.#fields.clear();
    replace(this.element, groups.map(group => h("fieldset", {}, h("legend", {}, group.title), h("div", { class: "fields" }, group.fields.map(field => this.#field(field))))));
    if (focused) this.element.querySelector(`[data-field="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }

  /** The element below which an error belongs: the field of its path, else the field that was changed last. */
  placeOf(where) {
    const isNear = path => where && (where.includes(plainPath(path)) || plainPath(path).startsWith(where));
    const found = [...this.#fields.values()].find(({ field }) => field.paths.some(isNear) && this.overrides.has(field.paths[0]));
    return found?.element ?? this.#fields.get(this.#lastChanged)?.element ?? null;
  }

  #field(field) {
    const id = uniqueId("field");
    const isChanged = field.paths.some(path => this.overrides.has(path));
    const control = field.kind === "choice" ? this.#select(field, id) : this.#number(field, id);
    const element = h("div", { class: `field${isChanged ? " changed" : ""}`, title: isChanged ? "Changed from the recipe" : null },
      h("label", { for: id }, field.label), control, field.kind === "choice" && this.#details(field, isChanged));
    this.#fields.set(field.key, { field, element });
    return element;
  }

  #select(field, id) {
    const options = field.variants.map(variant => h("option", { value: variant.name }, variant.name));
    const isKnown = field.variants.some(variant => variant.name === field.name);
    const select = h("select", { id, data: { field: field.key }, on: { change: () => this.#choose(field, select.value) } },
      !isKnown && h("option", { value: field.name }, field.name), options);
    select.value = field.name;
    return select;
  }

  #number(field, id) {
    const input = h("input", { id, type: "number", min: field.min, step: field.step === 1 ? 1 : "any", value: String(field.value), data: { field: field.key }, inputmode: "decimal", on: {
      change: () => { if (input.value.trim() !== "" && Number.isFinite(input.valueAsNumber)) this.#assign(field, field.paths, input.value); },
    } });
    return input;
  }

  /** The numbers of the chosen variant, and what its card says if the reader chose it. */
  #details(field, isChanged) {
    const variant = field.variants.find(one => one.name === field.name);
    const inputs = Object.entries(field.options).map(([key, value]) => {
      const paths = field.paths.map(path => `${path}.${field.name}.${key}`);
      const input = h("input", { type: "number", step: "any", value: String(value), data: { field: `${field.key}.${key}` }, on: {
        change: () => { if (Number.isFinite(input.valueAsNumber)) this.#assign(field, paths, input.value); },
      } });
      return h("label", {}, key, input);
    });
    const card = [variant?.description?.split("\n")[0], variant?.causal === "only" && "causal only", variant?.causal === "never" && "bidirectional only", variant?.time && variant.time !== "0" && `time ${variant.time}`,
      variant?.refuses && `cannot be combined with ${variant.refuses}`].filter(Boolean).join("; ");
    return [inputs.length > 0 && h("div", { class: "options" }, inputs), isChanged && card && h("p", { class: "note" }, card)];
  }

  #choose(field, name) {
    const variant = field.variants.find(one => one.name === name);
    if (variant) this.#assign(field, field.paths, startOf(field.family, variant, field.heads));
  }

  #assign(field, paths, value) {
    this.#lastChanged = field.key;
    for (const path of paths) this.overrides.assign(path, value);
    this.onChange();
  }
}

/** A path without `*`, as errors write it for the first item. */
const plainPath = path => path.replace(".*.", ".0.");

