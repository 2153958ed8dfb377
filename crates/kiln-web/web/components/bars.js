// A next-token distribution as bars.

import { h } from "./dom.js";
import { percent, tokenText } from "./format.js";

/** A list of `{text, probability}` with a title. `color`: class of the bars. */
export function bars(title, tokens, color = "c0") {
  return h("div", {}, h("h3", {}, title), h("dl", { class: `bars ${color}` }, tokens.map(token => [
    h("dt", {}, tokenText(token.text)), h("dd", { class: "bar-line" }, h("i", { style: { width: `${100 * token.probability}%` } })), h("dd", { class: "n" }, percent(token.probability)),
  ])));
}
