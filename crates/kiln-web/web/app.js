// Starts the page: the shell is in index.html, the worker loads Kiln meanwhile, and each page is made once.

import { Client, asKilnError } from "./components/client.js";
import { FileOpener } from "./components/open-files.js";
import { ModelStore } from "./components/model-store.js";
import { asSentence } from "./components/error-note.js";
import { Notices } from "./components/notices.js";
import { RunStore } from "./components/run-store.js";
import { themeSwitch } from "./components/theme-switch.js";
import { StatusLine } from "./components/status-line.js";
import { comparePage } from "./pages/compare.js";
import { generatePage } from "./pages/generate.js";
import { inspectPage } from "./pages/inspect.js";
import { trainPage } from "./pages/train.js";

const PAGES = { train: trainPage, generate: generatePage, inspect: inspectPage, compare: comparePage };

const byId = id => document.getElementById(id);
const notices = new Notices(byId("notices"));
const status = new StatusLine(byId("status"), new URL("./wasm/cpu/kiln_bg.wasm", import.meta.url));
const client = new Client(new URL("./worker.js", import.meta.url));
const context = { client, notices, catalog: null, device: null, hasZips: false, runs: new RunStore(client), models: new ModelStore(client), onCatalog: [], onData: [] };
context.files = new FileOpener(client, opened, error => notices.show("open", sentences(error), [], true));
const pages = {};

function route() {
  const name = Object.hasOwn(PAGES, location.hash.slice(1)) ? location.hash.slice(1) : "train";
  for (const page of Object.keys(PAGES)) byId(`page-${page}`).hidden = page !== name;
  for (const link of document.querySelectorAll(".bar nav a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${name[0].toUpperCase()}${name.slice(1)} · Kiln`;
  pages[name].shown?.();
}

const sentences = thrown => {
  const error = asKilnError(thrown);
  return [error.where && `${error.where}:`, asSentence(error.message), error.help && asSentence(error.help)].filter(Boolean).join(" ");
};

/** Takes a run, a model or data that was opened to where it is used. */
async function opened(answer) {
  notices.hide("open");
  if (answer.kind === "run") {
    context.runs.shown.add(answer.run);
    await context.runs.refresh();
    notices.show("open", `The run ${context.runs.find(answer.run)?.name ?? answer.run} was read. It is in the list of saved runs.`);
  } else if (answer.kind === "model") {
    await context.models.opened(answer);
    if (location.hash === "" || location.hash === "#train") location.hash = "#generate";
  } else {
    context.onData.forEach(listener => listener(answer.paths));
    location.hash = "#train";
  }
}

/** Says that runs are not saved (full storage, another tab that has them), until they are. */
function showStorage(state) {
  if (!state || state.saved) notices.hide("storage");
  else notices.show("storage", asSentence(state.message ?? "the browser did not save the run: download it, or delete other runs"), [["Reload", () => location.reload()]], true);
}

/** Whether this build moves runs as zip files: it then misses the run, else the call. */
function hasZips() {
  return client.call("download", { run: "" }).then(() => true, error => error.kind !== "usage" && error.kind !== "crashed");
}

async function start() {
  status.loading();
  client.start();
  try {
    context.device = await client.call("init", { device: "auto" });
    status.ready(context.device);
    showStorage(context.device.storage);
    context.hasZips = await hasZips();
    context.catalog = await client.call("catalog");
    context.onCatalog.forEach(listener => listener(context.catalog));
    await context.runs.refresh();
  } catch (error) {
    status.failed(asKilnError(error));
  }
}

client.on("crashed", ({ message }) => {
  status.failed(asKilnError(new Error("Kiln stopped.")));
  const restart = () => {
    notices.hide("crashed");
    start();
  };
  notices.show("crashed", `Kiln stopped: ${message} Saved runs are kept and can be resumed after a restart.`, [["Restart Kiln", restart]], true);
});
client.on("checkpoint", showStorage);
client.on("storage", showStorage);

themeSwitch(byId("theme"));
for (const [name, create] of Object.entries(PAGES)) pages[name] = create(byId(`page-${name}`), context);
context.files.listen();
window.addEventListener("hashchange", () => {
  route();
  byId("content").focus({ preventScroll: true });
  window.scrollTo(0, 0);
});
route();
start();
