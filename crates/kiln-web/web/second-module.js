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

export class SecondModule {
  #address;
  #first;
  #failed = () => {};
  #isLoaded = false;
  #bytes = null;
  #download = new AbortController();

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
   * Loads the module in the background. If this fails, it is loaded when one of its functions is called; if that fails too,
   * `failed` gets a sentence.
   */
  async load(failed) {
    this.#failed = failed;
    if (this.#isLoaded) return;
    try {
      const response = await fetch(this.#address, { signal: this.#download.signal });
      if (!response.ok) return;
      this.#bytes = await response.arrayBuffer();
      const module = await WebAssembly.compile(this.#bytes);
      if (!this.#isLoaded) this.#start(module);
    } catch {
      this.#bytes = null;
    }
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
      const message = `the second part of the program (${this.#address}) could not be loaded: ${error.message}`;
      this.#failed(message);
      throw new Error(message);
    }
  }

  /** Downloads while the worker waits: the call of a placeholder cannot be answered later. */
  #read() {
    // A download that nobody reads could hold up the second one.
    this.#download.abort();
    const request = new XMLHttpRequest();
    request.open('GET', this.#address, false);
    request.responseType = 'arraybuffer';
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
