// The recipe of the next run: a built-in one or the reader's own TOML, choices on top of it, and what the check says.

import { asKilnError } from "../components/client.js";
import { debounce, h, replace, uniqueId } from "../components/dom.js";
import { ErrorNote } from "../components/error-note.js";
import { bytes, count } from "../components/format.js";
import { Overrides } from "../components/overrides.js";
import { PatternList } from "../components/pattern-list.js";
import { choiceOf, recipeFields } from "../components/recipe-fields.js";
import { RecipeForm } from "../components/recipe-form.js";
import { Segments } from "../components/segments.js";
import { parseToml } from "../components/toml.js";
import { familiesOf } from "../components/variants.js";

const PATTERN_LENGTH = 48;

export class RecipePanel {
  #checks = 0;

  /** `onStart({toml, set})` is called by the start button. */
  constructor(context, onStart) {
    Object.assign(this, { context, onStart, overrides: new Overrides(), recipe: "", checked: null });
    this.check = debounce(180, () => this.#check());
    this.form = new RecipeForm(this.overrides, () => this.#changed());
    this.patterns = new PatternList();
    this.error = new ErrorNote();
    this.#build();
    context.onCatalog.push(catalog => this.#fill(catalog));
    context.onData.push(paths => this.#useData(paths));
  }

  #build() {
    const ids = { recipe: uniqueId("recipe"), toml: uniqueId("toml") };
    this.select = h("select", { id: ids.recipe, disabled: true, on: { change: () => this.choose(this.select.value) } }, h("option", {}, "stories"));
    this.description = h("p", { class: "note", style: { margin: "5px 0 0" } });
    this.toml = h("textarea", { id: ids.toml, class: "code", rows: "16", spellcheck: "false", autocapitalize: "off", on: { input: () => this.#changed() } });
    this.applied = h("div", {});
    this.views = new Segments("View of the recipe", [["form", "Choices"], ["toml", "TOML"]], () => this.#show());
    this.tomlView = h("div", { hidden: true }, h("label", { for: ids.toml }, "Recipe"), this.toml, this.applied);
    this.general = h("div", {}, this.error.element);
    this.facts = h("dl", { class: "facts" });
    this.pictures = h("div", { hidden: true }, h("h3", {}, "Effective attention pattern"),
      h("p", { class: "note" }, `${PATTERN_LENGTH} tokens: rows are queries, columns are keys; filled cells are visible.`), this.patterns.element);
    this.start = h("button", { type: "button", class: "button primary", disabled: true, on: { click: () => this.onStart(this.current()) } }, "Start training");
    this.reset = h("button", { type: "button", class: "button text", hidden: true, on: { click: () => this.resetChoices() } }, "Undo the changes");
    const files = this.context.files.button("Use your own text", { accept: ".txt,.md,.json,.jsonl,.csv,.tsv" });
    this.dataNote = h("span", { class: "note grow" });
    this.data = h("div", { class: "row" }, files, this.dataNote);
    this.#assignData();
    this.element = h("section", { class: "panel", "aria-label": "Recipe" },
      h("div", {}, h("div", { class: "head" }, h("h2", {}, "Recipe"), this.views.element), h("label", { for: ids.recipe, class: "sr" }, "Built-in recipe"), this.select, this.description),
      this.data, this.form.element, this.tomlView, this.pictures,
      h("div", { class: "launch" }, this.general, this.facts, h("div", { class: "buttons" }, this.start, this.reset)));
  }

  /** What the calls `check` and `train` take. */
  current() {
    return { toml: this.toml.value, set: this.overrides.list() };
  }

  /** Selects a built-in recipe by name, with assignments on top: pairs of path and value. */
  choose(name, assignments = []) {
    const recipe = this.context.catalog?.recipes.find(one => one.name === name);
    if (!recipe) return;
    this.recipe = name;
    this.select.value = name;
    this.toml.value = recipe.toml;
    this.description.textContent = recipe.description;
    this.overrides.clear();
    for (const [path, value] of assignments) this.overrides.assign(path, value);
    this.#assignData();
    this.#changed();
  }

  resetChoices() {
    this.dataPaths = null;
    this.choose(this.recipe);
  }

  /** Whether the start button may be pressed, as far as other things than the recipe say. */
  allowStart(isAllowed) {
    this.mayStart = isAllowed;
    this.start.disabled = !isAllowed || !this.checked;
  }

  #fill(catalog) {
    replace(this.select, catalog.recipes.map(recipe => h("option", { value: recipe.name }, recipe.name)));
    this.select.disabled = false;
    this.families = familiesOf(catalog);
    const saved = this.recipe && this.toml.value;
    if (!saved) this.choose(catalog.recipes.some(recipe => recipe.name === "stories") ? "stories" : catalog.recipes[0]?.name);
    else this.check();
  }

  #useData(paths) {
    this.dataPaths = paths;
    const source = choiceOf(this.checked?.config?.data?.source);
    const hasText = this.context.catalog?.recipes.some(recipe => recipe.name === "text");
    if (source.name === "stories" && hasText) this.choose("text");
    else this.#assignData();
    this.#changed();
  }

  /** The reader's own text takes the place of the data of any recipe, as `--data` of the command. */
  #assignData() {
    if (this.dataPaths) this.overrides.assign("data.source", `{ files = { paths = ${JSON.stringify(this.dataPaths)} } }`);
    this.dataNote.textContent = this.dataPaths ? `Trains on ${this.dataPaths.join(", ")}` : "It stays in this page.";
  }

  #show() {
    const isToml = this.views.value === "toml";
    this.form.element.hidden = isToml;
    this.tomlView.hidden = !isToml;
    if (this.problem) this.#refuse(this.problem);
  }

  #changed() {
    const builtIn = this.context.catalog?.recipes.find(one => one.name === this.recipe)?.toml;
    this.reset.hidden = this.overrides.paths().length === 0 && this.toml.value === builtIn;
    replace(this.applied, this.overrides.list().length > 0 && [h("p", { class: "note", style: { margin: "10px 0 4px" } }, "Choices on top of this text, as --set of the command:"),
      h("pre", { class: "note", style: { "white-space": "pre-wrap", margin: 0 } }, this.overrides.list().join("\n"))]);
    this.check();
  }

  async #check() {
    if (!this.context.catalog) return;
    this.#checks += 1;
    const turn = this.#checks;
    const call = this.current();
    try {
      const checked = await this.context.client.call("check", call);
      if (turn !== this.#checks) return;
      this.#accept(checked);
      const { layers } = await this.context.client.call("pattern", { ...call, length: PATTERN_LENGTH });
      if (turn !== this.#checks) return;
      this.pictures.hidden = layers.length === 0;
      this.patterns.draw(layers, PATTERN_LENGTH);
    } catch (error) {
      if (turn === this.#checks) this.#refuse(asKilnError(error));
    }
  }

  #accept(checked) {
    this.problem = null;
    this.error.clear();
    this.toml.removeAttribute("aria-invalid");
    this.checked = { ...checked, config: readConfig(checked.toml) };
    if (this.checked.config) this.form.draw(recipeFields(this.checked.config, this.families, checked.steps));
    replace(this.facts, [["parameters", count(checked.parameters)], ["steps", count(checked.steps)], ["memory", bytes(checked.memory_bytes)]].map(([name, value]) =>
      h("div", {}, h("dt", {}, name), h("dd", {}, value))));
    this.allowStart(this.mayStart);
  }

  #refuse(error) {
    this.problem = error;
    this.checked = null;
    this.allowStart(this.mayStart);
    this.facts.replaceChildren();
    this.pictures.hidden = true;
    const isToml = this.views.value === "toml";
    if (isToml) this.toml.setAttribute("aria-invalid", "true");
    const place = (isToml ? null : this.form.placeOf(error.where)) ?? this.general;
    place.append(this.error.element);
    this.error.show(error);
  }
}

/** The resolved recipe as a table; null if the reader of TOML does not understand it. */
function readConfig(toml) {
  try {
    return parseToml(toml);
  } catch {
    return null;
  }
}
