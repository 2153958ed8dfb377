// A map of cells with names of rows and columns. Pointer and arrow keys read a cell, Enter or a click chooses it.

import { h } from "./dom.js";
import { changeColor, mapColors, weightColor } from "./map-colors.js";

const FONT = '11.5px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace';
const MAX_CELL = 30;
const MAX_NAME = 130;

export class HeatMap {
  #data = null;
  #cell = [0, 0];
  #chosen = null;
  #reading = null;
  #width = 0;

  /** `options`: label; `describe(row, column, value)` gives the sentence below the map; `onChoose(row, column)` and
   * `onRead(row, column)`, which gets nulls when the pointer leaves; `isChange` for values with signs; `hint`. */
  constructor(options) {
    this.options = options;
    this.canvas = h("canvas", { tabindex: "0", role: "img", "aria-label": options.label, on: {
      pointermove: event => this.#read(this.#under(event)), pointerdown: event => this.#read(this.#under(event)),
      pointerleave: event => { if (event.pointerType === "mouse") this.#read(null); },
      click: event => this.#choose(this.#under(event)), keydown: event => this.#key(event),
      focus: () => this.#read(this.#data && this.#cell), blur: () => this.#read(null),
    } });
    this.output = h("output", { class: "note" }, options.hint ?? "");
    this.scroll = h("div", { class: "scroll" }, this.canvas);
    this.element = h("figure", { class: "map" }, this.scroll, this.output);
    document.addEventListener("kiln-theme", () => this.draw());
    new ResizeObserver(() => this.#resized()).observe(this.element);
  }

  /** Sets values (row-major), names of rows and of columns. */
  update({ values, rows, columns, chosen = null }) {
    this.#data = { values, rows, columns };
    this.#chosen = chosen;
    this.#cell = [Math.min(this.#cell[0], rows.length - 1), Math.min(this.#cell[1], columns.length - 1)];
    this.#reading = null;
    this.output.textContent = this.options.hint ?? "";
    this.draw();
  }

  #resized() {
    if (Math.abs(this.element.clientWidth - this.#width) > 1) this.draw();
  }

  /** Draws everything anew, as after a change of colors or width. */
  draw() {
    this.#width = this.element.clientWidth;
    if (!this.#data || this.#width === 0) return;
    const { rows, columns } = this.#data;
    const context = this.canvas.getContext("2d");
    context.font = FONT;
    const widest = names => Math.min(MAX_NAME, Math.max(0, ...names.map(name => context.measureText(name).width)));
    this.left = Math.ceil(widest(rows)) + 8;
    this.top = Math.ceil(widest(columns)) + 8;
    const room = (Math.min(this.#width, this.options.maxWidth ?? 620) - this.left - 2) / columns.length;
    this.size = Math.max(this.options.minCell ?? 13, Math.min(MAX_CELL, Math.floor(room)));
    const width = this.left + this.size * columns.length + 2;
    const height = this.top + this.size * rows.length + 2;
    const ratio = window.devicePixelRatio || 1;
    Object.assign(this.canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.#paint(context, mapColors());
  }

  #paint(context, colors) {
    const { values, rows, columns } = this.#data;
    const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const color = value => (this.options.isChange ? changeColor(value, largest, colors) : weightColor(value, colors));
    rows.forEach((_, row) => columns.forEach((__, column) => {
      context.fillStyle = `rgb(${color(values[row * columns.length + column]).join(" ")})`;
      context.fillRect(this.left + column * this.size, this.top + row * this.size, this.size, this.size);
    }));
    context.strokeStyle = colors.line;
    context.strokeRect(this.left - 0.5, this.top - 0.5, this.size * columns.length + 1, this.size * rows.length + 1);
    this.#names(context, colors);
    if (this.#chosen) this.#outline(context, this.#chosen, colors.ink, 2);
    if (this.#reading) this.#outline(context, this.#reading, colors.ink, 1);
  }

  #names(context, colors) {
    context.font = FONT;
    context.textBaseline = "middle";
    const isRead = (index, axis) => this.#reading?.[axis] === index;
    context.textAlign = "right";
    this.#data.rows.forEach((name, row) => {
      context.fillStyle = isRead(row, 0) ? colors.ink : colors.quiet;
      context.fillText(fitted(context, name), this.left - 6, this.top + (row + 0.5) * this.size);
    });
    context.textAlign = "left";
    this.#data.columns.forEach((name, column) => {
      context.save();
      context.translate(this.left + (column + 0.5) * this.size, this.top - 6);
      context.rotate(-Math.PI / 2);
      context.fillStyle = isRead(column, 1) ? colors.ink : colors.quiet;
      context.fillText(fitted(context, name), 0, 0);
      context.restore();
    });
  }

  #outline(context, [row, column], color, width) {
    context.strokeStyle = color;
    context.lineWidth = width;
    context.strokeRect(this.left + column * this.size + 0.5, this.top + row * this.size + 0.5, this.size - 1, this.size - 1);
    context.lineWidth = 1;
  }

  #under(event) {
    if (!this.#data) return null;
    const box = this.canvas.getBoundingClientRect();
    const cell = [Math.floor((event.clientY - box.top - this.top) / this.size), Math.floor((event.clientX - box.left - this.left) / this.size)];
    return cell[0] >= 0 && cell[1] >= 0 && cell[0] < this.#data.rows.length && cell[1] < this.#data.columns.length ? cell : null;
  }

  #read(cell) {
    if (String(cell) === String(this.#reading)) return;
    this.#reading = cell;
    if (cell) this.#cell = cell;
    this.draw();
    const value = cell && this.#data.values[cell[0] * this.#data.columns.length + cell[1]];
    this.output.textContent = cell ? this.options.describe(cell[0], cell[1], value) : this.options.hint ?? "";
    this.options.onRead?.(cell?.[0] ?? null, cell?.[1] ?? null);
  }

  #choose(cell) {
    if (!cell || !this.options.onChoose) return;
    this.#chosen = cell;
    this.draw();
    this.options.onChoose(cell[0], cell[1]);
  }

  #key(event) {
    const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!this.#data || (!move && event.key !== "Enter" && event.key !== " ")) return;
    event.preventDefault();
    if (!move) return this.#choose(this.#cell);
    const inside = (value, length) => Math.min(length - 1, Math.max(0, value));
    this.#read([inside(this.#cell[0] + move[0], this.#data.rows.length), inside(this.#cell[1] + move[1], this.#data.columns.length)]);
  }
}

function fitted(context, name) {
  if (context.measureText(name).width <= MAX_NAME) return name;
  let end = name.length;
  while (end > 1 && context.measureText(`${name.slice(0, end)}…`).width > MAX_NAME) end -= 1;
  return `${name.slice(0, end)}…`;
}
