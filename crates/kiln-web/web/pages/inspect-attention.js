// Attention maps of all layers and heads, small; the chosen one is enlarged.

import { AttentionMap } from "../components/attention-map.js";
import { h, replace } from "../components/dom.js";
import { ErrorNote } from "../components/error-note.js";
import { percent } from "../components/format.js";
import { Latest } from "../components/latest.js";
import { drawPixels, mapColors, weightColor } from "../components/map-colors.js";

export class AttentionView {
  #latest = new Latest();
  #heads = [];
  #chosen = null;

  constructor(context) {
    this.context = context;
    this.large = new AttentionMap();
    this.grid = h("div", { class: "heads", on: { keydown: event => this.#key(event) } });
    this.error = new ErrorNote();
    this.none = h("p", { class: "note", hidden: true }, "This model has no attention weights: none of its layers is an attention with a map.");
    this.body = h("div", { class: "enlarged" }, this.large.figure, h("div", { class: "flow" }, this.large.list, h("div", {}, h("h2", {}, "All heads"),
      h("p", { class: "note" }, "Rows are queries, columns are keys. Below each map: where most of the attention goes."), this.grid)));
    this.element = h("div", { class: "flow" }, this.error.element, this.none, this.body);
    document.addEventListener("kiln-theme", () => this.#heads.forEach(head => this.#paint(head)));
  }

  /** Shows the maps of a text. The chosen head stays chosen. */
  update(model, text, { tokens, attention }) {
    this.none.hidden = attention.length > 0;
    this.body.hidden = attention.length === 0;
    this.#heads = attention.flatMap(layer => Array.from({ length: layer.heads }, (_, head) => ({ ...layer, head, name: `${layer.layer}, head ${head}`, model, text, tokens, weights: null })));
    replace(this.grid, attention.map(layer => h("div", {}, h("h3", {}, layer.layer), h("div", { class: "strip" }, this.#heads.filter(head => head.layer === layer.layer).map(head => this.#thumb(head))))));
    const kept = this.#heads.find(head => head.name === this.#chosen) ?? this.#heads[0];
    if (kept) this.#choose(kept);
    this.#latest.run(isCurrent => this.error.guard(() => this.#load(isCurrent)));
  }

  async #load(isCurrent) {
    for (const head of this.#heads) {
      if (!isCurrent()) return;
      await this.#weights(head);
      if (isCurrent()) this.#paint(head);
    }
  }

  async #weights(head) {
    head.loading ??= this.context.client.call("attention", { model: head.model.model, text: head.text, layer: head.layer, head: head.head });
    head.weights = (await head.loading).weights;
    return head.weights;
  }

  #thumb(head) {
    head.canvas = h("canvas", { width: "8", height: "8", "aria-hidden": "true" });
    head.caption = h("span", {}, String(head.head));
    head.button = h("button", { type: "button", class: "thumb", "aria-pressed": "false", on: { click: () => this.#choose(head) } }, head.canvas, h("span", { class: "sr" }, `${head.layer}, head `), head.caption);
    return head.button;
  }

  #paint(head) {
    if (!head.weights) return;
    const colors = mapColors();
    drawPixels(head.canvas, head.weights, head.queries, head.keys, weight => weightColor(weight, colors));
    head.caption.textContent = `${head.head} · ${mainShare(head)}`;
  }

  async #choose(head) {
    this.#chosen = head.name;
    for (const other of this.#heads) other.button.setAttribute("aria-pressed", String(other === head));
    await this.error.guard(async () => {
      const weights = await this.#weights(head);
      if (this.#chosen === head.name) this.large.show({ title: head.name, tokens: head.tokens, weights, queries: head.queries, keys: head.keys });
    });
  }

  /** Arrow keys move between the maps: left and right in a layer, up and down between layers. */
  #key(event) {
    const at = this.#heads.findIndex(head => head.button === document.activeElement);
    const head = this.#heads[at];
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: head?.heads, ArrowUp: -head?.heads }[event.key];
    const next = this.#heads[at + step];
    if (!step || !next) return;
    event.preventDefault();
    next.button.focus();
    this.#choose(next);
  }
}

/** Where most attention goes on average: to the token itself, the previous token or the first one. */
function mainShare({ weights, queries, keys }) {
  if (queries !== keys) return "cross";
  const mean = column => {
    const rows = Array.from({ length: queries }, (_, query) => query).filter(query => column(query) >= 0 && query > 0);
    return rows.reduce((sum, query) => sum + weights[query * keys + column(query)], 0) / Math.max(1, rows.length);
  };
  const shares = [["self", mean(query => query)], ["previous", mean(query => query - 1)], ["first", mean(() => 0)]];
  const [name, share] = shares.reduce((a, b) => (b[1] > a[1] ? b : a));
  return `${name} ${percent(share)}`;
}
