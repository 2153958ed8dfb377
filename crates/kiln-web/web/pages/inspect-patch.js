// Activation patching: one activation of the text is replaced by that of another text.

import { bars } from "../components/bars.js";
import { h, replace, uniqueId } from "../components/dom.js";
import { ErrorNote } from "../components/error-note.js";
import { plain, tokenText } from "../components/format.js";
import { HeatMap } from "../components/heat-map.js";
import { Latest } from "../components/latest.js";

export class PatchView {
  #latest = new Latest();
  #map = null;

  constructor(context) {
    Object.assign(this, { context, error: new ErrorNote() });
    const ids = { source: uniqueId("source"), answer: uniqueId("answer") };
    this.source = h("textarea", { id: ids.source, rows: "2" });
    this.answer = h("input", { id: ids.answer, type: "text", placeholder: "the most likely token after the other text" });
    this.button = h("button", { type: "button", class: "button primary", on: { click: () => this.#compute() } }, "Patch every position");
    this.state = h("span", { class: "note", role: "status" });
    this.heat = new HeatMap({ label: "Effect of patching", isChange: true, minCell: 16, maxWidth: 900, hint: "Point at a cell for its effect; click it, or press Enter, for the distributions.",
      describe: (row, column, value) => `${this.#map.paths[row]} at “${tokenText(this.#map.tokens[column].text)}” (${column}): ${value >= 0 ? "+" : "−"}${plain(Math.abs(value))} nats.`,
      onChoose: (row, column) => this.#patch(row, column) });
    this.caption = h("p", { class: "note" });
    this.detail = h("div", { class: "columns", "aria-live": "polite" });
    this.divergence = h("p", { class: "note" });
    this.result = h("div", { class: "flow", hidden: true }, this.caption, this.heat.element, this.detail, this.divergence);
    this.element = h("div", { class: "flow", hidden: true }, h("p", { class: "note" },
      "The text is run again and again, each time with one activation (a layer at a token) taken from the other text. Where the next token changes, the difference between the texts is represented."),
    h("div", { class: "fields" }, h("div", { class: "full" }, h("label", { for: ids.source }, "Other text, with the same number of tokens"), this.source), h("div", { class: "full" }, h("label", { for: ids.answer }, "Answer token"), this.answer)),
    h("div", { class: "buttons" }, this.button, this.state), this.error.element, this.result);
  }

  update(model, text) {
    this.#latest.cancel();
    Object.assign(this, { model, text });
    if (this.source.value === "") this.source.value = suggestion(text);
    this.result.hidden = true;
    this.error.clear();
  }

  async #compute() {
    this.button.disabled = true;
    this.state.textContent = "Computing…";
    this.detail.replaceChildren();
    this.divergence.textContent = "";
    await this.#latest.run(isCurrent => this.error.guard(async () => {
      const call = { model: this.model.model, text: this.text, source_text: this.source.value };
      const map = await this.context.client.call("patch_map", this.answer.value ? { ...call, answer: this.answer.value } : call);
      if (!isCurrent()) return;
      this.#map = { ...map, call };
      this.result.hidden = false;
      replace(this.caption, "Change of the log-probability of ", h("code", {}, tokenText(map.answer.text)), " as the next token, in nats. Blue: more likely; orange: less likely.");
      this.heat.update({ values: map.values, rows: map.paths, columns: map.tokens.map(token => tokenText(token.text)) });
    }));
    this.button.disabled = false;
    this.state.textContent = "";
  }

  async #patch(row, column) {
    const { paths, tokens, call } = this.#map;
    await this.#latest.run(isCurrent => this.error.guard(async () => {
      const { before, after, kl } = await this.context.client.call("patch", { ...call, path: paths[row], position: column });
      if (!isCurrent()) return;
      const place = `${paths[row]} at “${tokenText(tokens[column].text)}”`;
      replace(this.detail, bars("h2", "Next token before", before, "c0"), bars("h2", `Next token after patching ${place}`, after, "c1"));
      this.divergence.textContent = `KL divergence between the two: ${plain(kl)} nats.`;
    }));
  }
}

/** The text with one word exchanged, as a first other text: usually of as many tokens. */
function suggestion(text) {
  const pairs = [["red", "blue"], ["blue", "red"], ["baker", "farmer"], ["lamp", "book"], ["man", "woman"], ["he", "she"], ["cat", "dog"]];
  const found = pairs.find(([word]) => new RegExp(`\\b${word}\\b`).test(text));
  return found ? text.replace(new RegExp(`\\b${found[0]}\\b`, "g"), found[1]) : text;
}
