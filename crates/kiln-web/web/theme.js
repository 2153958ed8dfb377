"use strict";
// Applies the saved color scheme before the first paint. `auto` follows the system.
(() => {
  let saved = null;
  try { saved = localStorage.getItem("kiln.theme"); } catch { /* storage is blocked: follow the system */ }
  if (saved === "light" || saved === "dark") document.documentElement.dataset.theme = saved;
})();
