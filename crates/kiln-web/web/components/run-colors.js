// A color for each run that stays the same over reloads: the lowest number that no other saved run has.

const KEY = "kiln.run-colors";

export class RunColors {
  #numbers = read();

  /** Number of the color of `run`, given the names of all runs. */
  of(run, runs) {
    if (!(run in this.#numbers)) {
      const kept = Object.fromEntries(Object.entries(this.#numbers).filter(([name]) => runs.includes(name)));
      const used = new Set(Object.values(kept));
      let number = 0;
      while (used.has(number)) number += 1;
      this.#numbers = { ...kept, [run]: number };
      write(this.#numbers);
    }
    return this.#numbers[run];
  }
}

function read() {
  try {
    const saved = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    const numbers = Object.entries(saved ?? {}).filter(([, number]) => Number.isInteger(number) && number >= 0);
    return Object.fromEntries(numbers);
  } catch {
    return {};
  }
}

function write(numbers) {
  try {
    localStorage.setItem(KEY, JSON.stringify(numbers));
  } catch { /* storage is blocked or full: the colors last until the page is closed */ }
}
