// Splits the WebAssembly module of a folder into two:
//
//     node tools/web/split.mjs FOLDER
//
// FOLDER is what wasm-bindgen has written: kiln.js and kiln_bg.wasm. kiln_bg.wasm keeps the functions that a normal session
// calls (session.mjs), which an instrumented module records in node; kiln_second.wasm gets the others, and kiln.js loads it
// (crates/kiln-web/web/second-module.js). `wasm-split` of Binaryen instruments and splits. Nothing is changed if it fails.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { PLACEHOLDERS, SHARED } from '../../crates/kiln-web/web/second-module.js';
import { normalSession } from './session.mjs';

/** What rustc and wasm-bindgen use. */
const FEATURES = [
  '--enable-simd',
  '--enable-bulk-memory',
  '--enable-sign-ext',
  '--enable-nontrapping-float-to-int',
  '--enable-mutable-globals',
  '--enable-multivalue',
  '--enable-reference-types',
];
const PAGE = 65536;
const VECTOR = 0x7b;
const SECTION = { types: 1, exports: 7 };
const TABLE = 1;

const [folder] = process.argv.slice(2);
if (!folder) fail('no folder; usage: node tools/web/split.mjs FOLDER');
const input = join(folder, 'kiln_bg.wasm');
const glue = join(folder, 'kiln.js');
const scratch = mkdtempSync(join(tmpdir(), 'kiln-split-'));
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));

function fail(message) {
  console.error(`error: ${message}`);
  process.exit(1);
}

function wasmSplit(...args) {
  execFileSync('wasm-split', [...FEATURES, ...args], { stdio: ['ignore', 'inherit', 'inherit'] });
}

/** An unsigned LEB128 number at `at`, and where the next byte is. */
function readNumber(bytes, at) {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++];
    value += (byte & 127) * 2 ** shift;
    if (byte < 128) return [value, at];
  }
}

/** Start and end of a section's contents; `[0, 0]` if there is none. */
function findSection(bytes, wanted) {
  for (let at = 8; at < bytes.length; ) {
    const [length, start] = readNumber(bytes, at + 1);
    if (bytes[at] === wanted) return [start, start + length];
    at = start + length;
  }
  return [0, 0];
}

/** Where the indices of the exported tables are, by name. */
function tableExports(bytes) {
  const found = new Map();
  let [at, end] = findSection(bytes, SECTION.exports);
  for ([, at] = readNumber(bytes, at); at < end; ) {
    const [length, start] = readNumber(bytes, at);
    const kind = bytes[start + length];
    if (kind === TABLE) found.set(bytes.toString('utf8', start, start + length), start + length + 1);
    [, at] = readNumber(bytes, start + length + 1);
  }
  return found;
}

/** Binaryen 108 writes 0 as index of every exported table. Tables that wasm-bindgen exports get their index back. */
function restoreTableExports(file, original) {
  const bytes = readFileSync(file);
  const written = tableExports(bytes);
  for (const [name, at] of tableExports(original)) {
    if (!written.has(name)) fail(`wasm-split has dropped the exported table ${name}`);
    bytes[written.get(name)] = original[at];
  }
  writeFileSync(file, bytes);
}

/** A placeholder is a function of JavaScript, which cannot take or return a SIMD vector. */
function refuseVectors(original) {
  const [start, end] = findSection(original, SECTION.types);
  if (original.subarray(start, end).includes(VECTOR)) fail('a function takes or returns a SIMD vector, which a placeholder cannot');
}

/** The functions that a normal session of the instrumented module calls, as a profile of wasm-split. */
async function record(instrumented) {
  copyFileSync(glue, join(scratch, 'kiln.mjs'));
  const kiln = await import(pathToFileURL(join(scratch, 'kiln.mjs')));
  const exports = kiln.initSync({ module: readFileSync(instrumented) });
  globalThis.reportPanic = (message) => fail(`the instrumented module ended: ${message}`);
  const page = { onevent: null };
  let session;
  let lastId = 0;
  const files = new Map();
  const saved = [];
  const save = () => {
    for (const [path, bytes] of session.takeChanges()) bytes ? files.set(path, session.read(path)) : files.delete(path);
    saved.push([...files]);
  };
  const host = {
    now: () => performance.now(),
    unixTime: () => Date.now() / 1000,
    yieldNow: () => new Promise((resolve) => setImmediate(resolve)),
    emit(json) {
      const event = JSON.parse(json);
      if (event.event === 'checkpoint') save();
      page.onevent?.(event);
    },
  };
  page.call = async (call, values = {}) => {
    const [json] = await session.call(JSON.stringify({ id: ++lastId, call, ...values }), []);
    const { ok, error } = JSON.parse(json);
    if (error) throw Object.assign(new Error(error.message), error);
    return ok;
  };
  kiln.description();
  session = await kiln.openSession('cpu', host, []);
  await normalSession(page);
  save();
  // The page is loaded again, after a run that was interrupted and one that has ended.
  for (const copy of [saved.at(0), saved.at(-1)]) {
    session = await kiln.openSession('cpu', host, copy);
    for (const { run, finished } of (await page.call('runs')).runs) {
      await page.call('metrics', { run });
      if (!finished) await page.call('resume', { run });
      await page.call('delete', { run });
    }
  }
  return readProfile(exports);
}

/** The profile, which the module writes into memory that is added for it. */
function readProfile({ memory, __write_profile }) {
  const size = __write_profile(0, 0);
  const start = memory.grow(Math.ceil(size / PAGE)) * PAGE;
  __write_profile(start, size);
  return Buffer.from(memory.buffer, start, size);
}

/** kiln.js that passes the placeholders to the first module. */
function patchGlue(text) {
  const imports = 'const imports = __wbg_get_imports();';
  // In `initSync` and in the asynchronous initialization.
  if (text.split(imports).length !== 3) fail(`${glue} does not have \`${imports}\` twice: wasm-bindgen has changed`);
  if (!/^let wasmModule, wasmInstance, wasm;$|^let wasm;$/m.test(text)) fail(`${glue} has no variable \`wasm\`: wasm-bindgen has changed`);
  const head =
    "import { SecondModule } from '../../second-module.js';\n" +
    "export const second = new SecondModule(new URL('kiln_second.wasm', import.meta.url), () => wasm);\n";
  return head + text.replaceAll(imports, 'const imports = second.addPlaceholders(__wbg_get_imports());');
}

/** Fails unless an output is valid and imports from these namespaces only. */
function checkModule(file, namespaces) {
  const found = WebAssembly.Module.imports(new WebAssembly.Module(readFileSync(file))).map(({ module }) => module);
  const other = found.find((name) => !namespaces.includes(name));
  if (other !== undefined) fail(`${file} imports from \`${other}\`: this version of wasm-split is not supported`);
}

const original = readFileSync(input);
const patched = patchGlue(readFileSync(glue, 'utf8'));
refuseVectors(original);
const instrumented = join(scratch, 'instrumented.wasm');
wasmSplit('--instrument', input, '-o', instrumented);
restoreTableExports(instrumented, original);
const profile = join(scratch, 'profile');
writeFileSync(profile, await record(instrumented));
const [first, second] = [join(scratch, 'first.wasm'), join(scratch, 'second.wasm')];
const names = [`--import-namespace=${SHARED}`, `--placeholder-namespace=${PLACEHOLDERS}`, '--export-prefix=%'];
wasmSplit(input, '--profile', profile, ...names, '-o1', first, '-o2', second);
restoreTableExports(first, original);
checkModule(first, ['./kiln_bg.js', PLACEHOLDERS]);
checkModule(second, [SHARED]);
copyFileSync(first, input);
copyFileSync(second, join(folder, 'kiln_second.wasm'));
writeFileSync(glue, patched);
process.exit(0);
