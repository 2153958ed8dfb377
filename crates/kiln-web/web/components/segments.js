// A choice between a few views, as a radio group: arrow keys move, one tab stop.

import { h } from "./dom.js";

export class Segments {
  /** `choices`: pairs of value and label. `onChange` gets the value. */
  constructor(label, choices, onChange) {
    this.value = choices[0][0];
    this.onChange = onChange;
    this.buttons = choices.map(([value, text]) =>
      h("button", { type: "button", role: "radio", data: { value }, on: { click: () => this.choose(value) } }, text));
    this.element = h("div", { class: "segments", role: "radiogroup", "aria-label": label, on: { keydown: event => this.#move(event) } }, this.buttons);
    this.#mark();
  }

  /** Selects a value; tells `onChange` only if it is another one. */
  choose(value) {
    if (value === this.value) return;
    this.value = value;
    this.#mark();
    this.onChange(value);
  }

  #mark() {
    for (const button of this.buttons) {
      const isChosen = button.dataset.value === this.value;
      button.setAttribute("aria-checked", String(isChosen));
      button.tabIndex = isChosen ? 0 : -1;
    }
  }

  #move(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const shown = this.buttons.filter(button => !button.hidden);
    const next = shown[(shown.findIndex(button => button.dataset.value === this.value) + step + shown.length) % shown.length];
    this.choose(next.dataset.value);
    next.focus();
  }
}
