// What a reader does on the pages, and what must then be visible.

const SLOW = 90000;

const number = text => Number(text.replace(/[^\d.]/g, ""));

async function figure(page, name) {
  return page.locator(".figures li", { has: page.locator(`span:text-is("${name}")`) }).locator("b").innerText();
}

function expect(condition, message) {
  if (!condition) throw new Error(message);
}

async function choose(page, label, value) {
  await page.getByLabel(label, { exact: true }).selectOption(value);
}

/** Selects a recipe, meets a refusal, trains, pauses, reloads, resumes. */
export async function trainSteps(page, record, view) {
  await page.getByRole("button", { name: "Start training" }).and(page.locator(":enabled")).waitFor({ timeout: SLOW });
  await record("train-first");
  await page.getByRole("button", { name: /^A first run/ }).click();
  await refusal(page, record);
  await page.getByRole("radio", { name: "TOML" }).click();
  await page.getByRole("textbox", { name: "Recipe" }).waitFor();
  await record("train-toml");
  await brokenToml(page, record);
  await page.getByRole("radio", { name: "Choices" }).click();
  await choose(page, "Attention pattern", "window");
  await page.getByLabel("Steps", { exact: true }).fill("1000");
  await page.getByText("before", { exact: true }).waitFor();
  await page.locator(".patterns figure").first().waitFor();
  await page.getByRole("button", { name: "Start training" }).and(page.locator(":enabled")).click();
  await page.getByRole("button", { name: "Pause", exact: true }).waitFor({ timeout: SLOW });
  await page.waitForFunction(() => /[1-9]/.test(document.querySelector(".figures b")?.textContent ?? ""), null, { timeout: SLOW });
  await waitForLoss(page);
  await record("train-running");
  await pauseReloadResume(page, record);
  await hoverChart(page, record, view);
}

async function refusal(page, record) {
  await choose(page, "Position encoding", "xpos");
  await choose(page, "Objective", "masked");
  const error = page.locator(".field .error p").first();
  await error.waitFor({ timeout: SLOW });
  expect(await page.getByRole("button", { name: "Start training" }).isDisabled(), "a refused recipe must not start");
  await record("train-refusal");
  await choose(page, "Objective", "full");
  await error.waitFor({ state: "detached", timeout: SLOW });
  await choose(page, "Position encoding", "rotary");
}

async function brokenToml(page, record) {
  const text = page.getByRole("textbox", { name: "Recipe" });
  const before = await text.inputValue();
  await text.fill(before.replace("seed = 0", "sed = 0"));
  await page.locator(".error p").first().waitFor({ timeout: SLOW });
  await record("train-toml-error");
  await text.fill(before);
  await page.locator(".error p").first().waitFor({ state: "detached", timeout: SLOW });
}

async function waitForLoss(page) {
  await page.waitForFunction(() => document.querySelectorAll(".chart .frame path.thin").length > 0, null, { timeout: SLOW });
  await page.locator("section[aria-label='Samples']:visible blockquote").first().waitFor({ timeout: SLOW });
}

async function hoverChart(page, record, view) {
  const frame = page.locator("section[aria-label='Loss curves'] .frame");
  await frame.scrollIntoViewIfNeeded();
  const box = await frame.boundingBox();
  await (view.hasTouch ? page.touchscreen.tap(box.x + box.width * 0.6, box.y + 60) : page.mouse.move(box.x + box.width * 0.6, box.y + 60));
  await page.locator(".tip").first().waitFor();
  await frame.focus();
  await page.keyboard.press("ArrowLeft");
  expect((await page.locator(".tip").first().innerText()).includes("step"), "the tip of the chart gives the step");
  await page.getByRole("radio", { name: "Log", exact: true }).click();
  await record("train-log");
}

async function pauseReloadResume(page, record) {
  await page.getByRole("button", { name: "Pause", exact: true }).click();
  const resume = page.locator("section[aria-label='Current run']").getByRole("button", { name: "Resume" });
  await resume.waitFor({ timeout: SLOW });
  const step = number(await figure(page, "Step"));
  await page.reload();
  await resume.waitFor({ timeout: SLOW });
  const saved = number(await figure(page, "Step"));
  expect(saved === step, `after a reload the run is at step ${saved}, it was paused at ${step}`);
  await record("train-reloaded");
  await resume.click();
  await page.waitForFunction(before => Number(document.querySelector(".figures b")?.textContent.replace(/[^\d]/g, "")) > before, step, { timeout: SLOW });
  await page.getByRole("button", { name: "Pause", exact: true }).click();
  await resume.waitFor({ timeout: SLOW });
  await downloadRun(page);
}

/** A run downloads as a zip, where the build has zip files. */
async function downloadRun(page) {
  const button = page.getByRole("button", { name: /^Download / }).first();
  if (!(await button.isVisible())) {
    console.log("this build has no zip files of runs: nothing is downloaded");
    return;
  }
  const download = page.waitForEvent("download");
  await button.click();
  expect((await download).suggestedFilename().endsWith(".zip"), "a run downloads as a zip");
}

/** Generates from the run and reads a token's alternatives. */
export async function generateSteps(page, record, view) {
  await page.getByRole("button", { name: "Generate from it" }).click();
  await page.locator("#page-generate:visible").waitFor({ timeout: SLOW });
  await page.getByLabel("Max new tokens").fill("40");
  await page.getByRole("button", { name: "Generate", exact: true }).and(page.locator(":enabled")).click();
  await page.locator("#page-generate").getByText(/tokens? per second;/).waitFor({ timeout: SLOW });
  const token = page.locator(".token").nth(3);
  await (view.hasTouch ? token.tap() : token.hover());
  await page.locator(".popover:visible tr").nth(2).waitFor();
  await page.locator(".token").first().focus();
  await page.keyboard.press("ArrowRight");
  await page.locator(".popover:visible").waitFor();
  await record("generate", { still: true });
  await page.keyboard.press("Escape");
  await page.getByLabel("Max new tokens").fill("2000");
  await page.getByRole("spinbutton", { name: "Temperature", exact: true }).fill("1");
  await page.getByRole("button", { name: "Generate", exact: true }).click();
  const stop = page.getByRole("button", { name: "Stop" });
  if (await stop.isVisible()) await stop.click().catch(() => {});
  await page.locator("#page-generate").getByText(/tokens? per second;/).waitFor({ timeout: SLOW });
}

/** Attention maps, logit lens, patching. */
export async function inspectSteps(page, record) {
  await page.getByRole("link", { name: "Inspect" }).click();
  await page.locator(".thumb[aria-pressed='true']").waitFor({ timeout: SLOW });
  await page.locator(".thumb", { hasText: "%" }).nth(1).waitFor({ timeout: SLOW });
  await page.locator(".thumb").nth(1).click();
  const map = page.locator("#page-inspect .map canvas").first();
  await map.focus();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  expect((await page.locator("#page-inspect .map output").first().innerText()).includes("attends to"), "the map reads a cell");
  await page.locator(".chip").nth(4).click();
  await record("inspect-attention");
  await page.getByRole("radio", { name: "Logit lens" }).click();
  await page.locator(".lens td").first().waitFor();
  await record("inspect-lens");
  await page.getByRole("radio", { name: "Patching" }).click();
  await page.getByRole("button", { name: "Patch every position" }).click();
  const heat = page.locator("#page-inspect .map canvas").last();
  await heat.waitFor({ timeout: SLOW });
  await heat.scrollIntoViewIfNeeded();
  await heat.focus();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Enter");
  await page.locator("#page-inspect .bars").nth(1).waitFor({ timeout: SLOW });
  await record("inspect-patch");
  await page.getByLabel(/^Other text/).fill("Too short");
  await page.getByRole("button", { name: "Patch every position" }).click();
  await page.locator("#page-inspect .error p").first().waitFor({ timeout: SLOW });
}

/** Three variants beside each other, one changed. */
export async function compareSteps(page, record) {
  await page.getByRole("link", { name: "Compare" }).click();
  const maps = page.locator("#page-compare .variant .map canvas:visible");
  await maps.nth(2).waitFor({ timeout: SLOW });
  await page.locator(".variant").nth(2).getByLabel("Pattern", { exact: true }).selectOption("strided");
  await page.locator(".variant").nth(2).getByRole("heading", { name: "strided" }).waitFor();
  await page.waitForFunction(() => [...document.querySelectorAll(".variant [role='status']")].every(note => !note.textContent.startsWith("Computing")), null, { timeout: SLOW });
  await page.locator(".variant .patterns figure").nth(2).waitFor({ timeout: SLOW });
  await record("compare");
}

/** A file that is nothing that Kiln reads gets a sentence, and the page goes on. */
export async function uploadGarbage(page, record) {
  await page.getByRole("link", { name: "Train", exact: true }).click();
  await page.locator("#page-train input[type='file']").first().setInputFiles({ name: "garbage<img src=x onerror=alert(1)>.bin", mimeType: "application/octet-stream", buffer: Buffer.from([0xff, 0xfe, 0, 1, 2, 3]) });
  await page.locator("#notices .notice").waitFor({ timeout: SLOW });
  expect((await page.locator("#notices .notice").innerText()).length > 20, "garbage gets a sentence");
  await record("garbage");
  await page.getByRole("button", { name: "Dismiss" }).click();
}

/** A worker that cannot be loaded gets a notice with a restart, and the restart works. */
export async function brokenWorker(page, record) {
  await page.route("**/worker.js", route => route.abort());
  await page.reload();
  const restart = page.getByRole("button", { name: "Restart Kiln" });
  await restart.waitFor({ timeout: SLOW });
  await record("crashed");
  await page.unroute("**/worker.js");
  await restart.click();
  await page.getByRole("button", { name: "Start training" }).and(page.locator(":enabled")).waitFor({ timeout: SLOW });
}
