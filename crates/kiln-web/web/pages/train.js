// The page Train: the recipe at the left; the current run, its curves, its samples and all saved runs at the right.

import { h, replace } from "../components/dom.js";
import { ErrorNote } from "../components/error-note.js";
import { AccuracyCurves, LossCurves } from "./train-curves.js";
import { RunFigures } from "./train-figures.js";
import { ideas } from "./train-ideas.js";
import { RecipePanel } from "./train-recipe.js";
import { RunTable } from "./train-runs.js";
import { Samples } from "./train-samples.js";

/** Fills the page's section. */
export function trainPage(section, context) {
  const page = new TrainPage(section, context);
  return { shown: () => page.draw() };
}

class TrainPage {
  constructor(section, context) {
    this.context = context;
    this.section = section;
    this.isStarting = false;
    this.pausing = null;
    this.error = new ErrorNote();
    this.recipe = new RecipePanel(context, values => this.#train("train", values));
    this.figures = new RunFigures(context);
    this.curves = new LossCurves(context);
    this.accuracy = new AccuracyCurves(context);
    this.samples = new Samples();
    this.ideas = ideas((recipe, assignments) => this.#take(recipe, assignments));
    this.table = new RunTable(context, { show: run => this.#showRun(run), pause: run => this.#pause(run), resume: run => this.#train("resume", { run }), use: run => this.#use(run) }, this.error);
    this.results = h("div", { class: "results" }, this.error.element, this.figures.element, this.ideas, this.curves.element, this.accuracy.element, this.samples.element, this.table.element);
    section.append(h("div", { class: "split" }, this.recipe.element, this.results));
    context.runs.subscribe(() => this.draw());
    this.draw();
  }

  draw() {
    if (this.section.hidden) return;
    const { runs } = this.context;
    const run = this.#current();
    const isActive = this.isStarting || runs.active !== null;
    this.figures.draw(run, this.isStarting && !runs.active);
    this.#drawButtons(run);
    this.ideas.hidden = runs.runs.length > 0 || isActive;
    this.curves.element.hidden = runs.runs.length === 0 && !isActive;
    this.curves.draw();
    this.accuracy.draw(run);
    this.samples.draw(run ? runs.metricsOf(run.run).rows : [], run && runs.runs.length > 1 ? `Samples of ${run.name}` : "Samples");
    this.recipe.allowStart(!isActive && this.context.catalog !== null);
  }

  /** The run that the reader chose, else the one that trains, else the first that is drawn. */
  #current() {
    const { runs } = this.context;
    if (this.isStarting && runs.active === null) return null;
    return runs.find(this.last) ?? runs.find(runs.active) ?? runs.runs.find(run => runs.shown.has(run.run)) ?? null;
  }

  #drawButtons(run) {
    const isActive = run && this.context.runs.active === run.run;
    const signature = `${run?.run} ${isActive} ${run?.finished} ${this.pausing} ${this.context.runs.active}`;
    if (signature === this.signature) return;
    this.signature = signature;
    const button = (label, act, isDisabled, style = "") => h("button", { type: "button", class: `button ${style}`, disabled: isDisabled, on: { click: act } }, label);
    replace(this.figures.buttons,
      isActive && button(this.pausing ? "Saving…" : "Pause", () => this.error.guard(() => this.#pause(run.run)), this.pausing !== null),
      run && !isActive && !run.finished && button("Resume", () => this.#train("resume", { run: run.run }), this.context.runs.active !== null, "primary"),
      run && !isActive && run.step > 0 && button("Generate from it", () => this.error.guard(() => this.#use(run.run))));
  }

  async #train(call, values) {
    if (this.isStarting || this.context.runs.active !== null) return;
    this.isStarting = true;
    this.last = values.run ?? null;
    this.draw();
    await this.error.guard(async () => {
      const { run } = await this.context.runs.train(call, values);
      this.last = run;
    });
    this.isStarting = false;
    this.pausing = null;
    this.draw();
  }

  async #showRun(run) {
    this.last = run;
    await this.error.guard(() => this.context.runs.setShown(run, true));
    this.section.scrollIntoView({ block: "start" });
    this.draw();
  }

  async #pause(run) {
    this.pausing = run;
    this.draw();
    try {
      await this.context.client.call("pause", { run });
    } catch (error) {
      this.pausing = null;
      this.draw();
      throw error;
    }
  }

  async #use(run) {
    await this.context.models.load(run, "best");
    location.hash = "#generate";
  }

  #take(recipe, assignments) {
    this.recipe.choose(recipe, assignments);
    this.recipe.start.scrollIntoView({ block: "center", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  }
}
