// The loaded models and the one that Generate, Inspect and Compare use. The choice is shared by these pages.

export class ModelStore {
  #listeners = new Set();

  constructor(client) {
    this.client = client;
    this.models = [];
    this.current = null;
    client.on("crashed", () => { this.models = []; this.#set(null); });
  }

  /** Calls `listener` when the list or the current model changes. */
  subscribe(listener) {
    this.#listeners.add(listener);
  }

  /** Loads a checkpoint (`best`, `last` or a step) of a run and makes it current. The model it replaces is unloaded. */
  async load(run, checkpoint) {
    const model = await this.client.call("load", { run, checkpoint });
    return this.#use({ ...model, run, checkpoint });
  }

  /** Makes a model that was opened from files current. */
  async opened(model) {
    return this.#use({ generates: true, infills: false, run: null, checkpoint: null, ...model });
  }

  /** Makes a loaded model current. */
  choose(id) {
    this.#set(this.models.find(model => model.model === id) ?? null);
  }

  /** Unloads the models of a run, after it was deleted. */
  async forget(run) {
    for (const model of this.models.filter(one => one.run === run)) await this.#unload(model);
  }

  async #use(model) {
    const replaced = this.models.filter(one => one.model !== model.model && (one.run !== null || model.run === null));
    this.models = [...this.models.filter(one => one.model !== model.model), model];
    this.#set(model);
    for (const one of replaced) await this.#unload(one).catch(() => {});
    return model;
  }

  async #unload(model) {
    this.models = this.models.filter(one => one !== model);
    if (this.current === model) this.#set(null);
    await this.client.call("unload", { model: model.model });
    this.#listeners.forEach(listener => listener());
  }

  #set(model) {
    this.current = model;
    this.#listeners.forEach(listener => listener());
  }
}
