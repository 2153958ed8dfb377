// Generated text, token by token: a tint for unlikely tokens, and a panel with the alternatives.

import { h } from "./dom.js";
import { percent, tokenText } from "./format.js";
import { hidePopover, showPopover } from "./popover.js";

/** Strength of the tint in percent: 0 for a certain token, 50 from 7 bits of surprise (less than 1 %) on. */
const tint = probability => Math.min(50, (50 * -Math.log2(Math.max(probability, 1e-9))) / 7);

export class TokenText {
  constructor(label) {
    this.element = h("div", { class: "tokens", role: "group", "aria-label": label, on: {
      keydown: event => this.#key(event), pointerover: event => this.#open(event.target), focusin: event => this.#open(event.target),
      pointerleave: () => hidePopover(), focusout: () => hidePopover(), click: event => this.#open(event.target),
    } });
    this.tokens = new Map();
  }

  clear() {
    this.tokens.clear();
    this.element.replaceChildren();
    hidePopover();
  }

  /** Text that the model did not generate. */
  appendPrompt(text) {
    this.element.append(h("span", { class: "prompt" }, text));
  }

  /** A token of the worker: `{id, text, probability, alternatives}`. One without a probability is plain text. */
  append(token) {
    if (typeof token.probability !== "number") {
      this.element.append(h("span", {}, token.text));
      return;
    }
    const span = h("span", { class: "token", role: "button", tabindex: this.tokens.size === 0 ? "0" : "-1", style: { "--p": tint(token.probability).toFixed(1) },
      "aria-label": `${tokenText(token.text)}, ${percent(token.probability)}` }, token.text);
    this.tokens.set(span, token);
    this.element.append(span);
  }

  #open(target) {
    const token = this.tokens.get(target);
    if (token) showPopover(target, alternativesTable(token));
  }

  #key(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const spans = [...this.tokens.keys()];
    const next = spans[spans.indexOf(document.activeElement) + step];
    if (!step || !next || !this.tokens.has(document.activeElement)) return;
    event.preventDefault();
    document.activeElement.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
}

/** The token and its alternatives by probability. The token is marked, and added if it is not among them. */
function alternativesTable(token) {
  const others = token.alternatives ?? [];
  const rows = others.some(one => one.id === token.id) ? others : [...others, { id: token.id, text: token.text, probability: token.probability }];
  return h("table", {}, h("caption", { class: "sr" }, "Alternatives of the token"), h("tbody", {}, rows.map(one =>
    h("tr", { class: one.id === token.id ? "chosen" : null }, h("td", {}, tokenText(one.text)),
      h("td", { class: "bar-cell" }, h("i", { style: { width: `${100 * one.probability}%` } })), h("td", { class: "n" }, percent(one.probability))))));
}

/** The legend of the tint. */
export function tintLegend() {
  const shades = [[0.9, "90 %"], [0.3, "30 %"], [0.05, "5 %"], [0.01, "≤ 1 %"]];
  return h("span", { class: "shades" }, "Probability of a token:", shades.map(([p, name]) => h("span", {}, h("i", { style: { "--p": tint(p).toFixed(0) } }), name)));
}
