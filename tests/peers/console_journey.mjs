// From the sign-in to the changed film, as a person does it. Usage: node console_journey.mjs <base url> <chromium> <e-mail>
// Prints one JSON object of what was seen; leaves with status 1 and the reason when a step does not happen.
import { chromium } from "playwright-core";

const [base, executablePath, email] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"] });
const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
const page = await context.newPage();
page.setDefaultTimeout(150_000);
const seen = { complaints: [], files: {} };
page.on("console", (message) => { if (message.type() === "error") seen.complaints.push(message.text()); });
page.on("pageerror", (error) => seen.complaints.push(error.message));

const count = (selector) => page.locator(selector).count();
const shown = (selector) => page.locator(selector).filter({ visible: true }).first().waitFor();
const until = (work, argument) => page.waitForFunction(work, argument);

async function codeOf() {
  const outbox = await context.newPage();
  await outbox.goto(`${base}/console/outbox`);
  const code = await outbox.locator("article", { hasText: email }).first().locator(".code").textContent();
  await outbox.close();
  return code;
}

async function signIn() {
  await page.fill("#email", email);
  await page.keyboard.press("Enter");
  await shown("#code");
  await page.fill("#code", await codeOf());
  await page.keyboard.press("Enter");
}

async function download(link) {
  const [file] = await Promise.all([page.waitForEvent("download"), link.click()]);
  const chunks = [];
  for await (const chunk of await file.createReadStream()) chunks.push(chunk);
  seen.files[file.suggestedFilename().split(".").pop()] = Buffer.concat(chunks).length;
}

async function journey() {
  await page.goto(`${base}/`);
  await shown("#email");
  await signIn();
  await shown("#view-projects");
  seen.complaints = seen.complaints.filter((text) => !text.includes("401")); // the question whether a session is there
  await page.fill("#project-name", "Night shift");
  await page.keyboard.press("Enter");
  await shown("#view-project");
  await page.click("#use-sample");
  await shown("#view-story");
  seen.scenes = await count(".scene");
  await page.click("#do-breakdown");
  await shown(".shot");
  await shown("#live.on");
  seen.shots = await count(".shot");

  await page.click("#do-generate");
  await shown("#generate-go:enabled");
  seen.price = await page.textContent("#generate-price");
  await page.click("#generate-go");
  await until((shots) => document.querySelectorAll(".shot img").length === shots, seen.shots);
  await until(() => [...document.querySelectorAll(".play")].every((button) => !button.disabled));
  await page.locator(".play").first().click();
  await shown(".play.on");
  await until(() => !document.querySelector(".play.on"));

  await page.click("#do-render");
  await shown("#film video");
  await page.evaluate(() => {
    const film = document.querySelector("#film video");
    film.muted = true;
    return film.play();
  });
  await until(() => document.querySelector("#film video").currentTime > 0.5);
  for (const link of await page.locator("#film-files a").all()) await download(link);

  await page.locator(".line").first().getByRole("button", { name: /^Edit/ }).click();
  await page.locator(".line textarea").fill("Not one broken frame.");
  await page.keyboard.press("Control+Enter");
  await shown("#film-badge.stale");
  await shown(".line .badge.stale");
  seen.staleVoices = await count(".line .badge.stale");
  seen.stalePanels = await count("figure .badge.stale");
  await page.click("#do-generate");
  await shown("#generate-go:enabled");
  seen.again = await page.textContent("#generate-price");
  await page.click("#generate-go");
  await until(() => !document.querySelector(".line .badge"));
  await page.click("#do-render");
  await shown("#film-badge.good");
  seen.feed = await page.locator("#feed li").allTextContents();

  await context.clearCookies(); // the quarter of an hour is over: the page renews by itself
  await page.goto(`${base}/console#/`);
  await shown("#project-list a");
  await page.click("#sign-out");
  await shown("#view-signin");
  seen.cookies = (await context.cookies()).length;
}

try {
  await journey();
  seen.complaints = seen.complaints.filter((text) => !text.includes("401"));
  console.log(JSON.stringify(seen));
} catch (error) {
  console.error(error.message, await page.locator("#alert").textContent(), JSON.stringify(seen));
  process.exitCode = 1;
} finally {
  await browser.close();
}
