// Curves with fewer points and less noise, as the report pages draw them.

/** Moving average over 2r + 1 points, r = ⌊n / 160⌋, applied twice. The window shrinks at the start, where the loss falls
 * steeply. Curves of fewer than 160 points are unchanged. */
export function smooth(points) {
  const radius = Math.floor(points.length / 160);
  return radius === 0 ? points : average(average(points, radius), radius);
}

function average(points, radius) {
  const sums = [0];
  for (const [, y] of points) sums.push(sums.at(-1) + y);
  return points.map(([x], index) => {
    const reach = Math.min(radius, index);
    const end = Math.min(index + reach + 1, points.length);
    return [x, (sums[end] - sums[index - reach]) / (end - index + reach)];
  });
}

/** At most four points for each of `columns` equally wide columns: the first, lowest, highest and last. */
export function downsample(points, columns) {
  if (points.length <= 4 * columns) return points;
  const width = points.length / columns;
  const kept = [];
  for (let column = 0; column < columns; column += 1) {
    const part = points.slice(Math.floor(column * width), Math.floor((column + 1) * width));
    const low = part.reduce((a, b) => (b[1] < a[1] ? b : a));
    const high = part.reduce((a, b) => (b[1] > a[1] ? b : a));
    kept.push(...new Set([part[0], ...(low[0] < high[0] ? [low, high] : [high, low]), part.at(-1)]));
  }
  return kept;
}

/** The point nearest to `x` of a list that is sorted by x. */
export function nearest(points, x) {
  let low = 0;
  let high = points.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (points[middle][0] < x) low = middle;
    else high = middle;
  }
  return Math.abs(points[low][0] - x) <= Math.abs(points[high][0] - x) ? points[low] : points[high];
}
