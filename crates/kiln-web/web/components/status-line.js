// The line below the navigation: what is being loaded, and what Kiln runs on.

import { h, replace } from "./dom.js";
import { asSentence } from "./error-note.js";
import { bytes } from "./format.js";

export class StatusLine {
  /** `module`: address of the WebAssembly module for the CPU. */
  constructor(line, module) {
    Object.assign(this, { line, module, isLoading: false });
  }

  /** The program is being loaded. Without WebGPU it is the module for the CPU, whose size the server tells. */
  async loading() {
    this.isLoading = true;
    replace(this.line, h("span", {}, "Loading Kiln…"));
    if (navigator.gpu) return;
    const answer = await fetch(this.module, { method: "HEAD" }).catch(() => null);
    const size = Number(answer?.ok && answer.headers.get("content-length"));
    if (size > 0 && this.isLoading) replace(this.line, h("span", {}, `Loading Kiln (${bytes(size)})…`));
  }

  /** The answer of `init`. */
  ready({ device, reason, version, simd }) {
    this.isLoading = false;
    const name = device === "webgpu" ? "WebGPU" : simd ? "CPU with SIMD" : "CPU";
    replace(this.line, h("span", { title: `Kiln ${version}` }, `Runs in this page on ${device === "webgpu" ? "WebGPU" : `the ${name}`}; nothing is uploaded.${reason ? ` ${asSentence(reason)}` : ""}`));
  }

  /** An error in place of the state. */
  failed(error) {
    this.isLoading = false;
    replace(this.line, h("span", { style: { color: "var(--bad)" } }, [error.message, error.help].filter(Boolean).map(asSentence).join(" ")));
  }
}
