// The line below the navigation: what is being loaded, and what Kiln runs on.

import { h, replace } from "./dom.js";
import { asSentence } from "./error-note.js";
import { bytes } from "./format.js";

export class StatusLine {
  constructor(line) {
    this.line = line;
  }

  /** The program is loaded: bytes so far and in total, as far as they are known. */
  loading(loaded, total) {
    const size = total ? ` (${bytes(total)})` : "";
    const track = total ? h("div", { class: "track" }, h("i", { style: { width: `${(100 * loaded) / total}%` } })) : null;
    replace(this.line, h("span", {}, `Loading Kiln${size}…`), track);
  }

  /** The answer of `init`. */
  ready({ device, reason, version, simd }) {
    const name = device === "webgpu" ? "WebGPU" : simd ? "CPU with SIMD" : "CPU";
    replace(this.line, h("span", { title: `Kiln ${version}` }, `Runs in this page on ${device === "webgpu" ? "WebGPU" : `the ${name}`}; nothing is uploaded.${reason ? ` ${asSentence(reason)}` : ""}`));
  }

  failed(error) {
    replace(this.line, h("span", { style: { color: "var(--bad)" } }, [error.message, error.help].filter(Boolean).map(asSentence).join(" ")));
  }
}
