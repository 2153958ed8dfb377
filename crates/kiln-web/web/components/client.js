// Calls to the worker that holds Kiln. Every call is answered: with a value, or with an error object.

/** An answer of the worker that is an error: `kind`, `message`, `where`, `help`; the last two may be null. */
export class KilnError extends Error {
  constructor({ kind, message, where, help }) {
    super(message);
    Object.assign(this, { kind, where: where ?? null, help: help ?? null });
  }
}

/** Makes an error object of anything that was thrown. */
export function asKilnError(error) {
  return error instanceof KilnError ? error : new KilnError({ kind: "page", message: String(error?.message ?? error) });
}

export class Client {
  #listeners = new Map();
  #open = new Map();
  #lastId = 0;
  #worker = null;

  constructor(address) {
    this.address = address;
  }

  /** Starts the worker, or a new one in place of a crashed one. */
  start() {
    this.#worker?.terminate();
    const worker = new Worker(this.address, { type: "module", name: "kiln" });
    worker.onmessage = message => this.#receive(message.data);
    worker.onerror = event => {
      event.preventDefault();
      this.#crash(event.message || "The program of this page did not load.");
    };
    this.#worker = worker;
  }

  /** Sends a call. Returns its id, with which a generation is stopped, and the promise of its answer. */
  request(call, values = {}, transfer = []) {
    this.#lastId += 1;
    const id = this.#lastId;
    const answer = new Promise((resolve, reject) => this.#open.set(id, { resolve, reject }));
    if (this.#worker) this.#worker.postMessage({ id, call, ...values }, transfer);
    else this.#answer(id, { error: { kind: "crashed", message: "Kiln is not running." } });
    return { id, answer };
  }

  /** Sends a call and returns the promise of its answer. */
  call(name, values, transfer) {
    return this.request(name, values, transfer).answer;
  }

  /** Calls `listener` with each event of this name. Returns a function that ends it. */
  on(event, listener) {
    if (!this.#listeners.has(event)) this.#listeners.set(event, new Set());
    this.#listeners.get(event).add(listener);
    return () => this.#listeners.get(event).delete(listener);
  }

  #receive(message) {
    if (message?.event === "crashed") this.#crash(message.message);
    else if (message?.event) this.#emit(message.event, message);
    else if (message?.id !== undefined) this.#answer(message.id, message);
  }

  #answer(id, message) {
    const call = this.#open.get(id);
    this.#open.delete(id);
    if (message.error) call?.reject(new KilnError(message.error));
    else call?.resolve(message.ok);
  }

  #emit(event, message) {
    for (const listener of this.#listeners.get(event) ?? []) listener(message);
  }

  #crash(message) {
    if (!this.#worker) return;
    this.#worker.terminate();
    this.#worker = null;
    for (const id of [...this.#open.keys()]) this.#answer(id, { error: { kind: "crashed", message } });
    this.#emit("crashed", { message });
  }
}
