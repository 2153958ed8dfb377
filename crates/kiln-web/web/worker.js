// The Web Worker that owns the session (docs/web.md). Messages: `{ id, call, ... }`, answered by `{ id, ok }` or
// `{ id, error }`, and events `{ event, ... }`.

import { openStore } from './storage.js';

/** Calls after which the browser's copy is written. */
const WRITING_CALLS = new Set(['train', 'resume', 'delete', 'open']);

let session = null;
let store = null;
/** The answer of `init`, once it was called. */
let opened = null;
/** Why the module ended. */
let crash = null;
/** Ids of the calls without an answer. */
const openCalls = new Set();

self.onmessage = ({ data }) => answer(data);
self.addEventListener('error', (event) => crashed(trapSentence(event.error ?? event.message)));
self.addEventListener('unhandledrejection', (event) => crashed(trapSentence(event.reason)));
/** Called by the module before a panic ends it. */
globalThis.reportPanic = (message) => crashed(message);

async function answer(message) {
  const { id, call } = message;
  openCalls.add(id);
  const reply = await run(message).catch(toError);
  if (!openCalls.delete(id)) return;
  const transfer = reply.transfer ?? [];
  delete reply.transfer;
  self.postMessage({ id, ...reply }, transfer);
}

async function run(message) {
  if (crash !== null) return crashError();
  if (message.call === 'init') {
    opened ??= open(message.device ?? 'auto');
    opened.catch(() => (opened = null));
    return { ok: await opened };
  }
  await opened;
  if (!session) return failure('usage', 'the first call must be `init`');
  return callSession(message);
}

async function callSession(message) {
  const files = (message.files ?? []).map(({ name, bytes }) => [name, new Uint8Array(bytes)]);
  const [json, arrays] = await session.call(JSON.stringify({ ...message, files: undefined }), files);
  const reply = JSON.parse(json);
  reply.transfer = arrays.map(([pointer, array]) => place(reply.ok, pointer, array));
  if (WRITING_CALLS.has(message.call)) {
    const problem = await save();
    if (problem) self.postMessage({ event: 'storage', saved: false, message: problem });
  }
  return reply;
}

/** Puts an array where a JSON pointer says, and returns its buffer. */
function place(value, pointer, array) {
  const keys = pointer.split('/').slice(1);
  const last = keys.pop();
  const parent = keys.reduce((object, key) => object[key], value);
  parent[last] = array;
  return array.buffer ?? array;
}

/** Opens module, store and session. */
async function open(wanted) {
  const choice = await chooseDevice(wanted);
  const { module, memory } = await loadModule(choice.device);
  store = await openStore();
  const files = await store.readAll();
  let { device, reason } = choice;
  try {
    session = await module.openSession(device, host, files);
  } catch (error) {
    if (device === 'cpu') throw error;
    [device, reason] = ['cpu', String(error)];
    session = await module.openSession(device, host, files);
  }
  moduleMemory = memory;
  // Not awaited: its functions load it themselves if they are called before it is there.
  module.second?.load(crashed).then((loaded) => self.postMessage({ event: 'second_module', loaded }));
  return { device, reason, ...JSON.parse(module.description()), storage: { saved: store.message === null, message: store.message } };
}

/** The device that can be used, and why it is not WebGPU. */
async function chooseDevice(wanted) {
  if (wanted === 'cpu') return { device: 'cpu', reason: 'the CPU was chosen' };
  if (!navigator.gpu) return { device: 'cpu', reason: 'this browser has no WebGPU' };
  const adapter = await navigator.gpu.requestAdapter().catch(() => null);
  if (!adapter) return { device: 'cpu', reason: 'WebGPU finds no graphics processor that it can use' };
  const found = await fetch(new URL('./wasm/webgpu/kiln.js', import.meta.url), { method: 'HEAD' }).catch(() => null);
  if (!found?.ok) return { device: 'cpu', reason: 'this site was built for the CPU only' };
  return { device: 'webgpu', reason: null };
}

/** Loads the module for a device: that of the CPU is smaller. */
async function loadModule(device) {
  const module = await import(device === 'cpu' ? './wasm/cpu/kiln.js' : './wasm/webgpu/kiln.js');
  const exports = await module.default();
  // Static constructors of the WebGPU build; see tools/build-web.sh.
  exports.__wasm_call_ctors?.();
  return { module, memory: exports.memory };
}

let moduleMemory = null;

/** What the session calls: its clock, the event loop, and its events. */
const host = {
  now: () => performance.now(),
  unixTime: () => Date.now() / 1000,
  yieldNow,
  emit(json) {
    const event = JSON.parse(json);
    if (event.event === 'checkpoint') saveCheckpoint(event);
    else self.postMessage(event);
  },
};

// `setTimeout` waits at least 4 ms; a message to oneself does not wait, and lets the messages of the page through.
const channel = new MessageChannel();
const waiting = [];
channel.port1.onmessage = () => waiting.shift()?.();

function yieldNow() {
  return new Promise((resolve) => {
    waiting.push(resolve);
    channel.port2.postMessage(null);
  });
}

/** Writes what has changed into the browser's copy. The changes are taken before this function returns. */
function save() {
  return store.write(session.takeChanges(), (path) => session.read(path));
}

async function saveCheckpoint(event) {
  const message = await save();
  const memory = moduleMemory?.buffer.byteLength ?? null;
  self.postMessage({ ...event, saved: message === null, message, memory_bytes: memory });
}

/** Answers every open call: the module cannot be used any more. */
function crashed(message) {
  if (crash !== null) return;
  crash = message;
  for (const id of openCalls) self.postMessage({ id, ...crashError() });
  openCalls.clear();
  self.postMessage({ event: 'crashed', message });
}

/** A trap without a panic before it is a failed allocation. */
function trapSentence(error) {
  const text = String(error?.message ?? error);
  return error instanceof WebAssembly.RuntimeError ? `${text}; the memory of the page was most likely not enough` : text;
}

function crashError() {
  return failure('crashed', `the program ended unexpectedly: ${crash}`, 'start it again: saved runs are read back');
}

function toError(error) {
  if (error instanceof WebAssembly.RuntimeError) {
    crashed(trapSentence(error));
    return crashError();
  }
  return failure('load', `the program could not be loaded: ${error?.message ?? error}`, 'reload the page');
}

function failure(kind, message, help = null) {
  return { error: { kind, message, where: null, help } };
}
