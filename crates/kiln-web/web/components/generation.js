// One generation at a time: tokens as they come, a stop button, and the speed.

import { plain, plural } from "./format.js";

/** What ended a generation, by the worker's word for it. */
const REASONS = {
  eos: "the model ended the text", stop: "a stop text was reached", tokens: "the maximum of new tokens was reached",
  length: "the context of the model is full", blanks: "all masked tokens are filled in", stopped: "stopped by you",
};

export class Generation {
  #request = null;
  #onToken = null;

  /** `onState` is called when a generation starts and ends. */
  constructor(client, onState) {
    Object.assign(this, { client, onState });
    client.on("token", event => { if (event.request === this.#request?.id) this.#onToken(event.token); });
  }

  get isRunning() {
    return this.#request !== null;
  }

  /** Generates and returns the worker's answer. */
  async run(values, onToken) {
    this.#onToken = onToken;
    this.#request = this.client.request("generate", { alternatives: 5, ...values });
    this.onState();
    try {
      return await this.#request.answer;
    } finally {
      this.#request = null;
      this.onState();
    }
  }

  async stop() {
    if (this.#request) await this.client.call("stop", { request: this.#request.id });
  }
}

/** `38 tokens, 12.4 tokens per second; stopped at the end of the text`. */
export function summary(answer) {
  const reason = REASONS[answer.finish_reason] ?? answer.finish_reason;
  return `${plural(answer.ids.length, "token")}, ${plain(answer.tokens_per_second)} tokens per second${reason ? `; ${reason}` : ""}.`;
}
