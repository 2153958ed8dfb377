// A chat with a model that has a chat template.

import { h, uniqueId } from "../components/dom.js";
import { Generation, summary } from "../components/generation.js";
import { TokenText, tintLegend } from "../components/token-text.js";

export class Chat {
  #messages = [];

  constructor(context, sampling, error) {
    Object.assign(this, { context, sampling, error });
    this.generation = new Generation(context.client, () => this.draw(context.models.current));
    const ids = { system: uniqueId("system"), message: uniqueId("message") };
    this.system = h("input", { id: ids.system, type: "text", placeholder: "optional" });
    this.message = h("textarea", { id: ids.message, rows: "2", on: { keydown: event => this.#key(event) } });
    this.send = h("button", { type: "button", class: "button primary", on: { click: () => this.#send() } }, "Send");
    this.stop = h("button", { type: "button", class: "button", on: { click: () => this.error.guard(() => this.generation.stop()) } }, "Stop");
    this.restart = h("button", { type: "button", class: "button text", on: { click: () => this.clear() } }, "New chat");
    this.result = h("span", { class: "note", role: "status" });
    this.turns = h("div", { class: "turns", role: "log", "aria-label": "Chat" });
    this.element = h("div", { class: "flow" }, h("div", {}, h("label", { for: ids.system }, "System message"), this.system), this.turns,
      h("div", {}, h("label", { for: ids.message }, "Message (Enter sends, Shift+Enter starts a line)"), this.message),
      h("div", { class: "buttons" }, this.send, this.stop, this.restart, this.result), tintLegend());
  }

  draw(model) {
    const isRunning = this.generation.isRunning;
    this.send.disabled = isRunning || !model?.chat;
    this.stop.hidden = !isRunning;
    this.restart.hidden = isRunning || this.#messages.length === 0;
  }

  clear() {
    if (this.generation.isRunning) this.generation.stop().catch(() => {});
    this.#messages = [];
    this.turns.replaceChildren();
    this.result.textContent = "";
    this.draw(this.context.models.current);
  }

  #key(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.#send();
  }

  async #send() {
    const model = this.context.models.current;
    const content = this.message.value.trim();
    if (this.send.disabled || !model || content === "") return;
    const messages = this.#messages;
    messages.push({ role: "user", content });
    const userTurn = this.turns.appendChild(h("div", { class: "turn user" }, h("small", {}, "you"), content));
    this.message.value = "";
    const tokens = new TokenText("Answer");
    const turn = this.turns.appendChild(h("div", { class: "turn caret" }, h("small", {}, model.name), tokens.element));
    const system = this.system.value.trim() ? [{ role: "system", content: this.system.value.trim() }] : [];
    const answer = await this.error.guard(() => this.generation.run({ model: model.model, messages: [...system, ...messages], options: this.sampling.options() }, token => {
      tokens.append(token);
      turn.scrollIntoView({ block: "nearest" });
    }));
    turn.classList.remove("caret");
    if (answer) messages.push({ role: "assistant", content: answer.text });
    else {
      // The message is given back, so that the reader can send it again.
      messages.pop();
      turn.remove();
      userTurn.remove();
      this.message.value = content;
    }
    this.result.textContent = answer ? summary(answer) : "";
    this.draw(this.context.models.current);
  }
}
