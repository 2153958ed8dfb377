// An error of the worker as sentences in the place where it happened.

import { asKilnError } from "./client.js";
import { h, replace } from "./dom.js";

/** A text of the worker as a sentence: a capital at the start, unless it starts with a name, and a full stop. */
export function asSentence(text) {
  const start = /^[a-z][a-z']* /.test(text) ? text[0].toUpperCase() + text.slice(1) : text;
  return /[.!?…]$/.test(start) ? start : `${start}.`;
}

/** A text with `code` between grave accents, as nodes. */
const withCode = text => text.split(/`([^`\n]*)`/).map((part, index) => (index % 2 === 1 ? h("code", {}, part) : part));

export class ErrorNote {
  constructor() {
    this.element = h("div", { class: "error", role: "alert" });
  }

  /** Shows an error: what is wrong, where, and what to do. `crashed` is shown by the notice with the restart instead. */
  show(thrown) {
    const error = asKilnError(thrown);
    if (error.kind === "crashed") return this.clear();
    replace(this.element,
      error.where && h("p", { class: "where" }, error.where),
      h("p", { class: "what" }, withCode(asSentence(error.message))),
      error.help && h("p", {}, withCode(asSentence(error.help))));
  }

  clear() {
    this.element.replaceChildren();
  }

  /** Runs an asynchronous action; an error is shown here and the result is then `undefined`. */
  async guard(action) {
    this.clear();
    try {
      return await action();
    } catch (error) {
      this.show(error);
      return undefined;
    }
  }
}
