// The logit lens: the most likely next token after each layer.

import { h, replace } from "../components/dom.js";
import { percent, tokenText } from "../components/format.js";

export class LensView {
  constructor() {
    this.table = h("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Logit lens table" });
    this.element = h("div", { hidden: true }, h("p", { class: "note" },
      "Each cell shows the most likely next token and its probability if the final norm and the output head are applied right after that layer. The stronger the color, the higher the probability."), this.table);
  }

  update(model, text, { tokens, lens }) {
    const head = h("tr", {}, h("th", { scope: "col" }, "input"), tokens.map(token => h("th", { scope: "col", title: tokenText(token.text) }, tokenText(token.text))));
    const rows = [...lens].reverse().map(layer => h("tr", {}, h("th", { scope: "row", title: layer.path }, layer.path), layer.top.map(top =>
      h("td", { style: { "--p": (100 * top.probability).toFixed(0) }, title: `${tokenText(top.text)}, ${percent(top.probability)}` }, h("b", {}, tokenText(top.text)), h("span", {}, percent(top.probability))))));
    replace(this.table, lens.length > 0 ? h("table", { class: "lens" }, h("thead", {}, head), h("tbody", {}, rows)) : h("p", { class: "note" }, "This model has no logit lens: it does not predict tokens."));
  }
}
