// Notices about the whole page: a crash, a second tab, full storage. One of each key at a time.

import { h } from "./dom.js";

export class Notices {
  #shown = new Map();

  constructor(element) {
    this.element = element;
  }

  /** Shows a notice in place of an earlier one with the same key. `actions`: pairs of a label and a function. */
  show(key, text, actions = [], isBad = false) {
    this.hide(key);
    const buttons = actions.map(([label, run]) => h("button", { type: "button", class: "button small", on: { click: run } }, label));
    const close = h("button", { type: "button", class: "button small text", on: { click: () => this.hide(key) } }, "Dismiss");
    const notice = h("div", { class: isBad ? "notice bad" : "notice", data: { key } }, h("span", {}, text), buttons, close);
    this.#shown.set(key, notice);
    this.element.append(notice);
  }

  hide(key) {
    this.#shown.get(key)?.remove();
    this.#shown.delete(key);
  }
}
