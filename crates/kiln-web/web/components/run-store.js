// The runs of this browser: the worker's list, the metrics of each run, and what is known of the run in progress.

import { oncePerFrame } from "./dom.js";
import { RunColors } from "./run-colors.js";

export class RunStore {
  #listeners = new Set();
  #notify = oncePerFrame(() => this.#listeners.forEach(listener => listener()));
  #colors = new RunColors();

  constructor(client) {
    this.client = client;
    this.runs = [];
    this.metrics = new Map();
    this.progress = null;
    this.active = null;
    this.shown = new Set();
    client.on("run", event => this.#started(event.run));
    client.on("progress", event => { this.progress = event; this.#notify(); });
    client.on("corpus", event => { this.metricsOf(event.run).corpus = event; this.#notify(); });
    client.on("stage", event => { Object.assign(this.metricsOf(event.run), { stage: event, sessionStart: null }); this.progress = null; this.#refreshLater(); });
    client.on("metrics", event => this.#row(event.run, event.row));
    client.on("checkpoint", event => { this.metricsOf(event.run).checkpoint = event; this.#refreshLater(); });
    client.on("crashed", () => { Object.assign(this, { active: null, progress: null }); this.metrics.clear(); this.#notify(); });
  }

  /** Calls `listener` after changes, at most once a frame. */
  subscribe(listener) {
    this.#listeners.add(listener);
  }

  find(run) {
    return this.runs.find(one => one.run === run) ?? null;
  }

  colorOf(run) {
    return this.#colors.of(run, this.runs.map(one => one.run));
  }

  /** Rows, floor and recipe of a run; empty until `loadMetrics`. */
  metricsOf(run) {
    if (!this.metrics.has(run)) this.metrics.set(run, { rows: [], floor: null, toml: null, isLoaded: false, stage: null, corpus: null, checkpoint: null, sessionStart: null });
    return this.metrics.get(run);
  }

  /** Reads the list of saved runs. Newly found runs are drawn if they are few. */
  async refresh() {
    const { runs } = await this.client.call("runs");
    this.runs = runs;
    this.active = runs.find(run => run.running)?.run ?? this.active;
    this.#addRows(this.find(this.active));
    if (this.shown.size === 0) runs.slice(0, 3).forEach(run => this.shown.add(run.run));
    await Promise.all(runs.filter(run => this.shown.has(run.run) && !run.problem).map(run => this.loadMetrics(run.run)));
    this.#notify();
  }

  /** Reads the saved metrics of a run once; later rows come as events. */
  async loadMetrics(run) {
    const known = this.metricsOf(run);
    if (known.isLoaded) return known;
    known.isLoaded = true;
    try {
      const { rows, floor, toml } = await this.client.call("metrics", { run });
      Object.assign(known, { rows: merged(rows, known.rows), floor: floor ?? known.floor, toml });
    } catch (error) {
      known.isLoaded = false;
      throw error;
    }
    this.#notify();
    return known;
  }

  async setShown(run, isShown) {
    if (isShown) this.shown.add(run);
    else this.shown.delete(run);
    this.#notify();
    if (isShown) await this.loadMetrics(run);
  }

  /** Trains a recipe, or resumes a run, until it ends or is paused. */
  async train(call, values) {
    try {
      return await this.client.call(call, values);
    } finally {
      this.active = null;
      this.progress = null;
      await this.#refreshLater();
    }
  }

  async delete(run) {
    await this.client.call("delete", { run });
    this.shown.delete(run);
    this.metrics.delete(run);
    await this.refresh();
  }

  /** Reads the list after an event. An error is left to the call that the reader makes next. */
  #refreshLater() {
    return this.refresh().catch(() => {});
  }

  /** The list knows a running run up to its last checkpoint; the rows know more. */
  #addRows(run) {
    const last = run && this.metricsOf(run.run).rows.findLast(row => row.kind === "step");
    if (last && last.step > run.step) Object.assign(run, { step: last.step, train_loss: last.loss });
  }

  #started(run) {
    this.active = run;
    this.shown.add(run);
    const known = this.metricsOf(run);
    known.sessionStart = null;
    if (known.rows.length === 0) known.isLoaded = true;
    this.#refreshLater();
  }

  #row(run, row) {
    const known = this.metricsOf(run);
    known.rows.push(row);
    if (row.kind === "step" && known.sessionStart === null) known.sessionStart = row;
    if (row.kind === "validation" && typeof row.floor === "number") known.floor = row.floor;
    const listed = this.find(run);
    if (listed && row.kind === "step") Object.assign(listed, { step: row.step, train_loss: row.loss });
    if (listed && row.kind === "validation") listed.validation_loss = row.loss;
    this.#notify();
  }
}

/** Saved rows, then those that came as events while they were read. */
function merged(saved, later) {
  const last = saved.at(-1)?.step ?? -1;
  return [...saved, ...later.filter(row => row.step > last)];
}

/** Speed and remaining time of a run from its last step rows: `{tokensPerSecond, secondsLeft}`, null where unknown. */
export function speedOf(known, steps) {
  const rows = known.rows.filter(row => row.kind === "step").slice(-24);
  const start = known.sessionStart;
  const recent = start ? rows.filter(row => row.step >= start.step) : rows;
  const [first, last] = [recent[0], recent.at(-1)];
  const seconds = last && first ? last.seconds - first.seconds : 0;
  if (!(seconds > 0)) return { tokensPerSecond: null, secondsLeft: null };
  return { tokensPerSecond: (last.tokens - first.tokens) / seconds, secondsLeft: ((steps - last.step) * seconds) / (last.step - first.step) };
}
