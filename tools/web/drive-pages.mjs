// Drives the web pages in headless Chromium as a reader would, and keeps screenshots.
//
//     node tools/web/drive-pages.mjs SITE SCREENSHOTS
//
// SITE: a folder (as tools/build-web.sh writes it), or the address of a server. `playwright-core` and, if it is there,
// `axe-core` are read from the folder in KILN_NODE_MODULES (default: where node finds them); the browser is CHROMIUM
// (default: /usr/bin/chromium). Exits with 1 at the first thing that is not as it should be.

import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { checkAccessibility, checkNames } from "./accessibility.mjs";
import { openBrowser, serve } from "./browser.mjs";
import { brokenWorker, compareSteps, generateSteps, inspectSteps, trainSteps, uploadGarbage } from "./steps.mjs";

const [site, folder] = process.argv.slice(2);
if (!site || !folder) {
  console.error("usage: node tools/web/drive-pages.mjs SITE SCREENSHOTS");
  process.exit(2);
}
const require = createRequire(path.join(process.env.KILN_NODE_MODULES ?? import.meta.dirname, "x.js"));
const axe = optional("axe-core/axe.min.js");
const server = site.startsWith("http") ? { url: site, close() {} } : await serve(site);
mkdirSync(folder, { recursive: true });

const VIEWS = [
  { name: "desktop-light", viewport: { width: 1280, height: 800 }, colorScheme: "light", isFull: true },
  { name: "desktop-dark", viewport: { width: 1280, height: 800 }, colorScheme: "dark" },
  { name: "phone-light", viewport: { width: 390, height: 844 }, colorScheme: "light", hasTouch: true, deviceScaleFactor: 2, reducedMotion: "reduce" },
  { name: "phone-dark", viewport: { width: 360, height: 740 }, colorScheme: "dark", hasTouch: true, deviceScaleFactor: 2 },
];

function optional(name) {
  try {
    return readFileSync(require.resolve(name), "utf8");
  } catch {
    console.log(`${name} is not there: only the driver's own checks of accessibility run`);
    return null;
  }
}

/** A page of its own browser profile that records console errors and requests to other hosts. */
async function open(browser, view) {
  const context = await browser.newContext({ ...view, acceptDownloads: true });
  const page = await context.newPage();
  const problems = [];
  page.on("console", message => { if (message.type() === "error") problems.push(`console: ${message.text()}`); });
  page.on("pageerror", error => problems.push(`page: ${error.stack ?? error.message}`));
  page.on("request", request => {
    const { origin, protocol } = new URL(request.url());
    if (protocol.startsWith("http") && origin !== new URL(server.url).origin) problems.push(`request to another host: ${request.url()}`);
  });
  await page.goto(server.url, { waitUntil: "commit" });
  return { context, page, problems };
}

/** Screenshots of the window and of the whole page, the checks of accessibility, and that nothing is wider than the window. `still`: the pointer stays
 * where it is. */
function recorder(page, view) {
  return async (name, { still = false } = {}) => {
    if (!still) await page.mouse.move(0, 0);
    await page.screenshot({ path: path.join(folder, `${view.name}-${name}.png`), animations: "disabled" });
    const height = await page.evaluate(() => document.documentElement.scrollHeight);
    // A window as high as the page: what sticks to the window's edge is then where it belongs.
    await page.setViewportSize({ ...view.viewport, height: Math.max(height, view.viewport.height) });
    await page.screenshot({ path: path.join(folder, `${view.name}-${name}-whole.png`), animations: "disabled" });
    await page.setViewportSize(view.viewport);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (overflow > 0) throw new Error(`${name}: the page is ${overflow} pixels wider than the window`);
    await checkNames(page, name);
    if (axe) await checkAccessibility(page, axe, name);
  };
}

const browser = await openBrowser();
let failed = false;
for (const view of VIEWS.filter(one => !process.env.KILN_VIEW || one.name.startsWith(process.env.KILN_VIEW))) {
  const started = Date.now();
  const { context, page, problems } = await open(browser, view);
  const record = recorder(page, view);
  try {
    await page.locator("h1:visible").waitFor({ timeout: 20000 });
    await trainSteps(page, record, view);
    await generateSteps(page, record, view);
    await inspectSteps(page, record);
    await compareSteps(page, record);
    await uploadGarbage(page, record);
    if (problems.length > 0) throw new Error(problems.join("\n"));
    if (view.isFull) await brokenWorker(page, record);
    console.log(`${view.name}: passed in ${((Date.now() - started) / 1000).toFixed(1)} s`);
  } catch (error) {
    failed = true;
    console.error(`${view.name}: ${error.stack ?? error}\n${problems.join("\n")}`);
    await page.screenshot({ path: path.join(folder, `${view.name}-failure.png`) }).catch(() => {});
  }
  await context.close();
}
await browser.close();
server.close();
process.exit(failed ? 1 : 0);
