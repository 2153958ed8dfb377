// Checks of a module that is split in two (docs/web.md): what runs without the second module, and what happens when it is late or
// missing.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { serve } from './browser.mjs';
import { normalSession } from './session.mjs';

const SECOND = 'wasm/cpu/kiln_second.wasm';
/** A call that no normal session makes: writing zip files is in the second module. */
const RARE = ['download', { run: 'normal' }];

/** `driver`: `site`, `browser`, `check` and `expect` of drive.mjs. */
export async function checkSecondModule({ site, browser, check, expect }) {
  if (!existsSync(join(site, SECOND))) {
    console.log('skip  the second module: this build is not split');
    return;
  }
  /** How requests of the second module are answered: `missing`, `held` (the first one never is) or `there`. */
  let mode = 'missing';
  let requests = 0;
  const server = await serve(site, (path) => {
    if (!path.endsWith(SECOND)) return null;
    requests += 1;
    if (mode === 'missing') return 404;
    return mode === 'held' && requests === 1 ? new Promise(() => {}) : null;
  });
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${server.url}/bare.html`);
  await page.waitForFunction(() => window.kiln);

  const start = (next) => {
    [mode, requests] = [next, 0];
    return page.evaluate(() => {
      kiln.restart();
      kiln.events.length = 0;
      return kiln.call('init', { device: 'cpu' });
    });
  };
  const call = ([name, values]) =>
    page.evaluate(([name, values]) => kiln.call(name, values).then(() => null, ({ kind, message }) => ({ kind, message })), [name, values]);
  const event = async (name) => (await page.waitForFunction((name) => kiln.events.find((one) => one.event === name), name)).jsonValue();

  await check('a normal session does without the second module', async () => {
    await start('missing');
    await page.evaluate(`(${normalSession})(kiln)`);
    expect((await event('second_module')).loaded === false && requests === 1, `${requests} requests`);
  });

  await check('a second module that is missing gets a sentence, and a new worker goes on', async () => {
    const refused = await call(RARE);
    expect(refused?.kind === 'crashed' && refused.message.includes(SECOND), JSON.stringify(refused));
    expect((await event('crashed')).message.includes('404'), 'the event has no reason');
    await start('there');
    const { runs } = await page.evaluate(() => kiln.call('runs'));
    expect(runs.some(({ run, finished }) => run === 'normal' && finished), JSON.stringify(runs));
    return refused.message;
  });

  await check('a function of the second module is called before the background has loaded it', async () => {
    await start('held');
    const refused = await call(RARE);
    expect(refused === null && requests === 2, `${requests} requests, ${JSON.stringify(refused)}`);
  });

  await check('the second module is loaded in the background', async () => {
    await start('there');
    expect((await event('second_module')).loaded, 'the event says that it is not loaded');
    const refused = await call(RARE);
    expect(refused === null && requests === 1, `${requests} requests, ${JSON.stringify(refused)}`);
  });

  await context.close();
  server.close();
}
