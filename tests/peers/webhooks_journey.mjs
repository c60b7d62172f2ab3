// The inbox of webhooks as an operator uses it: from the console to a call that came to nothing, replayed; then a
// delivery, sent again. Usage: node webhooks_journey.mjs <base url> <chromium> <e-mail>. Prints one JSON object of what
// was seen; leaves with status 1 and the reason when a step does not happen. SCREENSHOTS names a folder for pictures.
import { chromium } from "playwright-core";

const [base, executablePath, email] = process.argv.slice(2);
const folder = process.env.SCREENSHOTS;
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme: "light" });
const page = await context.newPage();
page.setDefaultTimeout(60_000);
const seen = { complaints: [], dialogs: 0, outside: [] };
page.on("console", (message) => { if (message.type() === "error") seen.complaints.push(message.text()); });
page.on("pageerror", (error) => seen.complaints.push(error.message));
page.on("dialog", (dialog) => { seen.dialogs += 1; void dialog.dismiss(); });
page.on("request", (request) => { if (!request.url().startsWith(base)) seen.outside.push(request.url()); });

const shown = (selector) => page.locator(selector).filter({ visible: true }).first().waitFor();
const texts = (selector) => page.locator(selector).allTextContents();
const picture = async (name) => { if (folder) await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true }); };

async function signIn(page) {
  await page.fill("#email", email);
  await page.keyboard.press("Enter");
  await page.locator("#code").waitFor();
  const outbox = await context.newPage();
  await outbox.goto(`${base}/console/outbox`);
  const code = await outbox.locator("article", { hasText: email }).first().locator(".code").textContent();
  await outbox.close();
  await page.fill("#code", code);
  await page.keyboard.press("Enter");
}

/** Press Tab until what is focused matches, as somebody without a mouse does. */
async function tabTo(selector) {
  for (let steps = 0; steps < 60; steps += 1) {
    await page.keyboard.press("Tab");
    if (await page.evaluate((wanted) => document.activeElement.matches(wanted), selector)) return;
  }
  throw new Error(`no Tab leads to ${selector}`);
}

async function received() {
  await page.goto(`${base}/console`);
  await shown("#email");
  await signIn(page);
  await shown("#to-webhooks");
  await picture("console");
  seen.complaints = [];
  await page.click("#to-webhooks");
  await shown("#received-rows a");
  seen.vendors = await texts("#received-provider option");
  seen.all = await page.locator("#received-rows tr").count();
  await picture("received");
  await page.click("#received-older");
  await page.waitForFunction(() => location.hash.includes("cursor="));
  await shown("#received-newest");
  seen.older = await page.locator("#received-rows tr").count();
  await page.goBack();
  await page.waitForFunction(() => !location.hash.includes("cursor="));
  await page.selectOption("#received-state", "dead");
  await page.waitForFunction(() => document.querySelectorAll("#received-rows tr").length === 1);
  await page.selectOption("#received-provider", "elevenlabs");
  await page.waitForFunction(() => location.hash.includes("provider=elevenlabs&state=dead"));
  await shown("#received-rows .badge.bad");
  seen.row = await texts("#received-rows td");
  await picture("received-dead");

  await tabTo("#received-rows a");
  await page.keyboard.press("Enter");
  await shown("#view-call .badge.bad");
  seen.before = await page.textContent("#call-state");
  seen.error = await page.textContent("#call-error");
  seen.headers = await page.textContent("#call-headers");
  seen.body = await page.textContent("#call-body");
  seen.inBody = await page.locator("#call-body *").count();
  await picture("call-dead");
  await tabTo("#call-replay");
  await page.keyboard.press("Enter");
  await shown("#view-call .badge.good");
  seen.after = await page.textContent("#call-state");
  seen.focus = await page.evaluate(() => document.activeElement.id);
  await page.locator("#call-replay:not([aria-busy])").waitFor();
  seen.said = await page.textContent("#status");
  await page.click("#call-indent");
  seen.indented = (await page.textContent("#call-body")).split("\n").length;
  await page.emulateMedia({ colorScheme: "dark" });
  await picture("call-processed-dark");
  await page.click("#call-back");
  await shown("#received-rows .none");
  await page.selectOption("#received-state", "");
  await shown("#received-rows .badge.good");
  await picture("received-dark");
}

async function sent() {
  await page.click("#tab-sent");
  await shown("#delivery-rows .badge.bad");
  seen.endpoint = await texts("#endpoint-rows td");
  await picture("sent-dark");
  await page.emulateMedia({ colorScheme: "light" });
  await page.locator("#delivery-rows a").first().click();
  await shown("#view-delivery .badge.bad");
  seen.sentError = await page.textContent("#delivery-error");
  await picture("delivery-dead");
  await page.click("#delivery-again");
  await shown("#view-delivery .badge.good");
  await page.locator("#delivery-again:not([aria-busy])").waitFor();
  await picture("delivery-delivered");
  await page.click("#delivery-back");
  await page.locator("#delivery-rows button").last().click();
  await page.waitForFunction(() => document.querySelectorAll("#delivery-rows .badge.good").length === 2);
  seen.states = await texts("#delivery-rows .badge");
  await page.setViewportSize({ width: 390, height: 800 });
  seen.wide = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
  await picture("sent-narrow");
  await page.click("#tab-received");
  await shown("#received-rows a");
  seen.wide ||= await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
  if (folder) await page.screenshot({ path: `${folder}/received-narrow.png` });
}

/** A session that has ended is renewed by itself; one that is gone waits for a sign-in in another tab, and goes on. */
async function sessions() {
  await page.setViewportSize({ width: 1280, height: 900 });
  await context.clearCookies();
  await page.reload();
  await shown("#received-rows a");
  await context.clearCookies();
  await page.evaluate(() => sessionStorage.clear());
  await page.reload();
  const [tab] = await Promise.all([context.waitForEvent("page"), page.click("#view-signin a")]);
  await tab.locator("#email").waitFor();
  await signIn(tab);
  await shown("#received-rows a");
  await tab.close();
  const stranger = await browser.newContext();
  const other = await stranger.newPage();
  await other.goto(`${base}/webhooks`);
  await other.locator("#view-signin a").waitFor();
  seen.stranger = await other.locator("tbody tr").count();
  if (folder) await other.screenshot({ path: `${folder}/signin.png` });
  await stranger.close();
}

try {
  await received();
  await sent();
  await sessions();
  seen.complaints = seen.complaints.filter((text) => !text.includes("401"));
  console.log(JSON.stringify(seen));
} catch (error) {
  if (folder) await page.screenshot({ path: `${folder}/failed.png`, fullPage: true });
  console.error(error.message, page.url(), await page.locator("#alert").textContent(), JSON.stringify(seen));
  process.exitCode = 1;
} finally {
  await browser.close();
}
