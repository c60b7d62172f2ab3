// The console. No framework, no build step: state in plain objects, one function per part of the page,
// every change on the server through `call`. Views are chosen by the address behind "#".

import { $, Problem, call, forgetTokens, get, h, keepTokens, locked, problemOf, refresh, renewInTime, send, session } from "./session.js";

const ACTIVE = new Set(["waiting", "queued", "claimed", "submitted", "finalizing", "cancelling"]);
const PAGE = 200;

const fill = (id, ...children) => $(id).replaceChildren(...children.flat(3).filter(Boolean));
const many = (count, one, more = `${one}s`) => `${count} ${count === 1 ? one : more}`;
const say = (text) => { $("status").textContent = text; };

// ------------------------------------------------------------ what went wrong

function showProblem(error) {
  if (error?.name === "Left") return; // another view was opened meanwhile
  const known = error instanceof Problem;
  const parts = [h("p", {}, known ? error.message : `The page stumbled: ${error?.message || error}`)];
  const found = known && Array.isArray(error.body.errors) ? error.body.errors : [];
  if (found.length) {
    parts.push(h("ul", {}, found.slice(0, 8).map((one) => h("li", {}, `${(one.pointer || "").replace(/^\//, "")} ${one.message || ""}`.trim()))));
  }
  $("alert-text").replaceChildren(...parts);
  $("alert").hidden = false;
  if (!known) console.error(error);
}

function clearProblem() {
  $("alert").hidden = true;
  $("alert-text").replaceChildren();
}

/** Run what a button or form asked for: busy meanwhile, its error shown, nothing typed is lost. */
async function act(control, work) {
  if (control?.getAttribute("aria-busy") === "true") return;
  control?.setAttribute("aria-busy", "true");
  clearProblem();
  try {
    return await work();
  } catch (error) {
    showProblem(error);
  } finally {
    control?.removeAttribute("aria-busy");
  }
}

const onSubmit = (id, work) => $(id).addEventListener("submit", (event) => {
  event.preventDefault();
  if (!event.target.reportValidity()) return;
  void act(event.submitter || event.target.querySelector("button"), work);
});
const onClick = (id, work) => $(id).addEventListener("click", () => void act($(id), work));

const post = (path, json = undefined) => call("POST", path, { json });

/** Read a paged list to its end, or to `pages` pages. */
async function getAll(path, pages = 10) {
  const items = [];
  let cursor = "";
  for (let page = 0; page < pages; page += 1) {
    const found = await get(`${path}&limit=${PAGE}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
    items.push(...found.items);
    cursor = found.nextCursor;
    if (!cursor) break;
  }
  return items;
}

const signing = { promise: null, done: () => {} };
// Whoever signs in keeps the lock, so that the other tabs wait for it instead of asking too.
session.begin = () => locked(async () => (await refresh()) || signIn());

/** Show the sign-in over whatever was open, which stays as it is behind it; resolves once signed in. */
function signIn() {
  signing.promise ??= new Promise((resolve) => {
    const again = Boolean(session.user);
    $("signin-why").textContent = again
      ? "Your session has ended. Sign in again: what you typed is still there."
      : "Sign in with your e-mail address. We send you a code, there is no password.";
    if (again) $("email").value = session.user.email;
    showCodeForm(false);
    document.body.classList.add("signed-out");
    $("view-signin").hidden = false;
    $("email").focus();
    signing.done = (pair) => {
      keepTokens(pair);
      const stranger = again && session.user.id !== pair.user.id;
      session.user = pair.user;
      signing.promise = null;
      document.body.classList.remove("signed-out");
      $("view-signin").hidden = true;
      $("code").value = "";
      showAccount();
      if (stranger) location.assign("/console");
      resolve();
    };
  });
  return signing.promise;
}

function showCodeForm(on) {
  $("email-form").hidden = on;
  $("code-form").hidden = !on;
  (on ? $("code") : $("email")).focus();
}

function showAccount() {
  $("account").hidden = !session.user;
  $("account-name").textContent = session.user ? session.user.name || session.user.email : "";
  void showInbox().catch(() => {}); // without an answer there is no link
}

/** The inbox of webhooks is another plugin's page: linked for operators, where it runs. */
async function showInbox() {
  $("to-webhooks").hidden = true;
  if (!session.user || !(await post("/api/rbac/check", { permission: "platform:operate" })).allowed) return;
  const { features } = await get("/api/capabilities");
  $("to-webhooks").hidden = !features.some((one) => one.name === "webhooks" && one.available);
}

onSubmit("email-form", async () => {
  const email = $("email").value.trim();
  const response = await send("POST", "/api/auth/otp/request", { json: { email } });
  if (!response.ok) throw await problemOf(response);
  $("code-to").textContent = email;
  showCodeForm(true);
  say("A code is on its way.");
});
onSubmit("code-form", async () => {
  const json = { email: $("email").value.trim(), code: $("code").value.trim(), cookie: true };
  const response = await send("POST", "/api/auth/otp/verify", { json });
  if (!response.ok) throw await problemOf(response);
  signing.done(await response.json());
});
onClick("other-email", async () => showCodeForm(false));
onClick("sign-out", async () => {
  await send("POST", "/api/auth/logout");
  forgetTokens();
  session.user = null;
  stopEvents();
  location.assign("/console");
});
onClick("alert-close", async () => clearProblem());
$("skip").addEventListener("click", (event) => { event.preventDefault(); $("main").focus(); });

// ------------------------------------------------------------ live events

const live = { source: null, project: null, retry: 0, fresh: true };

function followProject(projectId) {
  if (live.project === projectId && live.source) return;
  stopEvents();
  live.project = projectId;
  live.fresh = true;
  openEvents();
}

function openEvents() {
  const source = new EventSource(`/api/events?project=${encodeURIComponent(live.project)}`);
  live.source = source;
  source.onopen = () => {
    live.retry = 0;
    showLive(true);
    if (!live.fresh) void resync();
    live.fresh = false;
  };
  source.onerror = () => {
    showLive(false);
    if (source.readyState === EventSource.CLOSED && live.source === source) reopenEvents();
  };
  source.addEventListener("resync", () => void resync());
  source.addEventListener("job.updated", ({ data }) => jobChanged(JSON.parse(data).job));
  source.addEventListener("asset.ready", ({ data }) => assetReady(JSON.parse(data)));
  source.addEventListener("activity.created", ({ data }) => activityCreated(JSON.parse(data)));
}

/** The browser gives up at an error status (an ended session): look after the session, then come back. */
function reopenEvents() {
  live.source = null;
  const wait = Math.min(30_000, 1000 * 2 ** live.retry++);
  live.timer = setTimeout(async () => {
    try {
      await get("/api/auth/me");
      if (live.project && !live.source) openEvents();
    } catch {
      reopenEvents();
    }
  }, wait);
}

function stopEvents() {
  clearTimeout(live.timer);
  live.source?.close();
  Object.assign(live, { source: null, project: null, retry: 0 });
  $("live").hidden = true;
}

function showLive(on) {
  $("live").hidden = false;
  $("live").classList.toggle("on", on);
  $("live").lastElementChild.textContent = on ? "live" : "reconnecting";
}

// ------------------------------------------------------------ views

const VIEWS = ["projects", "project", "story"];
const view = { name: "", token: 0, project: null, story: null };

class Left extends Error { name = "Left"; }

/** Wrap a promise of a view: it ends with `Left` when another view was opened meanwhile. */
async function here(promise) {
  const { token } = view;
  const value = await promise;
  if (token !== view.token) throw new Left();
  return value;
}

function show(name, title) {
  for (const one of VIEWS) $(`view-${one}`).hidden = one !== name;
  view.name = name;
  document.title = title === "Studio" ? title : `${title} · Studio`;
}

function crumbs(...parts) {
  fill("crumbs", parts.map(([text, href], at) => [
    h("span", { class: "slash", "aria-hidden": "true" }, "/"),
    at === parts.length - 1 ? h("span", { "aria-current": "page" }, text) : h("a", { href }, text),
  ]));
}

async function route({ focus = true } = {}) {
  if (location.hash && !location.hash.startsWith("#/")) return;
  view.token += 1;
  clearProblem();
  player.stop();
  const [, kind, id] = location.hash.split("/");
  try {
    if (kind === "projects" && id) await openProject(decodeURIComponent(id));
    else if (kind === "stories" && id) await openStory(decodeURIComponent(id));
    else if (kind === "invitations" && id) location.replace(`#/projects/${(await post(`/api/rbac/invitations/${id}/accept`)).projectId}`);
    else await openProjects();
    if (focus && !signing.promise) document.querySelector("main > section:not([hidden]) h1")?.focus({ preventScroll: true });
  } catch (error) {
    if (error.status === 404 && id) {
      history.replaceState(null, "", "#/");
      await openProjects().catch(showProblem);
    }
    showProblem(error);
  }
}

const when = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
function ago(ms) {
  const seconds = Math.round((ms - Date.now()) / 1000);
  for (const [unit, size] of [["day", 86_400], ["hour", 3_600], ["minute", 60]]) {
    if (Math.abs(seconds) >= size) return when.format(Math.round(seconds / size), unit);
  }
  return "just now";
}
const length = (ms) => `${Math.floor(ms / 60_000)}:${String(Math.round((ms % 60_000) / 1000)).padStart(2, "0")}`;
function money(uusd) {
  if (uusd === null || uusd === undefined) return "price unknown";
  const dollars = uusd / 1e6;
  return `$${dollars > 0 && dollars < 0.01 ? dollars.toFixed(4) : dollars.toFixed(2)}`;
}

// ------------------------------------------------------------ projects

async function openProjects() {
  stopEvents();
  const { items } = await here(get("/api/workbench/projects"));
  show("projects", "Studio");
  crumbs();
  fill("project-list", items.length ? items.map((project) => card(
    `#/projects/${project.id}`, project.name,
    `${project.aspect} · ${project.resolution} · ${project.fps} fps`, `changed ${ago(project.updatedAt)}`,
  )) : h("li", { class: "empty" }, "No project yet. A project holds stories, people and films: make one."));
}

function card(href, title, facts, note) {
  return h("li", {}, h("a", { class: "card", href }, h("b", {}, title), h("span", { class: "muted" }, facts), h("span", { class: "muted small" }, note)));
}

onSubmit("project-form", async () => {
  const project = await post("/api/workbench/projects", {
    name: $("project-name").value.trim(), aspect: $("project-aspect").value,
    resolution: $("project-resolution").value, stylePrompt: $("project-style").value.trim(),
  });
  $("project-form").reset();
  location.hash = `#/projects/${project.id}`;
});

// ------------------------------------------------------------ one project

async function openProject(id) {
  const [project, stories] = await here(Promise.all([
    get(`/api/workbench/projects/${id}`), get(`/api/stories?projectId=${id}&limit=100`),
  ]));
  view.project = project;
  view.story = null;
  show("project", project.name);
  crumbs(["Projects", "#/"], [project.name]);
  $("project-title").textContent = project.name;
  $("project-facts").textContent = `${project.aspect} · ${project.resolution} · ${project.fps} fps${project.stylePrompt ? ` · ${project.stylePrompt}` : ""}`;
  fill("story-list", stories.items.length ? stories.items.map((story) => card(
    `#/stories/${story.id}`, story.title,
    `${many(story.sceneCount, "scene")} · ${many(story.wordCount, "word")} · ${story.status}`, `changed ${ago(story.updatedAt)}`,
  )) : h("li", { class: "empty" }, "No story yet."));
  $("story-text").value = draft.read(`story:${id}`);
  followProject(id);
  await Promise.allSettled([showPeople(), showProviders(), showWebhooks()]);
}

async function showWebhooks() {
  $("project-webhooks").hidden = true;
  const { permissions } = await here(get(`/api/rbac/projects/${view.project.id}/my-permissions`));
  $("project-webhooks-link").href = `/webhooks#/sent?project=${encodeURIComponent(view.project.id)}`;
  $("project-webhooks").hidden = !permissions.includes("webhook:manage");
}

async function showPeople() {
  const { items } = await here(get(`/api/rbac/projects/${view.project.id}/collaborators`));
  fill("people", items.map((one) => h("li", {}, h("span", {}, one.email || "somebody"), h("span", { class: "tag" }, one.state === "active" ? one.roleKey : `${one.roleKey}, ${one.state}`))));
}

async function showProviders() {
  const { items } = await here(get("/api/assetGen/models"));
  fill("providers", items.map((one) => h("li", {},
    h("span", {}, h("i", { class: one.available ? "dot on" : "dot", "aria-hidden": "true" }), `${one.capability.replace("_", " ")} · ${one.provider}`),
    h("span", { class: "muted" }, one.available ? "ready" : one.reason || "off"))));
}

onSubmit("people-form", async () => {
  const invited = await post(`/api/rbac/projects/${view.project.id}/collaborators`, { email: $("people-email").value.trim(), roleKey: $("people-role").value });
  $("people-form").reset();
  say(invited.acceptLink ? `Invited. Hand them this link: ${new URL(invited.acceptLink, location.href)}` : "Invited by mail.");
  await showPeople();
});

/** What is being typed survives a reload of this tab. */
const draft = {
  read: (key) => sessionStorage.getItem(`studio.draft.${key}`) || "",
  keep: (key, text) => (text ? sessionStorage.setItem(`studio.draft.${key}`, text) : sessionStorage.removeItem(`studio.draft.${key}`)),
};
$("story-text").addEventListener("input", () => draft.keep(`story:${view.project.id}`, $("story-text").value));

onSubmit("story-form", async () => {
  const text = $("story-text").value;
  if (!text.trim()) {
    $("story-text").focus();
    throw new Problem(422, { detail: "There is no text yet: paste a script, choose a file, or use the sample story." });
  }
  storyAdded(await post("/api/stories", { projectId: view.project.id, text }));
});
onClick("use-sample", async () => {
  const text = await get($("use-sample").dataset.sample);
  storyAdded(await post("/api/stories", { projectId: view.project.id, text, format: "fountain" }));
});
$("story-file").addEventListener("change", () => void act($("story-file").parentElement, async () => {
  const [file] = $("story-file").files;
  if (!file) return;
  const query = new URLSearchParams({ projectId: view.project.id, filename: file.name });
  try {
    storyAdded(await call("POST", `/api/stories/upload?${query}`, { raw: await file.arrayBuffer(), type: "application/octet-stream" }));
  } finally {
    $("story-file").value = "";
  }
}));

function storyAdded(story) {
  draft.keep(`story:${view.project.id}`, "");
  $("story-text").value = "";
  location.hash = `#/stories/${story.id}`;
  say(`${story.title} imported: ${many(story.sceneCount, "scene")}.`);
}

// ------------------------------------------------------------ one story: state

let tree = null;
let assets = new Map(); // id → asset of the project
let jobs = new Map(); // id → job of this story
let voices = { settings: new Map(), offered: [] };
let timeline = null;
let filmState = null;

async function openStory(id) {
  const story = await here(get(`/api/stories/${id}`));
  const project = await here(get(`/api/workbench/projects/${story.projectId}`));
  Object.assign(view, { project, story });
  jobs = new Map();
  tree = timeline = filmState = null;
  $("scenes").replaceChildren();
  $("film-screen").replaceChildren();
  followProject(project.id);
  await here(loadStory());
  show("story", story.title);
  crumbs(["Projects", "#/"], [project.name, `#/projects/${project.id}`], [story.title]);
  drawStory();
  drawFilm();
  watchJobs();
  await Promise.allSettled([loadFeed(), loadVoices()]);
}

async function loadStory() {
  const { id } = view.story, project = view.project.id;
  const [found, images, sounds, running] = await here(Promise.all([
    get(`/api/stories/${id}/tree`),
    getAll(`/api/assetGen/assets?projectId=${project}&kind=image`),
    getAll(`/api/assetGen/assets?projectId=${project}&kind=audio`),
    getAll(`/api/assetGen/jobs?projectId=${project}`, 3),
    readFilm(),
  ]));
  tree = found;
  view.story = found.story;
  for (const asset of [...images, ...sounds]) assets.set(asset.id, asset);
  const shots = new Set(tree.shots.map((shot) => shot.id));
  for (const job of running) if (concerns(job, shots)) takeJob(job);
}

function concerns(job, shots) {
  const { type, id } = job.target;
  return (type === "story" && id === view.story.id) || (type === "shot" && shots.has(id)) || (type === "timeline" && id === timeline?.id);
}

function takeJob(job) {
  const known = jobs.get(job.id);
  if (known && known.attempt === job.attempt && known.stateSeq > job.stateSeq) return false;
  jobs.set(job.id, job);
  return true;
}

/** What a client missed it reads again by REST. */
async function resync() {
  if (view.name !== "story") return;
  try {
    await loadStory();
    drawStory();
    drawFilm();
    await loadFeed();
  } catch (error) {
    showProblem(error);
  }
}

const soon = new Map();
function later(name, work, ms = 400) {
  clearTimeout(soon.get(name));
  const { token } = view;
  soon.set(name, setTimeout(() => { if (token === view.token) void work().catch(showProblem); }, ms));
}

async function reloadTree() {
  tree = await here(get(`/api/stories/${view.story.id}/tree`));
  view.story = tree.story;
  drawStory();
}

function jobChanged(job) {
  if (view.name !== "story" || !tree) return;
  const shots = new Set(tree.shots.map((shot) => shot.id));
  if (!jobs.has(job.id) && !concerns(job, shots)) return;
  if (!takeJob(job)) return;
  for (const waiting of waiters.get(job.id) || []) waiting(job);
  drawWork();
  drawSteps();
  if (ACTIVE.has(job.state)) return;
  if (job.target.type === "shot") drawShot(job.target.id);
  later("tree", reloadTree, job.kind === "llm.breakdown" ? 0 : 800);
  if (job.kind === "animatic.render") later("film", loadFilm, 0);
  if (job.kind === "voice.generate" && [...voices.settings.values()].some((one) => !one.assigned)) later("voices", loadVoices);
}

function assetReady(asset) {
  if (view.name !== "story" || !tree) return;
  assets.set(asset.id, { ...assets.get(asset.id), ...asset });
  const shot = tree.shots.find((one) => one.id === asset.owner.id);
  if (shot && asset.selected) {
    shot.current = { ...shot.current, [asset.slot]: asset.id };
    shot.stale = Object.fromEntries(Object.entries(shot.stale).filter(([slot]) => slot !== asset.slot));
    drawShot(shot.id);
    drawSteps();
  }
  later("tree", reloadTree, 1200);
  later("film", loadFilm, 1200);
}

const waiters = new Map();
/** Resolve with a job once it has ended: the event channel says so, and every 2 s we ask, should it be silent. */
function ended(jobId) {
  return here(new Promise((resolve, reject) => {
    const { token } = view;
    const done = (job) => {
      if (ACTIVE.has(job.state)) return;
      clearInterval(timer);
      waiters.delete(jobId);
      resolve(job);
    };
    const ask = async () => {
      if (token !== view.token) { clearInterval(timer); reject(new Left()); return; }
      try {
        const job = await get(`/api/assetGen/jobs/${jobId}`);
        jobChanged(job);
        done(job);
      } catch (error) {
        if (error.status) { clearInterval(timer); reject(error); }
      }
    };
    const timer = setInterval(ask, 2000);
    waiters.set(jobId, [done]);
    void ask();
  }));
}

function failure(job) {
  return new Problem(409, { detail: job.error?.message || `The job ended as ${job.state}.`, code: job.error?.code });
}

// ------------------------------------------------------------ one story: drawing

/** Put new content into a part of the page only when what it shows has changed; `hold` keeps an open editor. */
function patch(element, key, build) {
  const text = JSON.stringify(key);
  if (element.shown === text || element.querySelector("[data-hold]")) return;
  element.shown = text;
  element.replaceChildren(...[build()].flat().filter(Boolean));
}

function drawStory() {
  const { story, scenes, shots, characters } = tree;
  $("story-title").textContent = story.title;
  $("story-facts").textContent = [
    story.author && `by ${story.author}`, story.format, many(scenes.length, "scene"),
    shots.length && many(shots.length, "shot"), many(characters.length, "character"), `version ${story.version}`,
  ].filter(Boolean).join(" · ");
  drawSteps();
  drawWork();
  drawScenes();
  drawCast();
}

function slots() {
  const count = { panels: 0, voices: 0, missing: 0, stale: 0, lines: 0, ordered: 0 };
  const ordered = new Set([...jobs.values()].filter((job) => ACTIVE.has(job.state)).map((job) => `${job.target.id} ${job.target.slot}`));
  for (const shot of tree.shots) {
    const wanted = ["panel", ...shot.lines.map((line) => `voice:${line.id}`)];
    count.lines += shot.lines.length;
    for (const slot of wanted) {
      if (ordered.has(`${shot.id} ${slot}`)) count.ordered += 1;
      else if (!shot.current[slot]) count.missing += 1;
      else if (shot.stale[slot]) count.stale += 1;
      else count[slot === "panel" ? "panels" : "voices"] += 1;
    }
  }
  return count;
}

const running = (kind) => [...jobs.values()].find((job) => job.kind === kind && ACTIVE.has(job.state));

function drawSteps() {
  const count = slots(), { shots, scenes } = tree, open = count.missing + count.stale;
  const breaking = running("llm.breakdown"), rendering = running("animatic.render");
  step("breakdown", shots.length ? "done" : "next", breaking ? "working …" : shots.length ? `${many(shots.length, "shot")} in ${many(scenes.length, "scene")}` : "Turn the scenes into shots", Boolean(breaking));
  $("do-breakdown").textContent = shots.length ? "Break down again" : "Break down";
  const made = `${count.panels} of ${shots.length} panels · ${count.voices} of ${count.lines} voices`;
  step("generate", !shots.length ? "off" : open ? "next" : count.ordered ? "" : "done", !shots.length ? "Needs the shots" : count.stale ? `${made} · ${count.stale} out of date` : made, !shots.length);
  $("do-generate").textContent = open && count.missing === 0 ? `Generate ${count.stale} again` : open || !shots.length ? "Generate all" : "Generate more";
  const drawn = count.panels + tree.shots.filter((shot) => shot.stale.panel).length > 0;
  const film = !filmState?.rendered ? "Not rendered yet" : filmState.stale ? "Out of date" : "Up to date";
  step("render", !drawn ? "off" : filmState?.rendered && !filmState.stale ? "done" : open || count.ordered ? "" : "next", rendering ? `rendering ${rendering.progress.pct} %` : film, !drawn || Boolean(rendering));
  $("do-render").textContent = filmState?.rendered ? "Render again" : "Render";
}

function step(name, state, said, disabled) {
  const element = $(`step-${name}`), button = $(`do-${name}`);
  element.className = state;
  element.querySelector(".said").textContent = said;
  button.disabled = disabled;
  button.classList.toggle("primary", state === "next");
}

function drawScenes() {
  const root = $("scenes");
  const wanted = new Set(tree.scenes.map((scene) => `scene-${scene.id}`));
  for (const child of [...root.children]) if (!wanted.has(child.id)) child.remove();
  tree.scenes.forEach((scene, at) => {
    const id = `scene-${scene.id}`;
    const section = $(id) || h("section", { class: "scene", id, "aria-labelledby": `${id}-title` }, h("header", {}), h("details", { class: "script" }), h("div", { class: "shots" }));
    if (root.children[at] !== section) root.insertBefore(section, root.children[at] || null);
    const [head, script, list] = section.children;
    const shots = tree.shots.filter((shot) => shot.sceneId === scene.id);
    patch(head, [scene.number, scene.heading, scene.synopsis, shots.length], () => [
      h("h2", { id: `${id}-title` }, h("span", { class: "slate" }, scene.number || String(at + 1)), headingOf(scene)),
      h("p", { class: "muted small" }, scene.synopsis || ""),
    ]);
    if (Boolean(shots.length) !== script.planned) script.open = !shots.length; // the script gives way to the shots
    script.planned = Boolean(shots.length);
    patch(script, scene.elements, () => [h("summary", {}, "Script"), ...scene.elements.map(paragraph)]);
    drawShots(list, shots);
  });
}

function headingOf({ heading }) {
  return heading.text || [`${heading.intExt}. ${heading.locationName}`, heading.timeOfDay].filter(Boolean).join(" - ");
}

function paragraph(element) {
  if (element.kind !== "dialogue") return h("p", { class: element.kind }, element.text);
  return h("p", { class: "dialogue" }, h("b", {}, element.character || ""), element.parenthetical ? h("i", {}, `(${element.parenthetical.replace(/^\(|\)$/g, "")})`) : null, h("span", {}, element.text));
}

function drawShots(list, shots) {
  const wanted = new Set(shots.map((shot) => `shot-${shot.id}`));
  for (const child of [...list.children]) if (!wanted.has(child.id)) child.remove();
  shots.forEach((shot, at) => {
    const id = `shot-${shot.id}`;
    const article = $(id) || h("article", { class: "shot", id, "aria-label": `Shot ${shot.code}` }, h("figure", {}), h("div", { class: "about" }), h("ul", { class: "lines" }));
    if (list.children[at] !== article) list.insertBefore(article, list.children[at] || null);
    drawShot(shot.id);
  });
}

function drawShot(shotId) {
  const shot = tree.shots.find((one) => one.id === shotId), article = $(`shot-${shotId}`);
  if (!shot || !article) return;
  const [figure, about, lines] = article.children;
  const busy = (slot) => [...jobs.values()].some((job) => ACTIVE.has(job.state) && job.target.id === shot.id && job.target.slot === slot);
  const panel = shot.current.panel, drawing = busy("panel"), stale = shot.stale.panel?.reason;
  patch(figure, [panel, assetUrl(panel), shot.current.clip, drawing, stale, shot.code], () => panelOf(shot, panel, drawing, stale));
  figure.style.backgroundColor = meanColour(assets.get(panel)?.blurhash);
  patch(about, [shot.description, shot.shotSize, shot.movement, shot.durationMs], () => [
    h("p", {}, shot.description || h("span", { class: "muted" }, "No description")),
    h("p", { class: "muted small" }, [shot.shotSize, shot.movement.replace("_", " "), `${(shot.durationMs / 1000).toFixed(1)} s`].join(" · ")),
  ]);
  const cast = castById();
  patch(lines, [shot.lines, shot.current, shot.stale, shot.lines.map((line) => busy(`voice:${line.id}`)), [...cast.values()].map((one) => [one.name, one.colour])],
    () => shot.lines.map((line) => lineOf(shot, line, cast.get(line.characterId), busy(`voice:${line.id}`))));
}

const castById = () => new Map(tree.characters.map((one) => [one.id, one]));
const assetUrl = (id) => (id ? assets.get(id)?.url || `/api/assetGen/assets/${id}/file` : null);
const posterUrl = (id) => assets.get(id)?.thumbnailUrl || assetUrl(id);
const BASE83 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~";
/** The mean colour of a picture, which its blurhash begins with: shown until the picture is there. */
const meanColour = (blurhash) => (blurhash ? `#${[...blurhash.slice(2, 6)].reduce((sum, letter) => sum * 83 + BASE83.indexOf(letter), 0).toString(16).padStart(6, "0")}` : "");

function panelOf(shot, panel, drawing, stale) {
  const image = shot.current.clip
    ? h("video", { src: assetUrl(shot.current.clip), poster: posterUrl(panel), controls: true, loop: true, muted: true, playsinline: true, preload: "none", "aria-label": `Clip of shot ${shot.code}` })
    : panel ? h("img", { src: assetUrl(panel), alt: `Panel of shot ${shot.code}: ${shot.description}`, loading: "lazy", decoding: "async" })
    : h("div", { class: "blank" }, drawing ? "drawing …" : "no panel yet");
  return [image,
    h("figcaption", {}, h("span", { class: "slate" }, shot.code),
      stale && !drawing ? h("span", { class: "badge stale", title: stale }, "panel out of date") : null,
      drawing ? h("span", { class: "badge busy" }, "drawing") : null,
      h("button", { type: "button", class: "quiet tool", "aria-label": `Draw the panel of shot ${shot.code} ${panel ? "again" : ""}`, title: panel ? "Draw again" : "Draw", onclick: (event) => void act(event.currentTarget, () => generate(shot, "panel")) }, panel ? "↻" : "✎"))];
}

function lineOf(shot, line, character, speaking) {
  const slot = `voice:${line.id}`, voice = shot.current[slot], stale = shot.stale[slot]?.reason;
  const who = character?.name || "Narrator";
  const play = h("button", {
    type: "button", class: "play", "data-asset": voice || null, disabled: !voice, "aria-label": `Play the line of ${who}: ${line.text}`,
    onclick: (event) => void act(null, () => player.toggle(voice, event.currentTarget)),
  });
  player.mark(play);
  const name = h("b", { class: "who" }, who);
  name.style.setProperty("--colour", character?.colour || "var(--muted)");
  const row = h("li", { class: "line", "data-line": line.id }, play, h("div", { class: "words" },
    h("p", {}, name, line.parenthetical ? h("i", { class: "muted" }, ` (${line.parenthetical.replace(/^\(|\)$/g, "")}) `) : " ", h("span", { class: "text" }, line.text)),
    h("p", { class: "tools" },
      stale && !speaking ? h("span", { class: "badge stale", title: stale }, "voice out of date") : null,
      speaking ? h("span", { class: "badge busy" }, "speaking") : null,
      !voice && !speaking ? h("span", { class: "badge" }, "no voice yet") : null,
      h("button", { type: "button", class: "quiet", "aria-label": `Edit the line of ${who}`, onclick: () => editLine(row, shot.id, line, who) }, "Edit"),
      (stale || !voice) && !speaking ? h("button", { type: "button", class: "quiet", "aria-label": `Speak the line of ${who}`, onclick: (event) => void act(event.currentTarget, () => generate(shot, slot)) }, voice ? "Speak again" : "Speak") : null)));
  return row;
}

// ------------------------------------------------------------ lines: edit and play

function editLine(row, shotId, line, who) {
  const key = `line:${line.id}`, before = line.text;
  const box = h("textarea", { rows: "3", "aria-label": `Text of ${who}`, maxlength: "5000" });
  box.value = draft.read(key) || line.text;
  const close = (focus = true) => {
    draft.keep(key, "");
    form.remove();
    row.classList.remove("editing");
    $(`shot-${shotId}`).children[2].shown = "";
    drawShot(shotId);
    if (focus) document.querySelector(`[data-line="${line.id}"] .tools button`)?.focus();
  };
  const save = () => act(form.querySelector(".primary"), async () => {
    const text = box.value.trim();
    if (!text) throw new Problem(422, { detail: "A line needs words." });
    if (text !== before) await saveLine(shotId, line.id, before, text);
    close();
    if (text !== before) say(`Saved. Only the voice of this line and the film are out of date now.`);
  });
  const form = h("form", { class: "line-editor", "data-hold": "", onsubmit: (event) => { event.preventDefault(); void save(); } }, box,
    h("div", { class: "row" }, h("button", { class: "primary" }, "Save"), h("button", { type: "button", class: "quiet", onclick: () => close() }, "Cancel"), h("span", { class: "muted small" }, "Ctrl+Enter saves, Esc cancels")));
  box.addEventListener("input", () => draft.keep(key, box.value));
  box.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
    else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); void save(); }
  });
  row.classList.add("editing");
  row.append(form);
  box.focus();
}

/** Write one line. When the shot changed meanwhile (a voice arrived) it is read again, and written if the line did not. */
async function saveLine(shotId, lineId, before, text) {
  for (let left = 3; ; left -= 1) {
    const shot = await get(`/api/stories/shots/${shotId}`);
    const line = shot.lines.find((one) => one.id === lineId);
    if (!line) throw new Problem(409, { detail: "Somebody removed this line meanwhile. Your text is still in the box." });
    if (line.text !== before) throw new Problem(409, { detail: `Somebody changed this line meanwhile to “${line.text}”. Your text is still in the box; cancel to see theirs.` });
    const lines = shot.lines.map((one) => (one.id === lineId ? { ...one, text } : one));
    try {
      const saved = await call("PATCH", `/api/stories/shots/${shotId}`, { json: { rev: shot.rev, lines } });
      const at = tree.shots.findIndex((one) => one.id === shotId);
      if (at >= 0) tree.shots[at] = saved;
      drawSteps();
      later("film", loadFilm, 0);
      return;
    } catch (error) {
      if (error.status !== 409 || left === 0) throw error;
    }
  }
}

const player = {
  audio: new Audio(),
  asset: null,
  async toggle(assetId) {
    if (this.asset === assetId && !this.audio.paused) return this.stop();
    this.asset = assetId;
    this.audio.src = assetUrl(assetId);
    this.markAll();
    try {
      await this.audio.play();
    } catch (error) {
      this.stop();
      if (error.name !== "AbortError") throw new Problem(0, { detail: "This line cannot be played: its file did not come. Speak it again." });
    }
  },
  stop() {
    this.audio.pause();
    this.asset = null;
    this.markAll();
  },
  mark(button) {
    const on = Boolean(button.dataset.asset) && button.dataset.asset === this.asset;
    button.classList.toggle("on", on);
    button.textContent = on ? "■" : "▶";
    button.setAttribute("aria-pressed", String(on));
  },
  markAll() {
    for (const button of document.querySelectorAll("button.play")) this.mark(button);
  },
};
player.audio.addEventListener("ended", () => player.stop());

// ------------------------------------------------------------ steps

onClick("do-breakdown", async () => {
  const started = await post(`/api/stories/${view.story.id}/breakdown`, {});
  say("Breaking the story down.");
  const job = await ended(started.jobId);
  if (job.state !== "succeeded") throw failure(job);
  await reloadTree();
  await Promise.allSettled([loadVoices()]);
  say(`${many(tree.shots.length, "shot")}, ${many(tree.characters.length, "character")}.`);
});

async function generate(shot, slot) {
  const { jobs: ordered } = await post("/api/assetGen/generate", { target: { type: "shot", id: shot.id, slot } });
  ordered.forEach(takeJob);
  drawWork();
  drawShot(shot.id);
  for (const job of ordered) void ended(job.id).catch(showProblem);
}

const chosenKinds = () => [...$("generate-kinds").querySelectorAll("input:checked")].map((box) => box.value);

onClick("do-generate", async () => {
  fill("generate-items");
  fill("generate-blocked");
  $("generate-price").textContent = "Estimating …";
  $("generate").showModal();
  await estimate();
});
$("generate-kinds").addEventListener("change", () => void estimate().catch(showProblem));
$("generate-cancel").addEventListener("click", () => $("generate").close());

async function estimate() {
  const kinds = chosenKinds();
  $("generate-go").disabled = true;
  $("generate-price").classList.remove("wrong");
  if (!kinds.length) {
    $("generate-price").textContent = "Choose at least one.";
    fill("generate-items");
    return;
  }
  let found;
  try {
    found = await here(post("/api/assetGen/estimate", { storyId: view.story.id, kinds }));
  } catch (error) {
    $("generate-price").textContent = error.message;
    $("generate-price").classList.add("wrong");
    if (error.name !== "Left") return;
    throw error;
  }
  if (String(chosenKinds()) !== String(kinds)) return;
  const names = [...new Set(found.items.map((item) => item.provider))].join(", ");
  $("generate-price").textContent = found.jobs
    ? `${many(found.jobs, "job")}, ${money(found.totalUusd)}${names ? ` (${names})` : ""}`
    : "Nothing is missing or out of date.";
  fill("generate-items",
    found.items.map((item) => h("li", {}, h("span", {}, `${item.count} × ${item.kind} · ${item.provider}${item.model ? ` ${item.model}` : ""}`), h("span", {}, money(item.costUusd)))),
    found.alternatives.map((item) => h("li", { class: "muted" }, h("span", {}, `instead at ${item.provider}${item.model ? ` ${item.model}` : ""}: ${item.count} × ${item.kind}`), h("span", {}, money(item.costUusd)))));
  fill("generate-blocked", found.blocked.slice(0, 6).map((item) => h("li", {}, `${item.label}: ${item.reason}`)));
  $("generate-go").textContent = found.jobs ? `Generate all: ${many(found.jobs, "job")}` : "Generate all";
  $("generate-go").disabled = !found.jobs;
}

onClick("generate-go", async () => {
  try {
    const started = await post("/api/assetGen/batch", { storyId: view.story.id, kinds: chosenKinds() });
    started.jobs.forEach(takeJob);
    say(`${many(started.total, "job")} ordered.`);
  } finally {
    $("generate").close();
  }
  drawStory();
  watchJobs();
});

/** The event channel says when a job ends; should it be silent, we ask every 5 s while one is under way. */
function watchJobs() {
  later("jobs", async () => {
    if (![...jobs.values()].some((job) => ACTIVE.has(job.state))) return;
    for (const job of await getAll(`/api/assetGen/jobs?projectId=${view.project.id}`, 3)) if (jobs.has(job.id)) jobChanged(job);
    watchJobs();
  }, 5000);
}

onClick("work-cancel", async () => {
  const batchId = [...jobs.values()].find((job) => ACTIVE.has(job.state) && job.batchId)?.batchId;
  const { cancelled } = await post("/api/assetGen/jobs/cancel", { projectId: view.project.id, ...(batchId ? { batchId } : {}) });
  say(`${many(cancelled, "job")} cancelled; those under way go on.`);
  await resync();
});

const KIND_NAMES = { "image.generate": "panel", "voice.generate": "voice", "video.generate": "clip", "music.generate": "music", "animatic.render": "film", "llm.breakdown": "breakdown" };

function drawWork() {
  const open = [...jobs.values()].filter((job) => ACTIVE.has(job.state));
  const batches = new Set(open.map((job) => job.batchId).filter(Boolean));
  const group = [...jobs.values()].filter((job) => ACTIVE.has(job.state) || batches.has(job.batchId));
  $("work").hidden = !open.length;
  if (open.length) {
    const done = group.length - open.length;
    const part = open.reduce((sum, job) => sum + (job.progress?.pct || 0) / 100, 0);
    const nouns = open.map((job) => KIND_NAMES[job.kind] || job.kind);
    const names = [...new Set(nouns)].map((noun) => (nouns.filter((one) => one === noun).length > 1 ? `${noun}s` : `the ${noun}`));
    $("work-label").textContent = `Making ${names.join(" and ")}`;
    $("work-count").textContent = group.length > 1 ? `${done} of ${group.length}` : `${open[0].progress?.pct || 0} %`;
    $("work-bar").value = (100 * (done + part)) / group.length;
    $("work-cancel").hidden = !open.some((job) => job.state === "queued" || job.state === "waiting");
  }
  const failed = [...jobs.values()].filter((job) => job.state === "failed" && !superseded(job));
  fill("failures", failed.slice(0, 8).map((job) => h("li", {},
    h("span", {}, h("b", {}, `${labelOf(job)} failed. `), job.error?.message || ""),
    h("button", { type: "button", onclick: (event) => void act(event.currentTarget, () => retry(job)) }, "Try again"))));
}

/** A failure is history once a newer job for the same slot exists, or its slot has a take that is up to date. */
function superseded(job) {
  const { id, slot } = job.target;
  if ([...jobs.values()].some((other) => other.createdAt > job.createdAt && other.target.id === id && other.target.slot === slot && other.state !== "cancelled")) return true;
  const shot = tree.shots.find((one) => one.id === id);
  return Boolean(shot?.current[slot] && !shot.stale[slot] && assets.get(shot.current[slot])?.createdAt > job.createdAt);
}

function labelOf(job) {
  const shot = tree.shots.find((one) => one.id === job.target.id), name = KIND_NAMES[job.kind] || job.kind;
  return shot ? `Shot ${shot.code}: ${name}` : name[0].toUpperCase() + name.slice(1);
}

async function retry(job) {
  takeJob(await post(`/api/assetGen/jobs/${job.id}/retry`));
  drawWork();
  void ended(job.id).catch(showProblem);
}

// ------------------------------------------------------------ film

async function readFilm() {
  const found = await here(get(`/api/workbench/timelines?projectId=${view.project.id}&storyId=${view.story.id}&limit=20`));
  timeline = found.items.find((one) => !one.scenes) || null;
  filmState = timeline ? await here(get(`/api/workbench/timelines/${timeline.id}/stale`)) : null;
  const wanted = timeline?.renderAssetId;
  if (wanted && !assets.get(wanted)?.media) assets.set(wanted, await here(get(`/api/assetGen/assets/${wanted}`)));
}

async function loadFilm() {
  await readFilm();
  drawFilm();
  drawSteps();
}

const FILES = [["mp4", "Film"], ["srt", "Subtitles"], ["otio", "Timeline"], ["edl", "Edit list"], ["fcpxml", "Final Cut"], ["vtt", "Web subtitles"]];

function drawFilm() {
  const rendered = Boolean(timeline?.renderAssetId), badge = $("film-badge");
  badge.hidden = !rendered;
  badge.textContent = filmState?.stale ? "out of date" : "up to date";
  badge.className = filmState?.stale ? "badge stale" : "badge good";
  patch($("film-screen"), [timeline?.renderAssetId, rendered], () => (rendered
    ? h("video", { controls: true, preload: "metadata", playsinline: true, src: assetUrl(timeline.renderAssetId), "aria-label": `Film ${timeline.name}` })
    : h("div", { class: "blank" }, "The film appears here.")));
  const changed = (filmState?.shots || []).map((shot) => shot.code);
  $("film-note").textContent = !rendered ? "Panels are enough; a line without a voice becomes a subtitle."
    : filmState?.stale ? `Changed since the render: ${changed.length ? `shot ${changed.join(", ")}` : (filmState.other || []).join(", ") || "the story"}. Only that is made anew.`
      : `Rendered ${ago(timeline.renderedAt)}, ${length(timeline.durationMs)} long.`;
  fill("film-files", rendered ? FILES.filter(([format]) => timeline.outputs[format]).map(([format, title]) => h("li", {},
    h("a", { class: "button", download: "", href: `/api/workbench/timelines/${timeline.id}/export?format=${format}&allowStale=true`, "aria-label": `Download ${title} (${format.toUpperCase()})`, title }, format.toUpperCase()))) : []);
}

onClick("do-render", async () => {
  timeline ??= await post("/api/workbench/timelines", { storyId: view.story.id });
  const started = await post(`/api/workbench/timelines/${timeline.id}/render`, {});
  say("Rendering the film.");
  const job = await ended(started.jobId);
  if (job.state !== "succeeded") throw failure(job);
  await loadFilm();
  say("The film is ready.");
  $("film").scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
});

// ------------------------------------------------------------ cast and activity

async function loadVoices() {
  const [settings, offered] = await here(Promise.all([
    get(`/api/assetGen/voice-settings?storyId=${view.story.id}`), get("/api/assetGen/voices").catch(() => ({ items: [] })),
  ]));
  voices = { settings: new Map(settings.items.map((one) => [one.characterId, one])), offered: offered.items };
  drawCast();
}

function drawCast() {
  patch($("cast"), [tree.characters, [...voices.settings.values()], voices.offered.length], () => (tree.characters.length
    ? tree.characters.map(castRow) : h("li", { class: "muted" }, "Characters appear with the first import.")));
}

function castRow(character) {
  const setting = voices.settings.get(character.id), id = `voice-${character.id}`;
  const language = (tree.story.language || "en").split("-")[0];
  const fitting = voices.offered.filter((voice) => !voice.language || voice.language.toLowerCase().startsWith(language));
  const chosen = setting?.assigned ? `${setting.provider}/${setting.voice}` : "";
  const known = fitting.some((voice) => `${voice.provider}/${voice.id}` === chosen);
  const select = h("select", { id, onchange: (event) => void act(event.currentTarget, () => chooseVoice(character, event.currentTarget.value)) },
    chosen ? null : h("option", { value: "" }, "chosen at the first line"),
    chosen && !known ? h("option", { value: chosen }, setting.voice) : null,
    fitting.map((voice) => h("option", { value: `${voice.provider}/${voice.id}` }, `${voice.name}${voice.gender ? ` (${voice.gender})` : ""}`)));
  select.value = chosen;
  const chip = h("i", { class: "chip", "aria-hidden": "true" });
  chip.style.setProperty("--colour", character.colour);
  return h("li", {}, chip, h("div", {}, h("b", {}, character.name), h("span", { class: "muted small" }, many(character.lineCount, "line")),
    h("div", { class: "row" }, h("label", { class: "unseen", for: id }, `Voice of ${character.name}`), select,
      setting?.assigned ? h("button", { type: "button", class: "quiet", "aria-label": `Hear the voice of ${character.name}`, onclick: (event) => void act(event.currentTarget, () => hear(setting)) }, "Hear") : null)));
}

async function chooseVoice(character, value) {
  const at = value.indexOf("/");
  if (at < 0) return;
  await call("PUT", "/api/assetGen/voice-settings", { json: { storyId: view.story.id, characterId: character.id, provider: value.slice(0, at), voice: value.slice(at + 1) } });
  await Promise.all([loadVoices(), reloadTree()]);
  say(`${character.name} has another voice now.`);
}

async function hear(setting) {
  const { job } = await post(`/api/assetGen/voice-settings/${setting.id}/preview`, {});
  const done = await ended(job.id);
  if (done.state !== "succeeded") throw failure(done);
  await player.toggle(done.resultAssetIds[0]);
}

let feed = [];
async function loadFeed() {
  feed = (await here(get(`/api/workbench/projects/${view.project.id}/activities?limit=30`))).items;
  drawFeed();
}

function activityCreated(activity) {
  if (view.name !== "story" || feed.some((one) => one.id === activity.id)) return;
  feed = [{ createdAt: Date.now(), ...activity }, ...feed].slice(0, 60);
  drawFeed();
}

function actorOf({ actor }) {
  if (actor?.id === session.user.id) return "you";
  return actor?.name || (actor?.type === "system" ? "Studio" : "a colleague");
}

/** Neighbours that say the same of the same person become one row. */
function drawFeed() {
  const rows = [];
  for (const one of feed) {
    const last = rows.at(-1);
    if (last && last.action === one.action && last.who === actorOf(one)) last.more += 1;
    else rows.push({ ...one, who: actorOf(one), more: 0 });
  }
  fill("feed", rows.length ? rows.map((one) => h("li", {}, h("span", {}, one.text[0].toUpperCase() + one.text.slice(1), one.more ? h("span", { class: "muted" }, ` and ${one.more} more like it`) : null),
    h("time", { class: "muted small", datetime: new Date(one.createdAt).toISOString() }, `${one.who}, ${ago(one.createdAt)}`))) : h("li", { class: "muted" }, "Nothing yet."));
}

// ------------------------------------------------------------ begin

async function begin() {
  try {
    session.user = await get("/api/auth/me");
    showAccount();
    renewInTime();
    addEventListener("hashchange", () => void route());
    await route({ focus: false });
  } catch (error) {
    showProblem(error);
  }
}

void begin();
