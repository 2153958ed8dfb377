// Colors of maps from the style sheet: weights from the page's ground to the accent, changes from orange over the ground to
// blue.

/** Reads the current colors. */
export function mapColors() {
  const style = getComputedStyle(document.documentElement);
  const read = name => hexColor(style.getPropertyValue(name).trim());
  return { ground: read("--raised"), strong: read("--c0"), negative: read("--c1"), ink: style.getPropertyValue("--ink").trim(),
    quiet: style.getPropertyValue("--quiet").trim(), line: style.getPropertyValue("--strong").trim() };
}

function hexColor(text) {
  const number = parseInt(text.slice(1), 16);
  return text.length === 4 ? [17 * (number >> 8), 17 * ((number >> 4) & 15), 17 * (number & 15)] : [number >> 16, (number >> 8) & 255, number & 255];
}

/** The color of a weight between 0 and 1: its square root, so that small weights are visible. */
export const weightColor = (value, colors) => mix(colors.ground, colors.strong, Math.sqrt(Math.min(1, Math.max(0, value))));

/** The color of a change, of which `largest` is the greatest magnitude. */
export function changeColor(value, largest, colors) {
  const share = largest > 0 ? Math.min(1, Math.abs(value) / largest) : 0;
  return mix(colors.ground, value < 0 ? colors.negative : colors.strong, Math.sqrt(share));
}

const mix = (from, to, share) => from.map((part, index) => Math.round(part + (to[index] - part) * share));

/** Draws one pixel a cell; the style sheet enlarges it without smoothing. `color` gets a value. */
export function drawPixels(canvas, values, rows, columns, color) {
  canvas.width = columns;
  canvas.height = rows;
  const image = new ImageData(columns, rows);
  for (let cell = 0; cell < rows * columns; cell += 1) {
    const [red, green, blue] = color(values[cell]);
    image.data.set([red, green, blue, 255], 4 * cell);
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}
