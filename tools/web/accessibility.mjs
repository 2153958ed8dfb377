// Checks of accessibility: every control has a name, and the rules of axe-core.

/** Every visible control has a name that a screen reader can say. */
export async function checkNames(page, step) {
  const nameless = await page.evaluate(() => {
    const controls = document.querySelectorAll("button, a[href], input, select, textarea, [role='button'], [tabindex='0']");
    const nameOf = element => (element.getAttribute("aria-label") || [...(element.labels ?? [])].map(label => label.textContent).join(" ") || element.textContent || element.title || "").trim();
    const hasName = element => nameOf(element) !== "" || (element.getAttribute("aria-labelledby") ?? "") !== "";
    return [...controls].filter(element => element.checkVisibility() && !hasName(element)).map(element => element.outerHTML.slice(0, 160));
  });
  if (nameless.length > 0) throw new Error(`${step}: controls without a name:\n${nameless.join("\n")}`);
}

/** The rules of WCAG A and AA that axe-core tests. */
export async function checkAccessibility(page, axe, step) {
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] }));
  if (violations.length === 0) return;
  const lines = violations.flatMap(rule => [`${rule.id}: ${rule.help}`, ...rule.nodes.slice(0, 4).map(node => `  ${node.html.slice(0, 200)} ${node.any[0]?.message ?? ""}`)]);
  throw new Error(`${step}: axe-core:\n${lines.join("\n")}`);
}
