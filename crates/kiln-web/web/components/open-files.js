// Opening files: one place for drops anywhere on the page and for the buttons of the pages.

import { h } from "./dom.js";
import { droppedFiles, readFiles } from "./files.js";

export class FileOpener {
  /** `onOpened` gets the worker's answer; `onError` an error. */
  constructor(client, onOpened, onError) {
    Object.assign(this, { client, onOpened, onError, listeners: new Set(), isBusy: false });
  }

  /** Calls `listener` when reading starts or ends. */
  subscribe(listener) {
    this.listeners.add(listener);
  }

  /** Accepts drops anywhere in the document. */
  listen() {
    let depth = 0;
    const mark = change => {
      depth = Math.max(0, depth + change);
      document.body.classList.toggle("dragging", depth > 0);
    };
    const hasFiles = event => [...(event.dataTransfer?.types ?? [])].includes("Files");
    document.addEventListener("dragenter", event => { if (hasFiles(event)) mark(1); });
    document.addEventListener("dragleave", event => { if (hasFiles(event)) mark(-1); });
    document.addEventListener("dragover", event => { if (hasFiles(event)) event.preventDefault(); });
    document.addEventListener("drop", event => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      mark(-depth);
      this.#open(droppedFiles(event.dataTransfer));
    });
  }

  /** A button that selects files, or with `folder` a folder. */
  button(label, { folder = false, accept = "" } = {}) {
    const input = h("input", { type: "file", hidden: true, multiple: true, accept: accept || null, webkitdirectory: folder, "aria-label": label, on: {
      change: () => {
        if (input.files.length > 0) this.#open(readFiles(input.files));
        input.value = "";
      },
    } });
    const button = h("button", { type: "button", class: "button small", on: { click: () => input.click() } }, label);
    this.subscribe(() => { button.disabled = this.isBusy; });
    return [button, input];
  }

  async #open(reading) {
    this.#setBusy(true);
    try {
      const files = await reading;
      if (files.length === 0) return;
      this.onOpened(await this.client.call("open", { files }, files.map(file => file.bytes)));
    } catch (error) {
      this.onError(error);
    } finally {
      this.#setBusy(false);
    }
  }

  #setBusy(isBusy) {
    this.isBusy = isBusy;
    this.listeners.forEach(listener => listener());
  }
}
