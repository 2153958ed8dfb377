// The sampling controls. An empty field leaves the choice to the model's own settings.

import { h, uniqueId } from "./dom.js";

const FIELDS = [
  ["max_new_tokens", "Max new tokens", "200", { min: 1, step: 1 }],
  ["temperature", "Temperature", "0.8", { min: 0, step: 0.05 }],
  ["top_k", "Top-k", "", { min: 1, step: 1 }],
  ["top_p", "Top-p", "", { min: 0, max: 1, step: 0.01 }],
  ["min_p", "Min-p", "", { min: 0, max: 1, step: 0.01 }],
  ["repetition_penalty", "Repetition penalty", "", { min: 0, step: 0.05 }],
  ["seed", "Seed", "0", { min: 0, step: 1 }],
];

export class SamplingForm {
  constructor() {
    this.inputs = new Map();
    this.element = h("fieldset", { class: "fields" }, h("legend", { class: "sr" }, "Sampling"), FIELDS.map(([key, label, value, limits]) => {
      const id = uniqueId("sampling");
      const input = h("input", { id, type: "number", value, inputmode: "decimal", placeholder: value === "" ? "off" : null, ...limits });
      this.inputs.set(key, input);
      return h("div", { class: "field" }, h("label", { for: id }, label), input);
    }));
  }

  /** The options of the call `generate`. */
  options() {
    const given = [...this.inputs].filter(([, input]) => input.value.trim() !== "" && Number.isFinite(input.valueAsNumber));
    return Object.fromEntries(given.map(([key, input]) => [key, input.valueAsNumber]));
  }
}
