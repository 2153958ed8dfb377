// First experiments: each is a built-in recipe with a few choices, small enough for a page.

import { h } from "../components/dom.js";

const SMALL = [["data.source.stories.megabytes", "1.0"], ["stages.*.steps", "300"], ["stages.*.batch_size", "4"], ["stages.*.sequence_length", "128"], ["stages.*.num_samples", "2"], ["stages.*.checkpoint_every", "0.1"],
  ["model.hidden", "64"], ["model.blocks.0.repeat", "2"]];
const attention = key => `model.blocks.0.sublayers.0.parts.0.attention.${key}`;

const IDEAS = [
  ["A first run", "A small decoder learns the built-in stories.", []],
  ["A window of 8 tokens", "What does a model lose that sees only 8 tokens back? Watch recall.", [[attention("pattern"), "{ window = { before = 8 } }"]]],
  ["ALiBi instead of RoPE", "The same model with biases in place of rotations.", [["model.position", "alibi"]]],
  ["No attention", "Gated linear attention has a state of constant size.", [["model.blocks.0.sublayers.0.parts.0", "{ gla = { heads = 4 } }"]]],
  ["Four experts", "Each token is routed to two of four feed-forward networks.", [["model.blocks.0.sublayers.1.parts.0", "{ experts = { num_experts = 4, top_k = 2 } }"]]],
  ["Fill in gaps", "Masked language modeling: the model sees both sides.", [["stages.*.objective", "masked"]]],
];

/** Buttons of first experiments. `choose(recipe, assignments)` takes one into the form. */
export function ideas(choose) {
  return h("div", {}, h("h2", {}, "Try one of these"), h("ul", { class: "ideas" }, IDEAS.map(([name, text, assignments]) =>
    h("li", {}, h("button", { type: "button", on: { click: () => choose("stories", [...SMALL, ...assignments]) } }, h("b", {}, name), h("span", {}, text))))));
}
