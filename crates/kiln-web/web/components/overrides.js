// Assignments on top of a recipe, as `--set PATH=VALUE` of the command: in order, a later one wins.

export class Overrides {
  #entries = new Map();

  /** Assigns a value in TOML. What was assigned at or below the path before is dropped. */
  assign(path, value) {
    this.drop(path);
    this.#entries.set(path, value);
  }

  /** Removes the assignments at and below the path. */
  drop(path) {
    for (const known of [...this.#entries.keys()]) {
      if (known === path || known.startsWith(`${path}.`)) this.#entries.delete(known);
    }
  }

  clear() {
    this.#entries.clear();
  }

  has(path) {
    return [...this.#entries.keys()].some(known => known === path || known.startsWith(`${path}.`));
  }

  /** The list that the worker's calls take. */
  list() {
    return [...this.#entries].map(([path, value]) => `${path}=${value}`);
  }

  paths() {
    return [...this.#entries.keys()];
  }
}
