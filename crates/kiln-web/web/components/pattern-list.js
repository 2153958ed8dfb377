// Pictures of effective attention patterns: rows are queries, columns are keys, filled cells are visible.

import { h, replace } from "./dom.js";
import { percent } from "./format.js";
import { drawPixels, mapColors, weightColor } from "./map-colors.js";

export class PatternList {
  #drawn = [];

  constructor() {
    this.element = h("div", { class: "patterns" });
    document.addEventListener("kiln-theme", () => this.#paint());
  }

  /** Draws the layers of the worker's answer `pattern`; layers with the same pattern share a picture. */
  draw(layers, length) {
    const groups = new Map();
    layers.forEach((layer, index) => {
      const key = `${layer.label} ${layer.visible.join("")}`;
      if (!groups.has(key)) groups.set(key, { ...layer, layers: [] });
      groups.get(key).layers.push(index);
    });
    this.#drawn = [...groups.values()].map(group => {
      const visible = group.visible.reduce((sum, cell) => sum + (cell ? 1 : 0), 0) / group.visible.length;
      const name = `${layerNames(group.layers)}: ${group.label}`;
      const canvas = h("canvas", { role: "img", "aria-label": `Effective attention pattern of ${name}. ${percent(visible)} of the cells are visible.` });
      return { canvas, group, length, figure: h("figure", {}, canvas, h("figcaption", {}, name, h("br"), `${percent(visible)} visible`)) };
    });
    replace(this.element, this.#drawn.map(one => one.figure));
    this.#paint();
  }

  #paint() {
    const colors = mapColors();
    for (const { canvas, group, length } of this.#drawn) {
      drawPixels(canvas, group.visible, length, length, cell => weightColor(cell ? 0.85 : 0, colors));
    }
  }
}

/** `layer 0`, `layers 0–3`, `layers 0, 2`. */
function layerNames(layers) {
  if (layers.length === 1) return `layer ${layers[0]}`;
  const isRange = layers.every((layer, index) => index === 0 || layer === layers[index - 1] + 1);
  return `layers ${isRange ? `${layers[0]}–${layers.at(-1)}` : layers.join(", ")}`;
}
