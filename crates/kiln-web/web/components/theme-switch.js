// The switch between the system's color scheme, light and dark. Maps are drawn anew when it changes.

import { h, svg } from "./dom.js";

const CHOICES = [
  ["auto", "As the system", ["M8 2.500v11", "M8 2.500a5.500 5.500 0 0 1 0 11a5.500 5.500 0 0 1 0-11"]],
  ["light", "Light", ["M8 5a3 3 0 0 1 0 6a3 3 0 0 1 0-6", "M8 1v1M8 14v1M1 8h1M14 8h1M3 3l.7.7M12.300 12.300l.7.7M13 3l-.7.7M3.700 12.300l-.7.7"]],
  ["dark", "Dark", ["M13 9.800A5.800 5.800 0 0 1 6.200 3a5.500 5.500 0 1 0 6.800 6.800"]],
];

/** Fills the radio group `element`, and tells the document (`kiln-theme`) when colors change. */
export function themeSwitch(element) {
  const root = document.documentElement;
  const buttons = CHOICES.map(([value, label, paths]) =>
    h("button", { type: "button", role: "radio", "aria-label": label, title: label, data: { value }, on: { click: () => choose(value) } },
      svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, paths.map(d => svg("path", { d })))));
  const mark = () => {
    const current = root.dataset.theme ?? "auto";
    for (const button of buttons) {
      button.setAttribute("aria-checked", String(button.dataset.value === current));
      button.tabIndex = button.dataset.value === current ? 0 : -1;
    }
  };
  const choose = value => {
    if (value === "auto") delete root.dataset.theme;
    else root.dataset.theme = value;
    try { localStorage.setItem("kiln.theme", value); } catch { /* storage is blocked: the choice lasts until the page is closed */ }
    mark();
    document.dispatchEvent(new Event("kiln-theme"));
  };
  element.addEventListener("keydown", event => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = buttons[(buttons.indexOf(document.activeElement) + step + buttons.length) % buttons.length];
    choose(next.dataset.value);
    next.focus();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new Event("kiln-theme")));
  element.append(...buttons);
  mark();
}
