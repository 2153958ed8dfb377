// The state of the run in the middle of the page: what it does now, its losses, speed and remaining time.

import { h, replace } from "../components/dom.js";
import { count, duration, loss, percent } from "../components/format.js";
import { speedOf } from "../components/run-store.js";

export class RunFigures {
  constructor(context) {
    this.context = context;
    this.title = h("h2", {});
    this.phase = h("p", { class: "note", role: "status" });
    this.track = h("div", { class: "track", role: "progressbar", "aria-label": "Progress of the run", "aria-valuemin": "0", "aria-valuemax": "100" }, h("i"));
    this.figures = h("ul", { class: "figures" });
    this.buttons = h("div", { class: "buttons" });
    this.element = h("section", { hidden: true, "aria-label": "Current run" }, h("div", { class: "head" }, this.title, this.buttons), this.phase, this.track, this.figures);
  }

  /** Draws a run; null hides the section. `isStarting`: the worker has the call, and no run is known yet. */
  draw(run, isStarting) {
    const { runs } = this.context;
    this.element.hidden = !run && !isStarting;
    if (!run && !isStarting) return;
    const known = run ? runs.metricsOf(run.run) : { rows: [] };
    const isActive = isStarting || (run && runs.active === run.run);
    this.title.textContent = run?.name ?? "New run";
    this.phase.textContent = isActive ? this.#phaseText(run, known) : run.finished ? "Finished." : "Paused.";
    const share = run?.steps > 0 ? Math.min(1, run.step / run.steps) : 0;
    this.track.firstChild.style.width = `${100 * share}%`;
    this.track.setAttribute("aria-valuenow", String(Math.round(100 * share)));
    const speed = run ? speedOf(known, run.steps) : {};
    const floor = known.floor ?? run?.floor;
    const validation = run?.validation_loss;
    const above = typeof floor === "number" && typeof validation === "number" ? `${percent(validation / floor - 1)} above the floor` : "nats per token";
    replace(this.figures, [
      ["Step", `${count(run?.step ?? 0)}`, run ? `of ${count(run.steps)}` : ""],
      ["Training loss", loss(run?.train_loss), "nats per token"],
      ["Validation loss", loss(validation), above],
      typeof floor === "number" && ["Floor", loss(floor), "entropy of the text"],
      ["Speed", count(speed.tokensPerSecond), "tokens per second"],
      isActive && ["Remaining", duration(speed.secondsLeft), "estimated"],
    ].filter(Boolean).map(([name, value, note]) => h("li", {}, h("span", {}, name), h("b", {}, value), h("span", {}, note))));
  }

  #phaseText(run, known) {
    const { progress } = this.context.runs;
    if (progress && (!run || progress.run === run.run)) {
      const amount = progress.total > 0 ? ` (${percent(progress.done / progress.total)})` : "";
      return `${progress.phase[0].toUpperCase()}${progress.phase.slice(1)}${amount}…`;
    }
    const { corpus, stage } = known;
    const text = corpus ? ` on ${count(corpus.tokens)} tokens of ${count(corpus.documents)} documents, vocabulary ${count(corpus.vocab)}` : "";
    return run && stage ? `Training ${count(stage.parameters)} parameters${text}.` : "Starting…";
  }
}
