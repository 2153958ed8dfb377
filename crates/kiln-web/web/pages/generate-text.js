// Continuing a prompt.

import { h, uniqueId } from "../components/dom.js";
import { Generation, summary } from "../components/generation.js";
import { TokenText, tintLegend } from "../components/token-text.js";

export class Completion {
  constructor(context, sampling, error) {
    Object.assign(this, { context, sampling, error });
    this.generation = new Generation(context.client, () => this.draw(context.models.current));
    const id = uniqueId("prompt");
    this.prompt = h("textarea", { id, rows: "3", on: { keydown: event => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#generate(); } } });
    this.prompt.value = "Once upon a time";
    this.tokens = new TokenText("Generated text");
    this.button = h("button", { type: "button", class: "button primary", on: { click: () => this.#generate() } }, "Generate");
    this.stop = h("button", { type: "button", class: "button", on: { click: () => this.error.guard(() => this.generation.stop()) } }, "Stop");
    this.result = h("span", { class: "note", role: "status" });
    this.output = h("div", { class: "output" }, this.tokens.element);
    this.element = h("div", { class: "flow" }, h("div", {}, h("label", { for: id }, "Prompt"), this.prompt),
      h("div", { class: "buttons" }, this.button, this.stop, this.result), h("div", {}, this.output, h("div", { style: { "margin-top": "8px" } }, tintLegend())));
  }

  draw(model) {
    const isRunning = this.generation.isRunning;
    this.button.disabled = isRunning || !model || !(model.generates || model.infills);
    this.stop.hidden = !isRunning;
    this.output.classList.toggle("caret", isRunning);
  }

  clear() {
    this.tokens.clear();
    this.result.textContent = "";
  }

  /** A model that fills in gaps answers with the whole text at once. */
  #showWhole(text) {
    this.tokens.clear();
    this.tokens.append({ text });
  }

  async #generate() {
    const model = this.context.models.current;
    if (this.button.disabled || !model) return;
    this.clear();
    this.tokens.appendPrompt(this.prompt.value);
    this.result.textContent = "Reading the prompt…";
    let count = 0;
    const answer = await this.error.guard(() => this.generation.run({ model: model.model, prompt: this.prompt.value, options: this.sampling.options() }, token => {
      count += 1;
      this.tokens.append(token);
      this.result.textContent = "";
    }));
    if (answer && count === 0) this.#showWhole(answer.text);
    this.result.textContent = answer ? summary(answer) : "";
  }
}
