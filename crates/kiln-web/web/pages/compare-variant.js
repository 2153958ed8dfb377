// One column of the comparison: the choices of a variant, its effective pattern, its attention map and its prediction.

import { AttentionMap } from "../components/attention-map.js";
import { bars } from "../components/bars.js";
import { h, replace, uniqueId } from "../components/dom.js";
import { ErrorNote } from "../components/error-note.js";
import { plural } from "../components/format.js";
import { Latest } from "../components/latest.js";
import { PatternList } from "../components/pattern-list.js";
import { attentionPaths, choiceOf, partsOf } from "../components/recipe-fields.js";
import { parseToml } from "../components/toml.js";
import { startOf } from "../components/variant-start.js";

const MAX_PATTERN = 64;
const KINDS = [["position", "Position"], ["pattern", "Pattern"], ["score", "Score"]];

export class VariantColumn {
  #latest = new Latest();

  constructor(page, color, choices) {
    Object.assign(this, { page, color, model: null, attention: null, error: new ErrorNote() });
    this.values = { position: "", pattern: "", score: "" };
    for (const [family, name] of Object.entries(choices)) this.values[family] = this.#valueOf(family, name);
    this.selects = Object.fromEntries(KINDS.map(([family, label]) => [family, this.#select(family, label, choices[family] ?? "")]));
    this.title = h("h2", {});
    this.note = h("p", { class: "note", role: "status" });
    this.map = new AttentionMap({ heading: "h3", maxWidth: 400, minCell: 8 });
    this.patterns = new PatternList();
    this.prediction = h("div", {});
    this.result = h("div", { class: "flow", hidden: true }, this.map.figure, h("div", {}, h("h3", {}, "Effective pattern"), this.patterns.element), this.prediction);
    this.element = h("section", { class: `variant c${color}`, "aria-label": `Variant ${color + 1}` },
      h("div", { class: "head" }, this.title, h("button", { type: "button", class: "button small text", "aria-label": "Remove this variant", on: { click: () => page.remove(this) } }, "Remove")),
      h("div", { class: "fields" }, KINDS.map(([family]) => this.selects[family].element)), h("div", {}, this.error.element), this.note, this.result);
  }

  /** Makes the model of the choices and shows it. */
  build() {
    this.title.textContent = KINDS.map(([family]) => this.selects[family].select.value).filter(Boolean).join(", ") || "original";
    return this.#latest.run(isCurrent => this.error.guard(async () => {
      const { client } = this.page.context;
      const set = this.#set();
      this.result.hidden = true;
      this.note.textContent = "Computing…";
      try {
        const made = set.length > 0 ? await client.call("variant", { model: this.page.base.model, set, name: this.title.textContent }) : { model: this.page.base.model, kept: null, new: [] };
        if (!isCurrent()) return this.#unload(made.model);
        this.#replaceModel(made.model);
        await this.#inspect(isCurrent);
        await this.#drawPattern(set, isCurrent);
        if (isCurrent()) this.note.textContent = set.length === 0 ? "The model with its own weights." : weightsNote(made);
      } catch (error) {
        if (!isCurrent()) return;
        this.note.textContent = "";
        throw error;
      }
    }));
  }

  /** Inspects the text of the page with the variant. */
  inspect() {
    if (!this.model) return this.build();
    return this.#latest.run(isCurrent => this.error.guard(() => this.#inspect(isCurrent)));
  }

  async #inspect(isCurrent) {
    const text = this.page.text.value;
    if (text === "") return;
    const inside = await this.page.context.client.call("inspect", { model: this.model, text });
    if (!isCurrent()) return;
    Object.assign(this, { attention: inside.attention, tokens: inside.tokens, inspected: text });
    this.result.hidden = false;
    this.page.offer(inside.attention);
    const last = inside.lens.at(-1)?.top.at(-1);
    replace(this.prediction, last && bars("h3", "Most likely next token", [last], `c${this.color}`));
    await this.showHead();
  }

  /** Shows the layer and head that the page selects. */
  async showHead() {
    const layer = this.attention?.find(one => one.layer === this.page.layer.value) ?? this.attention?.[0];
    if (!layer) return this.map.figure.toggleAttribute("hidden", true);
    const head = Math.min(Number(this.page.head.value || 0), layer.heads - 1);
    this.map.figure.hidden = false;
    const { model, inspected, tokens } = this;
    await this.error.guard(async () => {
      const { weights } = await this.page.context.client.call("attention", { model, text: inspected, layer: layer.layer, head });
      if (model === this.model && inspected === this.inspected) this.map.show({ title: `${layer.layer}, head ${head}`, tokens, weights, queries: layer.queries, keys: layer.keys });
    });
  }

  /** The effective pattern of the recipe; a model without a recipe shows which weights are above zero. */
  async #drawPattern(set, isCurrent) {
    const { recipe, context } = this.page;
    const length = Math.min(MAX_PATTERN, Math.max(8, this.tokens?.length ?? 32));
    this.patterns.element.parentElement.hidden = !recipe;
    if (!recipe) return;
    const { layers } = await context.client.call("pattern", { toml: recipe, set, length });
    if (isCurrent()) this.patterns.draw(layers, length);
  }

  close() {
    this.#latest.cancel();
    this.#replaceModel(null);
  }

  #replaceModel(model) {
    if (this.model !== model) this.#unload(this.model);
    this.model = model;
  }

  #unload(model) {
    if (model && model !== this.page.base?.model && !this.page.context.models.models.some(one => one.model === model)) this.page.context.client.call("unload", { model }).catch(() => {});
  }

  #set() {
    const config = this.#config();
    const paths = { position: ["model.position"], pattern: attentionsOf(config, "pattern"), score: attentionsOf(config, "score") };
    return KINDS.flatMap(([family]) => (this.values[family] === "" ? [] : paths[family].map(path => `${path}=${this.values[family]}`)));
  }

  #config() {
    try {
      return this.page.recipe ? parseToml(this.page.recipe) : null;
    } catch {
      return null;
    }
  }

  #select(family, label, chosen) {
    const id = uniqueId("variant");
    const names = (this.page.families[family] ?? []).map(variant => variant.name);
    const own = ownChoice(this.#config(), family);
    const options = h("input", { id: `${id}-options`, type: "text", class: "code", hidden: true, "aria-label": `${label}: value in TOML`, on: { change: () => { this.values[family] = options.value.trim(); this.build(); } } });
    const showOptions = () => {
      options.hidden = !this.values[family].includes("{");
      options.value = this.values[family];
    };
    const select = h("select", { id, on: { change: () => {
      this.values[family] = this.#valueOf(family, select.value);
      showOptions();
      this.build();
    } } }, h("option", { value: "" }, own ? `unchanged (${own})` : "unchanged"), names.map(name => h("option", { value: name }, name)));
    select.value = chosen;
    showOptions();
    return { select, element: h("div", { class: "field full" }, h("label", { for: id }, label), select, options) };
  }

  #valueOf(family, name) {
    const variant = this.page.families[family]?.find(one => one.name === name);
    return variant ? startOf(family, variant) : "";
  }
}

/** Paths of a key of all attentions. A model without a recipe has its attention where most models have it. */
const attentionsOf = (config, key) => (config ? attentionPaths(config, key) : [`model.blocks.*.sublayers.0.parts.0.attention.${key}`]);

function ownChoice(config, family) {
  if (!config) return "";
  if (family === "position") return choiceOf(config.model?.position).name;
  return choiceOf(partsOf(config).find(part => part.name === "attention")?.options[family] ?? { pattern: "global", score: "softmax" }[family]).name;
}

function weightsNote(made) {
  const fresh = made.new.length === 0 ? "" : ` ${plural(made.new.length, "parameter tensor")} ${made.new.length === 1 ? "is" : "are"} initialized anew, without training: ${made.new.slice(0, 3).join(", ")}${made.new.length > 3 ? ", …" : ""}.`;
  return `${plural(made.kept, "parameter tensor")} ${made.kept === 1 ? "has" : "have"} the weights of the model.${fresh} The model was not trained with this change.`;
}
