// Opens pages in headless Chromium and tells as JSON what it found.
//
//   node look.mjs CHROMIUM [--shots DIR] PAGE.html...
//
// Per page: every address asked for beside the page itself, errors on the console, dialogs, what axe-core finds (WCAG
// 2.0 to 2.2, levels A and AA), whether anything is wider than the window at three widths, what the page's own script
// does, and whether the text is the same without script. With --shots also pictures (desktop, tablet) and the A4 PDF.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const WIDTHS = { desktop: 1280, tablet: 820, phone: 390 };
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];

async function findings(page) {
  await page.evaluate(axe);
  const result = await page.evaluate(
    (values) => window.axe.run(document, { runOnly: { type: "tag", values } }), RULES);
  return result.violations.map((found) => ({
    rule: found.id, impact: found.impact, help: found.help, count: found.nodes.length,
    first: found.nodes[0].html.slice(0, 300), why: found.nodes[0].failureSummary,
  }));
}

async function tooWide(page) {
  const wide = {};
  for (const [name, width] of Object.entries(WIDTHS)) {
    await page.setViewportSize({ width, height: 900 });
    const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    if (over > 0) { wide[name] = over; }
  }
  await page.setViewportSize({ width: WIDTHS.desktop, height: 900 });
  return wide;
}

async function sorting(page) {
  const chooser = page.locator("select.cell-order");
  const cells = () => page.locator("div.gallery figure").evaluateAll((all) => all.map((one) => one.id));
  const done = {};
  if (await chooser.count()) {
    const before = await cells();
    await chooser.selectOption("doubt");
    const after = await cells();
    const doubt = await page.locator("div.gallery").first().locator("figure")
      .evaluateAll((all) => all.map((one) => Number(one.dataset.doubt)));
    done.cells = {
      same: before.length === after.length && new Set(before).size === new Set([...before, ...after]).size,
      ordered: doubt.every((value, place) => place === 0 || doubt[place - 1] <= value),
    };
    await chooser.selectOption("suspicion");
    done.back = (await cells()).join() === before.join();
  }
  const table = page.locator("table.sortable").first();
  if (await table.count()) {
    const column = () => table.locator("tbody tr > :first-child").evaluateAll((all) => all.map((one) => one.textContent));
    await table.locator("th button").first().click();
    const up = await column();
    await table.locator("th button").first().click();
    const down = await column();
    done.table = { up, reversed: down.join() === [...up].reverse().join() };
  }
  return done;
}

async function look(browser, path, shots) {
  const address = pathToFileURL(resolve(path)).href;
  const asked = [], errors = [], dialogs = [];
  const context = await browser.newContext({ viewport: { width: WIDTHS.desktop, height: 900 } });
  const page = await context.newPage();
  page.on("request", (request) => {
    if (request.url() !== address && !request.url().startsWith("data:")) { asked.push(request.url()); }
  });
  page.on("console", (message) => { if (message.type() === "error") { errors.push(message.text()); } });
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("dialog", (dialog) => { dialogs.push(dialog.message()); return dialog.dismiss(); });
  await page.goto(address, { waitUntil: "load" });
  const name = basename(path, ".html");
  const found = {
    page: name, lang: await page.getAttribute("html", "lang"), title: await page.title(),
    violations: await findings(page), wide: await tooWide(page), sorting: await sorting(page),
    scripts: await page.locator("script").count(), images: await page.locator("img, iframe, object").count(),
  };
  if (shots) { await picture(page, name, shots); }
  await context.close();
  const plain = await browser.newContext({ javaScriptEnabled: false });
  const still = await plain.newPage();
  still.on("request", (request) => {
    if (request.url() !== address && !request.url().startsWith("data:")) { asked.push(request.url()); }
  });
  await still.goto(address);
  found.chooserHiddenWithoutScript = !(await still.locator("select.cell-order:visible").count());
  found.textWithoutScript = (await still.locator("main").innerText()).length;
  await plain.close();
  return { ...found, asked, errors, dialogs };
}

async function picture(page, name, folder) {
  for (const [size, width] of Object.entries(WIDTHS)) {
    await page.setViewportSize({ width, height: 900 });
    await page.screenshot({ path: join(folder, `${name}-${size}.png`), fullPage: true });
  }
  await page.pdf({ path: join(folder, `${name}.pdf`), format: "A4", preferCSSPageSize: true, printBackground: true });
}

const [executablePath, ...rest] = process.argv.slice(2);
const shots = rest[0] === "--shots" ? rest[1] : null;
const browser = await chromium.launch({
  executablePath, headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
const all = [];
for (const path of rest.slice(shots ? 2 : 0)) { all.push(await look(browser, path, shots)); }
await browser.close();
console.log(JSON.stringify(all));
