"use strict";
// Shows a vertical line at the point nearest to the pointer, and a tooltip with the values of all lines there.
(() => {
  const clock = JSON.parse(document.body.dataset.clock || "[]");
  const compact = v => {
    const size = Math.min(4, Math.floor(Math.log10(Math.abs(v) * 1.0005) / 3));
    return Math.abs(v) < 10000 ? String(+v.toFixed(1)) : `${+(v / 1000 ** size).toPrecision(3)} ${" kMGT"[size]}`;
  };
  const time = s => s < 59.5 ? `${+s.toPrecision(2)} s` : s < 3599.5 ? `${Math.floor(Math.round(s) / 60)} min ${Math.round(s) % 60} s` : `${Math.floor(Math.round(s / 60) / 60)} h ${Math.round(s / 60) % 60} min`;
  const write = {
    plain: v => v !== 0 && Math.abs(v) < 1e-3 ? v.toExponential(2) : Math.abs(v) < 10000 ? String(+v.toPrecision(4)) : compact(v),
    count: compact, percent: v => `${+(100 * v).toFixed(1)} %`, seconds: time, loss: v => v.toFixed(3),
  };
  const share = (v, [low, high], log) => log ? Math.log(v / low) / Math.log(high / low) : (v - low) / (high - low);
  const value = (s, [low, high], log) => log ? low * (high / low) ** s : low + s * (high - low);
  const nearest = (points, x) => {
    let low = 0, high = points.length - 1;
    while (high - low > 1) { const middle = (low + high) >> 1; if (points[middle][0] < x) low = middle; else high = middle; }
    return Math.abs(points[low][0] - x) <= Math.abs(points[high][0] - x) ? points[low] : points[high];
  };
  const make = (parent, tag, name, text) => {
    const element = document.createElement(tag);
    element.className = name;
    if (text !== undefined) element.textContent = text;
    return parent.appendChild(element);
  };
  const xLabel = (x, chart) => {
    if (!chart.counts_steps) return write[chart.units[0]](x);
    const parts = [`step ${Math.round(x).toLocaleString("en").replace(/,/g, "\u202f")}`];
    if (clock.length) {
      const [, tokens, seconds] = nearest(clock, x);
      parts.push(`≈ ${compact(tokens)} tokens`);
      if (seconds !== null) parts.push(time(seconds));
    }
    return parts.join(" · ");
  };
  for (const frame of document.querySelectorAll(".frame")) {
    const chart = JSON.parse(frame.dataset.hover);
    const series = chart.series.filter(s => s.points.length);
    if (!series.length) continue;
    let shown = [];
    const clear = () => { shown.forEach(e => e.remove()); shown = []; };
    const show = event => {
      clear();
      const box = frame.getBoundingClientRect();
      const at = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
      const x = value(at, chart.x, chart.log[0]);
      const points = series.map(s => [s, nearest(s.points, x)]);
      const nearestX = points.map(p => p[1][0]).reduce((a, b) => Math.abs(a - x) <= Math.abs(b - x) ? a : b);
      const across = share(nearestX, chart.x, chart.log[0]);
      const cross = make(frame, "div", "cross");
      cross.style.left = `${100 * across}%`;
      const tip = make(frame, "div", "tip");
      make(tip, "small", "", xLabel(nearestX, chart));
      shown = [cross, tip];
      for (const [s, [px, py]] of points) {
        const down = 1 - share(py, chart.y, chart.log[1]);
        if (down >= 0 && down <= 1) {
          const spot = make(frame, "div", `spot c${s.color % 6}`);
          spot.style.left = `${100 * share(px, chart.x, chart.log[0])}%`;
          spot.style.top = `${100 * down}%`;
          shown.push(spot);
        }
        const row = make(tip, "div", `c${s.color % 6}`);
        if (s.name) make(row, "span", "", s.name);
        make(row, "b", "", write[chart.units[1]](py));
      }
      tip.style[across > 0.5 ? "right" : "left"] = `calc(${100 * (across > 0.5 ? 1 - across : across)}% + 12px)`;
    };
    frame.addEventListener("pointermove", show);
    frame.addEventListener("pointerdown", show);
    frame.addEventListener("pointerleave", clear);
  }
})();
