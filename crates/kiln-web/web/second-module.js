// The second WebAssembly module of a build: the functions that a normal session does not call (docs/web.md). tools/web/split.mjs
// writes it, and the lines of kiln.js that use this file.
//
// The first module calls these functions through its table. Until the second module is there, their entries are placeholders:
// JavaScript functions that load it and then call the entry that it has put in their place.

/** Namespaces of imports: what both modules use, and the placeholders, whose names are indices of the table. */
export const SHARED = 'p';
export const PLACEHOLDERS = 'h';

/** The export of the first module that is its table of functions. */
const TABLE = '%table';
/** Milliseconds that a call waits for the download. */
const TIMEOUT = 120_000;

export class SecondModule {
  #address;
  #first;
  #failed = () => {};
  #isLoaded = false;
  #bytes = null;

  /** `first` returns the exports of the first module. */
  constructor(address, first) {
    this.#address = address;
    this.#first = first;
  }

  /** The imports of the first module: those of wasm-bindgen and the placeholders. */
  addPlaceholders(imports) {
    const placeholder = (_, index) => (...values) => this.#call(Number(index), values);
    return { ...imports, [PLACEHOLDERS]: new Proxy({}, { get: placeholder }) };
  }

  /**
   * Loads the module in the background and returns whether it is loaded. If it is not, a call of one of its functions loads it;
   * if that fails too, `failed` gets a sentence.
   */
  async load(failed) {
    this.#failed = failed;
    if (this.#isLoaded) return true;
    try {
      const response = await fetch(this.#address);
      if (response.ok) await this.#compile(await response.arrayBuffer());
    } catch {
      this.#bytes = null;
    }
    return this.#isLoaded;
  }

  async #compile(bytes) {
    if (this.#isLoaded) return;
    this.#bytes = bytes;
    const module = await WebAssembly.compile(bytes);
    if (!this.#isLoaded) this.#start(module);
  }

  #call(index, values) {
    if (!this.#isLoaded) this.#loadNow();
    return this.#first()[TABLE].get(index)(...values);
  }

  #loadNow() {
    console.info(`${this.#address} is loaded by a call`);
    try {
      this.#bytes ??= this.#read();
      this.#start(new WebAssembly.Module(this.#bytes));
    } catch (error) {
      const message = `the second module of the program (${this.#address}) could not be loaded: ${error.message}`;
      this.#failed(message);
      throw new Error(message);
    }
  }

  /** Downloads while the worker waits: the call of a placeholder cannot be answered later. */
  #read() {
    const request = new XMLHttpRequest();
    // Chromium lets a second request of the same address wait up to 20 s for the first, which makes no progress while the worker
    // waits.
    request.open('GET', `${this.#address}?now`, false);
    request.responseType = 'arraybuffer';
    request.timeout = TIMEOUT;
    request.send();
    if (request.status !== 200) throw new Error(`the server answered with status ${request.status}`);
    return request.response;
  }

  #start(module) {
    new WebAssembly.Instance(module, { [SHARED]: this.#first() });
    this.#isLoaded = true;
    this.#bytes = null;
  }
}
