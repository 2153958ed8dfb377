// Drives the pages' worker in headless Chromium:
//
//     node tools/web/drive.mjs SITE KILN [--device cpu|webgpu] [--shots FOLDER] [--chat GGUF] [--variants] [--only WORDS]
//
// SITE is what tools/build-web.sh has built, KILN the command `kiln`, which serves it and with which the results are compared.
// GGUF is a chat model whose speed is measured. --variants trains a step of every variant. With WORDS, only the checks run whose
// name contains them. playwright-core is looked up in the folder $KILN_NODE_MODULES.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openBrowser, serveWithCommand } from './browser.mjs';
import { checkSecondModule } from './second-module-checks.mjs';
import { checkVariants } from './variant-checks.mjs';

const [site, kiln, ...options] = process.argv.slice(2);
const option = (name) => (options.includes(name) ? options[options.indexOf(name) + 1] : null);
const device = option('--device') ?? 'cpu';
const shots = option('--shots');
const chatModel = option('--chat');
const only = option('--only');
/** Losses of the CPU are those of the command; a GPU sums in another order. */
const tolerance = device === 'cpu' ? 1e-4 : 1e-3;

/** Small enough for a minute, with all that a run can have: samples, evaluations, checkpoints. */
const RECIPE = `
name = "small"
seed = 1
data = { source = { stories = { megabytes = 0.5 } } }
tokenizer = { bpe = { vocab = 512 } }
[model]
hidden = 64
[[model.blocks]]
repeat = 2
sublayers = [
    { parts = [{ attention = { projection = { heads = { heads = 4 } } } }] },
    { parts = ["gated_mlp"] },
]
[[stages]]
name = "pretrain"
steps = 30
sequence_length = 128
batch_size = 4
eval_every = 10
eval_tokens = 2048
num_samples = 1
sample_tokens = 16
checkpoint_every = 10
`;
const PROMPT = 'Once upon a time';
const TEXT = 'Mia had 3 kites.';
/** The greedy text, which after 30 steps repeats itself, and a sampled one, which does not. */
const TEXT_OPTIONS = [{ temperature: 0 }, { temperature: 1, seed: 7 }];
const NEW_TOKENS = 24;

const scratch = mkdtempSync(join(tmpdir(), 'kiln-web-'));
const { url, close } = await serveWithCommand(kiln, site);
const browser = await openBrowser(device);
const context = await browser.newContext();
let page;
let failures = 0;

async function check(name, body) {
  if (only && !name.includes(only)) {
    console.log(`skip  ${name}`);
    return;
  }
  const started = Date.now();
  try {
    const note = await body();
    console.log(`ok    ${name}${note ? `: ${note}` : ''} (${((Date.now() - started) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failures += 1;
    console.log(`FAIL  ${name}: ${error.stack ?? error}`);
  }
}

function expect(condition, message) {
  if (!condition) throw new Error(message);
}

/** A tab with the bare page, and what `init` answers. `prepare` gets the tab before the page runs. */
async function openTab(profile = context, prepare = async () => {}) {
  const tab = await profile.newPage();
  tab.on('console', (message) => message.type() === 'error' && console.log(`      console: ${message.text()}`));
  tab.on('pageerror', (error) => console.log(`      page error: ${error}`));
  await prepare(tab);
  await tab.goto(`${url}/bare.html`);
  await tab.waitForFunction(() => window.kiln);
  const init = await tab.evaluate((device) => kiln.call('init', { device }), device);
  return { tab, init };
}

const call = (name, args = {}) => page.evaluate(([name, args]) => kiln.call(name, args), [name, args]);

/** The error of a call. */
const errorOf = (name, args = {}) =>
  page.evaluate(
    ([name, args]) => kiln.call(name, args).then(() => null, ({ kind, message, where, help }) => ({ kind, message, where, help })),
    [name, args],
  );

const events = (kind) => page.evaluate((kind) => kiln.events.filter((event) => event.event === kind), kind);

function command(...args) {
  const output = execFileSync(kiln, [...args, '--json'], { cwd: scratch, stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' });
  return JSON.parse(output.trim().split('\n').at(-1));
}

const rowsOf = (folder) =>
  readFileSync(join(folder, 'metrics.jsonl'), 'utf8').trim().split('\n').map((line) => JSON.parse(line));
const stepsOf = (rows) => rows.filter((row) => row.kind === 'step');

/** Greatest relative difference of the losses of two runs. */
function lossDifference(a, b) {
  const [left, right] = [stepsOf(a), stepsOf(b)];
  expect(left.length > 0 && left.length === right.length, `${left.length} steps against ${right.length}`);
  return Math.max(...left.map((row, index) => Math.abs(row.loss - right[index].loss) / Math.abs(right[index].loss)));
}

/** The zip file of a run, written to disk and unpacked. */
async function downloadRun(run, name) {
  const bytes = await page.evaluate(async (run) => {
    const { bytes } = await kiln.call('download', { run });
    let text = '';
    for (const byte of new Uint8Array(bytes)) text += String.fromCharCode(byte);
    return btoa(text);
  }, run);
  const zip = join(scratch, `${name}.zip`);
  writeFileSync(zip, Buffer.from(bytes, 'base64'));
  const folder = join(scratch, name);
  rmSync(folder, { recursive: true, force: true });
  execFileSync('python3', ['-c', 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])', zip, folder]);
  // The zip holds the run folder itself.
  const [inner] = readdirSync(folder);
  return statSync(join(folder, inner)).isDirectory() && !readdirSync(folder).includes('recipe.toml') ? join(folder, inner) : folder;
}

/** Opens files on disk in the page, as a reader who chooses them. */
async function openFiles(...paths) {
  const input = await page.evaluateHandle(() => Object.assign(document.createElement('input'), { type: 'file', multiple: true }));
  await input.setInputFiles(paths);
  return input.evaluate(async (input) => {
    const files = await Promise.all([...input.files].map(async (file) => ({ name: file.name, bytes: await file.arrayBuffer() })));
    const toJson = ({ kind, message, where, help }) => ({ error: { kind, message, where, help } });
    return kiln.call('open', { files }).catch(toJson);
  });
}

function zipFolder(folder, zip) {
  const script = `import os, sys, zipfile
root, target = sys.argv[1:]
with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as out:
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            out.write(path, os.path.join(os.path.basename(root), os.path.relpath(path, root)))
`;
  execFileSync('python3', ['-c', script, folder, zip]);
}

/** The tensor files of the last checkpoint. */
function checkpointFiles(folder) {
  const checkpoints = join(folder, 'stages', '0-pretrain', 'checkpoints');
  const last = readdirSync(checkpoints).filter((name) => name.startsWith('step-')).sort().at(-1);
  return ['model.safetensors', 'train.safetensors'].map((name) => readFileSync(join(checkpoints, last, name)));
}

const recipe = join(scratch, 'small.toml');
writeFileSync(recipe, RECIPE);
let tab = await openTab();
page = tab.tab;
console.log(`init: ${JSON.stringify(tab.init)}`);
expect(tab.init.device === device, `expected the device ${device}`);

let native;
await check('the command trains the same recipe', async () => {
  native = join(scratch, 'native');
  command('train', recipe, '--out', native, '--threads', '1');
});

let run;
await check('a run trains in the page, and its losses are those of the command', async () => {
  const outcome = await call('train', { toml: RECIPE, set: [] });
  run = outcome.run;
  expect(!outcome.interrupted && outcome.step === 30, JSON.stringify(outcome));
  const { rows } = await call('metrics', { run });
  const difference = lossDifference(rows, rowsOf(native));
  expect(difference <= tolerance, `the losses differ by ${difference}`);
  const losses = stepsOf(rows).map((row) => row.loss);
  expect(losses.at(-1) < losses[0] - 0.5, `the loss does not fall: ${losses}`);
  return `losses ${losses[0].toFixed(3)} … ${losses.at(-1).toFixed(3)}, greatest difference ${difference.toExponential(1)}`;
});

await check('events and lists describe the run', async () => {
  expect((await events('corpus')).length === 1 && (await events('stage')).length === 1, 'no event of corpus or stage');
  const saved = await events('checkpoint');
  expect(saved.length === 3 && saved.every((event) => event.saved), JSON.stringify(saved));
  const { runs } = await call('runs');
  const entry = runs.find((entry) => entry.run === run);
  expect(entry.finished && !entry.running && entry.validation_loss > entry.floor && entry.bytes > 0, JSON.stringify(entry));
});

/** Texts of a model in the page, and of a run by the command. */
async function compareTexts(model, folder) {
  const notes = [];
  for (const options of TEXT_OPTIONS) {
    await page.evaluate(() => (kiln.events.length = 0));
    const ours = await call('generate', { model, prompt: PROMPT, options: { ...options, max_new_tokens: NEW_TOKENS }, alternatives: 5 });
    const flags = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
    const theirs = command('generate', `${folder}@last`, '--prompt', PROMPT, '--max-new-tokens', String(NEW_TOKENS), ...flags);
    expect(ours.text === theirs.text, `${JSON.stringify(ours.text)} is not ${JSON.stringify(theirs.text)}`);
    const tokens = (await events('token')).map((event) => event.token);
    const streamed = tokens.map((token) => token.text).join('');
    expect(streamed === ours.text, `the events have ${JSON.stringify(streamed)}`);
    expect(tokens[0].alternatives.length === 5, JSON.stringify(tokens[0]));
    if (options.temperature === 0) expect(tokens[0].alternatives[0].id === tokens[0].id, JSON.stringify(tokens[0]));
    else expect(new Set(ours.ids).size > NEW_TOKENS / 2, `the text repeats itself: ${JSON.stringify(ours.text)}`);
    notes.push(`${JSON.stringify(ours.text)}, ${ours.tokens_per_second?.toFixed(0)} tokens/s`);
  }
  await call('unload', { model });
  return notes.join('; ');
}

await check('texts of a Hugging Face folder that the command exported are the same', async () => {
  const folder = join(scratch, 'hf');
  command('export', `${native}@last`, '--format', 'hf', '--out', folder);
  const opened = await openFiles(...readdirSync(folder).map((name) => join(folder, name)));
  expect(opened.kind === 'model', JSON.stringify(opened));
  return compareTexts(opened.model, native);
});

await check('texts of a run that the command trained are the same, from its zip file', async () => {
  const zip = join(scratch, 'native.zip');
  zipFolder(native, zip);
  const opened = await openFiles(zip);
  expect(opened.kind === 'run', JSON.stringify(opened));
  const { model } = await call('load', { run: opened.run, checkpoint: 'last' });
  const note = await compareTexts(model, native);
  await call('delete', { run: opened.run });
  return note;
});

await check('a text is shown from inside', async () => {
  const { model } = await call('load', { run });
  const inside = await call('inspect', { model, text: TEXT });
  const { layer, heads, queries, keys } = inside.attention[0];
  expect(heads === 4 && queries === inside.tokens.length, JSON.stringify(inside.attention));
  const { weights } = await call('attention', { model, text: TEXT, layer, head: 1 });
  const values = Object.values(weights);
  expect(values.length === queries * keys, `${values.length} weights`);
  const last = values.slice(-keys).reduce((sum, weight) => sum + weight, 0);
  expect(Math.abs(last - 1) < 1e-4, `a row of attention sums to ${last}`);
  const pair = { model, text: TEXT, source_text: 'Mia had 7 kites.' };
  const map = await call('patch_map', pair);
  expect(Object.values(map.values).length === map.paths.length * map.tokens.length, 'the map has another size');
  const patched = await call('patch', { ...pair, path: 'blocks.0.residual', position: 3 });
  expect(patched.kl >= 0 && patched.before.length === 5, JSON.stringify(patched));
  const set = ['model.blocks.*.sublayers.0.parts.0.attention.pattern={ window = { before = 1, after = 0 } }'];
  const variant = await call('variant', { model, set, name: 'window' });
  expect(variant.kept > 0 && variant.new.length === 0, JSON.stringify(variant));
});

await check('a run is paused, other calls are answered, and it is resumed to the same losses', async () => {
  const answers = await page.evaluate(async (toml) => {
    kiln.events.length = 0;
    const training = kiln.call('train', { toml, set: [], name: 'paused' });
    await new Promise((resolve) => {
      kiln.onevent = (event) => event.event === 'metrics' && event.row.kind === 'step' && event.row.step === 6 && resolve();
    });
    const started = performance.now();
    const { runs } = await kiln.call('runs');
    const waited = performance.now() - started;
    const locked = await kiln.call('resume', { run: 'paused' }).catch((error) => error.kind);
    await kiln.call('pause', { run: 'paused' });
    const outcome = await training;
    const resumed = await kiln.call('resume', { run: 'paused' });
    return { running: runs.find((entry) => entry.run === 'paused')?.running, waited, locked, outcome, resumed };
  }, RECIPE);
  expect(answers.running && answers.locked === 'locked', JSON.stringify(answers));
  expect(answers.outcome.interrupted && answers.outcome.step < 30, JSON.stringify(answers.outcome));
  expect(!answers.resumed.interrupted && answers.resumed.step === 30, JSON.stringify(answers.resumed));
  const [paused, whole] = [await call('metrics', { run: 'paused' }), await call('metrics', { run })];
  const difference = lossDifference(paused.rows, whole.rows);
  expect(difference === 0, `the losses differ by ${difference}`);
  return `stopped after step ${answers.outcome.step}; \`runs\` took ${answers.waited.toFixed(0)} ms`;
});

await check('a run moves page → command → page as zip file: the command resumes it, and the page reads it back to the bit', async () => {
  await page.evaluate(async (toml) => {
    const training = kiln.call('train', { toml, set: [], name: 'moved' });
    await new Promise((resolve) => {
      kiln.onevent = (event) => event.event === 'metrics' && event.row.step === 12 && resolve();
    });
    await kiln.call('pause', { run: 'moved' });
    await training;
  }, RECIPE);
  const folder = await downloadRun('moved', 'moved');
  const before = checkpointFiles(folder);
  command('train', '--resume', folder, '--threads', '1');
  expect(stepsOf(rowsOf(folder)).length === 30, 'the command did not end the run');
  const difference = lossDifference(rowsOf(folder), rowsOf(native));
  expect(difference <= tolerance, `the losses differ by ${difference}`);
  await call('delete', { run: 'moved' });
  const zip = join(scratch, 'moved-on.zip');
  zipFolder(folder, zip);
  const opened = await openFiles(zip);
  expect(opened.kind === 'run', JSON.stringify(opened));
  const back = await downloadRun(opened.run, 'moved-back');
  const [there, again] = [checkpointFiles(folder), checkpointFiles(back)];
  expect(there.every((bytes, index) => bytes.equals(again[index])), 'the checkpoint changed on its way');
  expect(!before[0].equals(there[0]), 'the command trained nothing');
  await call('delete', { run: opened.run });
});

await check('a tab that is killed in the middle continues from its last checkpoint', async () => {
  const killed = await page.evaluate(async (toml) => {
    kiln.events.length = 0;
    kiln.call('train', { toml, set: [], name: 'killed' }).catch(() => {});
    return new Promise((resolve) => {
      let saved = 0;
      kiln.onevent = (event) => {
        if (event.event === 'checkpoint' && event.saved) saved = event.step;
        if (event.event === 'metrics' && event.row.kind === 'step' && saved > 0 && event.row.step > saved + 2) resolve(saved);
      };
    });
  }, RECIPE);
  const session = await context.newCDPSession(page);
  session.send('Page.crash').catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, 500));
  await page.close().catch(() => {});
  tab = await openTab();
  page = tab.tab;
  const { runs } = await call('runs');
  const entry = runs.find((entry) => entry.run === 'killed');
  expect(entry && !entry.running && !entry.problem && !entry.finished, JSON.stringify(runs));
  const outcome = await call('resume', { run: 'killed' });
  expect(outcome.step === 30, JSON.stringify(outcome));
  const [stage] = await events('stage');
  expect(stage.steps_done >= killed, `continued after step ${stage.steps_done}, saved was ${killed}`);
  const [resumed, whole] = [await call('metrics', { run: 'killed' }), await call('metrics', { run })];
  const difference = lossDifference(resumed.rows, whole.rows);
  expect(difference === 0, `the losses differ by ${difference}`);
  return `saved after step ${killed}, continued after step ${stage.steps_done}`;
});

await check('a second tab is told that the first one keeps the runs', async () => {
  const second = await openTab();
  expect(!second.init.storage.saved && /another tab/.test(second.init.storage.message), JSON.stringify(second.init.storage));
  const { runs } = await second.tab.evaluate(() => kiln.call('runs'));
  expect(runs.some((entry) => entry.run === run), 'it does not read the runs');
  await second.tab.close();
});

await check('bad input gets an error with a sentence, and the worker lives', async () => {
  const typo = await errorOf('check', { toml: RECIPE.replace('batch_size', 'batch_sise'), set: [] });
  expect(/batch_sise/.test(typo.message) && /batch_size/.test(typo.help ?? ''), JSON.stringify(typo));
  expect(/recipe.toml:\d+/.test(typo.where ?? ''), JSON.stringify(typo));
  const refused = await errorOf('check', { toml: RECIPE, set: ['model.hidden=63'] });
  expect(refused?.where?.includes('model'), JSON.stringify(refused));
  const garbage = join(scratch, 'garbage.bin');
  writeFileSync(garbage, Buffer.from([0xff, 0xfe, 0, 1, 2, 3]));
  const unknown = (await openFiles(garbage)).error;
  expect(unknown?.kind && `${unknown.where} ${unknown.message}`.includes('garbage.bin'), JSON.stringify(unknown));
  const nothing = await errorOf('generate', { model: 'm99', prompt: 'a' });
  expect(nothing.kind === 'not-loaded', JSON.stringify(nothing));
  const { recipes } = await call('catalog');
  expect(recipes.length > 0, 'the worker is dead');
  return [typo, refused, unknown, nothing].map((error) => `\n        ${error.message} [${error.help}]`).join('');
});

await check('a damaged zip file gets an error with a sentence', async () => {
  const zip = join(scratch, 'native.zip');
  const truncated = join(scratch, 'truncated.zip');
  writeFileSync(truncated, readFileSync(zip).subarray(0, 2000));
  const broken = (await openFiles(truncated)).error;
  expect(broken?.message, JSON.stringify(broken));
  const damaged = join(scratch, 'damaged');
  cpSync(native, damaged, { recursive: true });
  const checkpoints = join(damaged, 'stages', '0-pretrain', 'checkpoints');
  for (const step of readdirSync(checkpoints).filter((name) => name.startsWith('step-'))) {
    const file = join(checkpoints, step, 'model.safetensors');
    writeFileSync(file, readFileSync(file).subarray(0, 5000));
  }
  zipFolder(damaged, join(scratch, 'damaged.zip'));
  const opened = await openFiles(join(scratch, 'damaged.zip'));
  const load = opened.error ?? (await errorOf('load', { run: opened.run }));
  expect(load?.message && /model.safetensors/.test(`${load.message} ${load.where}`), JSON.stringify(load));
  return [broken, load].map((error) => `\n        ${error.message} [${error.help}]`).join('');
});

await check('a full storage is reported, and the run goes on', async () => {
  // A browser profile of its own: Chromium remembers for a while how much space it has found.
  const profile = await browser.newContext();
  const quota = async (tab, size) => {
    const session = await profile.newCDPSession(tab);
    await session.send('Storage.overrideQuotaForOrigin', { origin: url, ...size });
  };
  const mine = page;
  try {
    page = (await openTab(profile, (tab) => quota(tab, { quotaSize: 100_000 }))).tab;
    const outcome = await call('train', { toml: RECIPE, set: ['stages.0.steps=10'], name: 'full' });
    const [saved] = await events('checkpoint');
    expect(outcome.step === 10 && saved.saved === false && /full/.test(saved.message), JSON.stringify([outcome, saved]));
    await quota(page, {});
    // The next call that writes copies what could not be copied.
    await call('train', { toml: RECIPE, set: ['stages.0.steps=1'], name: 'next' });
    await page.close();
    page = (await openTab(profile)).tab;
    const { runs } = await call('runs');
    expect(runs.some((entry) => entry.run === 'full' && entry.step === 10), 'what was not saved is not saved later');
    return saved.message;
  } finally {
    page = mine;
    await profile.close();
  }
});

await check('a module that runs out of memory answers all calls, and a new worker goes on', async () => {
  const refused = await errorOf('train', { toml: RECIPE, set: ['model.hidden=32768'] });
  expect(/memory/.test(refused?.message ?? ''), JSON.stringify(refused));
  const crashed = await page.evaluate(async (toml) => {
    kiln.events.length = 0;
    const set = ['model.hidden=1024', 'stages.0.sequence_length=2048', 'stages.0.batch_size=128'];
    const answers = await Promise.allSettled([kiln.call('train', { toml, set, name: 'large' }), kiln.call('runs'), kiln.call('runs')]);
    const late = await kiln.call('runs').catch((error) => error.kind);
    return { answers: answers.map(({ reason }) => reason?.kind), message: answers[0].reason?.message, late };
  }, RECIPE);
  expect(crashed.answers[0] === 'crashed' && crashed.late === 'crashed', JSON.stringify(crashed));
  expect((await events('crashed')).length === 1, 'no event');
  await page.evaluate(() => kiln.restart());
  await page.evaluate((device) => kiln.call('init', { device }), device);
  expect((await call('runs')).runs.some((entry) => entry.run === run), 'the runs are gone');
  return crashed.message;
});

if (device === 'cpu') await checkSecondModule({ site, browser, check, expect });

await check('step times', async () => {
  const rate = (rows) => {
    const steps = stepsOf(rows).slice(5);
    const times = steps.slice(1).map((row, index) => row.seconds - steps[index].seconds).sort((a, b) => a - b);
    return times[Math.floor(times.length / 2)];
  };
  const stories = (await call('catalog')).recipes.find((entry) => entry.name === 'stories');
  const set = ['stages.0.steps=16', 'stages.0.eval_every=0', 'stages.0.num_samples=0', 'data.source.stories.megabytes=1'];
  const toml = stories.toml.replace(/^tokens = .*$/m, '');
  const started = Date.now();
  await page.evaluate(() => (kiln.events.length = 0));
  const { run: timed } = await call('train', { toml, set, name: 'timed' });
  const seconds = (Date.now() - started) / 1000;
  const [opened] = await events('run');
  const first = (await events('metrics')).find((event) => event.row.kind === 'step');
  const web = rate((await call('metrics', { run: timed })).rows);
  const file = join(scratch, 'stories.toml');
  writeFileSync(file, toml);
  command('train', file, ...set.flatMap((assignment) => ['--set', assignment]), '--out', join(scratch, 'timed'), '--threads', '1');
  const alone = rate(rowsOf(join(scratch, 'timed')));
  const [saved] = (await events('checkpoint')).slice(-1);
  return (
    `${(web * 1000).toFixed(0)} ms in the page, ${(alone * 1000).toFixed(0)} ms native on one thread (${(alone / web).toFixed(2)}); ` +
    `first step after ${((first.at - opened.at) / 1000).toFixed(1)} s, ${(saved.memory_bytes / 2 ** 20).toFixed(0)} MiB of memory, ` +
    `${seconds.toFixed(0)} s in all`
  );
});

if (chatModel) {
  await check('a chat model from a GGUF file answers', async () => {
    const opened = await openFiles(chatModel);
    expect(opened.kind === 'model' && opened.chat, JSON.stringify(opened));
    const messages = [{ role: 'user', content: 'What is the capital of France?' }];
    const options = { max_new_tokens: 40, temperature: 0 };
    const reply = await call('generate', { model: opened.model, messages, options, alternatives: 5 });
    expect(/Paris/.test(reply.text), reply.text);
    expect(reply.tokens_per_second >= 5, `${reply.tokens_per_second} tokens per second`);
    const prompt = reply.prompt_tokens / reply.prompt_seconds;
    return `${reply.tokens_per_second.toFixed(1)} tokens/s, prompt ${prompt.toFixed(0)} tokens/s: ${JSON.stringify(reply.text)}`;
  });
}

if (options.includes('--variants')) await checkVariants({ call, check, expect });

if (shots) {
  mkdirSync(shots, { recursive: true });
  await page.screenshot({ path: join(shots, 'bare.png') });
}
await Promise.race([browser.close(), new Promise((resolve) => setTimeout(resolve, 5000))]);
await check('`kiln web` ends when it is interrupted', async () => {
  const code = await close();
  expect(code === 0, `exit code ${code}`);
});
rmSync(scratch, { recursive: true, force: true });
console.log(failures === 0 ? 'all passed' : `${failures} failed`);
process.exit(failures === 0 ? 0 : 1);
