// Work that is started again while an earlier round still runs: only the last round counts.

export class Latest {
  #turn = 0;

  /** Runs `action(isCurrent)`. `isCurrent()` tells whether no later round has started. */
  async run(action) {
    this.#turn += 1;
    const turn = this.#turn;
    return action(() => turn === this.#turn);
  }

  cancel() {
    this.#turn += 1;
  }
}
