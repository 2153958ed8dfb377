// Shows a chosen head in the large map, and what a token attends to.
(() => {
  const list = document.querySelector(".token-list"), map = document.querySelector("#map");
  if (!map) return;
  list.hidden = false;
  const tokens = [...list.querySelectorAll(".tokens button")], heads = [...document.querySelectorAll(".head")];
  const cells = map.querySelector(".cells"), texts = [...map.querySelectorAll("text")], weights = list.querySelector(".weights");
  const mark = map.appendChild(map.querySelector("rect").cloneNode());
  mark.setAttribute("class", "row-mark");
  mark.setAttribute("width", tokens.length);
  let pinned = null;
  // A cell of opacity o stands for a weight of about o\u00b2: the opacity is the square root in steps of a twelfth.
  const row = query => {
    const found = new Array(tokens.length).fill(0);
    for (const path of cells.children) {
      const opacity = Number(path.getAttribute("fill-opacity"));
      for (const [, key, at, length] of path.getAttribute("d").matchAll(/M(\d+) (\d+)h(\d+)v/g)) {
        if (Number(at) === query) found.fill(opacity, Number(key), Number(key) + Number(length));
      }
    }
    return found;
  };
  const show = query => {
    const shades = query === null ? [] : row(query);
    tokens.forEach((token, key) => {
      token.style.setProperty("--p", 80 * (shades[key] || 0));
      token.classList.toggle("on", key === query);
      token.setAttribute("aria-pressed", key === pinned);
    });
    texts.forEach((text, index) => text.classList.toggle("on", index % 2 === 0 && index / 2 === query));
    mark.setAttribute("height", query === null ? 0 : 1);
    mark.setAttribute("y", query ?? 0);
    let offset = 0;
    for (const table of document.querySelectorAll(".lens")) {
      const width = table.tHead.rows[0].cells.length - 1;
      for (const line of table.rows) [...line.cells].forEach((cell, column) => cell.classList.toggle("on", column > 0 && offset + column - 1 === query));
      offset += width;
    }
    const strongest = shades.map((shade, key) => [shade, key]).filter(([shade]) => shade > 0).sort((a, b) => b[0] - a[0]).slice(0, 5);
    weights.textContent = query === null ? "" : `${tokens[query].textContent} attends to ` + strongest.map(([shade, key]) => `${tokens[key].textContent} (\u2248 ${Math.round(100 * shade * shade)} %)`).join(", ");
  };
  const choose = head => {
    heads.forEach(other => other.setAttribute("aria-pressed", other === head));
    cells.replaceChildren(...[...head.querySelectorAll("path")].map(path => path.cloneNode()));
    const caption = document.querySelector("#map-caption"), shares = document.createElement("span");
    shares.className = "quiet";
    shares.textContent = head.dataset.shares;
    caption.replaceChildren(head.dataset.name + " ", shares);
    show(pinned);
  };
  heads.forEach(head => head.addEventListener("click", () => {
    choose(head);
    map.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }));
  tokens.forEach((token, query) => {
    token.addEventListener("pointerenter", () => show(query));
    token.addEventListener("focus", () => show(query));
    token.addEventListener("click", () => { pinned = pinned === query ? null : query; show(pinned); });
    token.addEventListener("pointerleave", () => show(pinned));
    token.addEventListener("blur", () => show(pinned));
  });
  map.addEventListener("pointermove", event => {
    const box = map.getBoundingClientRect(), [, top, , height] = map.getAttribute("viewBox").split(" ").map(Number);
    const query = Math.floor(top + height * (event.clientY - box.top) / box.height);
    show(query >= 0 && query < tokens.length ? query : pinned);
  });
  map.addEventListener("pointerleave", () => show(pinned));
  document.addEventListener("keydown", event => {
    if (event.key === "Escape") { pinned = null; show(null); }
    const at = tokens.indexOf(document.activeElement), next = { ArrowRight: at + 1, ArrowLeft: at - 1 }[event.key];
    if (at >= 0 && tokens[next]) { tokens[next].focus(); event.preventDefault(); }
  });
  choose(heads[0]);
  show(null);
})();
