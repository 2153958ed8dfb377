// One small panel beside an element: shown on hover, focus or tap, hidden by Escape.

import { h, replace } from "./dom.js";

const panel = h("div", { class: "popover", role: "tooltip", id: "popover", hidden: true });
let owner = null;

/** Shows `content` below `element`, inside the window. */
export function showPopover(element, content) {
  if (!panel.isConnected) document.querySelector("main").append(panel);
  if (owner !== element) hidePopover();
  owner = element;
  element.setAttribute("aria-describedby", panel.id);
  element.classList.add("open");
  replace(panel, content);
  panel.hidden = false;
  const box = element.getClientRects()[0] ?? element.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = panel;
  const left = Math.max(12, Math.min(box.left, document.documentElement.clientWidth - width - 12));
  const isBelow = box.bottom + height + 12 < window.innerHeight;
  panel.style.left = `${left + window.scrollX}px`;
  panel.style.top = `${(isBelow ? box.bottom + 6 : box.top - height - 6) + window.scrollY}px`;
}

export function hidePopover() {
  owner?.removeAttribute("aria-describedby");
  owner?.classList.remove("open");
  owner = null;
  panel.hidden = true;
}

document.addEventListener("keydown", event => { if (event.key === "Escape") hidePopover(); });
document.addEventListener("pointerdown", event => { if (owner && !owner.contains(event.target) && !panel.contains(event.target)) hidePopover(); });
