// The map of one head with the tokens' names (`figure`), and the tokens as buttons (`list`): a chosen query shows what it
// attends to.

import { h, replace } from "./dom.js";
import { percent, tokenText } from "./format.js";
import { HeatMap } from "./heat-map.js";

export class AttentionMap {
  #tokens = [];
  #weights = new Float32Array();
  #pinned = null;

  constructor({ heading = "h2", maxWidth = 560, minCell = 11 } = {}) {
    this.map = new HeatMap({
      label: "Attention map", hint: "Point at a cell, or move with the arrow keys.", maxWidth, minCell,
      describe: (query, key, weight) => `${this.#name(query)} attends to ${this.#name(key)} with ${percent(weight)}.`,
      onRead: query => this.#mark(query ?? this.#pinned), onChoose: query => this.#pin(query),
    });
    this.title = h(heading, {});
    this.chips = h("div", { class: "chips", role: "group", "aria-label": "Tokens", on: { keydown: event => this.#key(event) } });
    this.strongest = h("p", { class: "note", "aria-live": "polite", style: { "min-height": "3em", "margin-top": "8px" } });
    this.list = h("div", {}, h("p", { class: "note" }, "Choose a token to see what it attends to in this head."), this.chips, this.strongest);
    this.figure = h("div", { class: "figure" }, this.title, this.map.element);
  }

  /** Shows a head: weights row-major, queries by keys. Only self-attention has the same tokens at both sides. */
  show({ title, tokens, weights, queries, keys }) {
    const isNew = tokens !== this.#tokens;
    this.#tokens = tokens;
    this.#weights = weights;
    this.keys = keys;
    this.title.textContent = title;
    const names = tokens.map(token => tokenText(token.text));
    const namesOf = length => (length === names.length ? names : Array.from({ length }, (_, index) => String(index)));
    this.map.canvas.setAttribute("aria-label", `Attention map of ${title}: rows are queries, columns are keys`);
    this.map.update({ values: weights, rows: namesOf(queries), columns: namesOf(keys) });
    if (isNew) this.#drawChips(names);
    this.#mark(this.#pinned);
  }

  #name(index) {
    return this.#tokens[index] ? `“${tokenText(this.#tokens[index].text)}” (${index})` : String(index);
  }

  #drawChips(names) {
    this.#pinned = null;
    replace(this.chips, names.map((name, index) => h("button", { type: "button", class: "chip", "aria-pressed": "false", tabindex: index === 0 ? "0" : "-1", on: {
      click: () => this.#pin(this.#pinned === index ? null : index), pointerenter: () => this.#mark(index), pointerleave: () => this.#mark(this.#pinned), focus: () => this.#mark(index),
    } }, name)));
  }

  #pin(query) {
    this.#pinned = query;
    this.#mark(query);
  }

  #mark(query) {
    const row = query === null ? [] : [...this.#weights.subarray(query * this.keys, (query + 1) * this.keys)];
    [...this.chips.children].forEach((chip, index) => {
      chip.style.setProperty("--p", (50 * Math.sqrt(row[index] ?? 0)).toFixed(0));
      chip.setAttribute("aria-pressed", String(index === query));
    });
    const strongest = row.map((weight, key) => [weight, key]).filter(([weight]) => weight > 0.005).sort((a, b) => b[0] - a[0]).slice(0, 5);
    this.strongest.textContent = query === null ? "" : `${this.#name(query)} attends to ${strongest.map(([weight, key]) => `${this.#name(key)} ${percent(weight)}`).join(", ")}.`;
  }

  #key(event) {
    const chips = [...this.chips.children];
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const next = chips[chips.indexOf(document.activeElement) + step];
    if (event.key === "Escape") this.#pin(null);
    if (!step || !next) return;
    event.preventDefault();
    document.activeElement.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
}
