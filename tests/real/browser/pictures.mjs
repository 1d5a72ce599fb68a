// Takes the pictures of docs/images: parts of the report in a window of one width, and its first sheets on A4.
//
//   node pictures.mjs CHROMIUM FOLDER < WANTED
//
// WANTED is a JSON list of {page, file, width, height, selector}: the element that the selector names, or without one
// the top of the page; at most `height` points of either.
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

async function take(page, wanted, folder) {
  await page.setViewportSize({ width: wanted.width, height: wanted.height });
  await page.goto(pathToFileURL(resolve(wanted.page)).href, { waitUntil: "load" });
  const path = join(folder, wanted.file);
  if (wanted.file.endsWith(".pdf")) {
    await page.pdf({ path, format: "A4", preferCSSPageSize: true, printBackground: true, pageRanges: "1-2" });
    return;
  }
  const top = { x: 0, y: 0, width: wanted.width, height: wanted.height };
  if (!wanted.selector) { await page.screenshot({ path, clip: top }); return; }
  const box = await page.locator(wanted.selector).first().boundingBox();
  const clip = { ...box, height: Math.min(box.height, wanted.height) };
  await page.screenshot({ path, clip, fullPage: true });
}

const [executablePath, folder] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, headless: true, args: ["--no-sandbox", "--disable-gpu"] });
const page = await browser.newPage();
for (const wanted of JSON.parse(readFileSync(0, "utf8"))) { await take(page, wanted, folder); }
await browser.close();
