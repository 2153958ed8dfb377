// A next-token distribution as bars.

import { h } from "./dom.js";
import { percent, tokenText } from "./format.js";

/** A list of `{text, probability}` below a heading (`h2`, `h3`). `color`: class of the bars. */
export function bars(heading, title, tokens, color) {
  return h("div", {}, h(heading, { class: "bars-title" }, title), h("dl", { class: `bars ${color}` }, tokens.map(token => [
    h("dt", {}, tokenText(token.text)), h("dd", { class: "bar-line" }, h("i", { style: { width: `${100 * token.probability}%` } })), h("dd", { class: "n" }, percent(token.probability)),
  ])));
}
