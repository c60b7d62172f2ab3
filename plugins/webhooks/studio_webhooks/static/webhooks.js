// The webhooks page: a client of /api/webhooks like any other. No framework, no build step. It signs in as the console
// does: an HttpOnly cookie, renewed with the tab's refresh token, and a header with every write. Text never becomes markup.

import { $, Problem, call, get, h, locked, refresh, renewInTime, send, session } from "./session.js";

const PAGE = 50, FOLLOW_MS = 700, FOLLOW_TIMES = 60;
const SHOWN_CHARS = 50_000;
const BADGES = { processed: "good", delivered: "good", received: "busy", queued: "busy", dead: "bad" };
const VIEWS = ["signin", "received", "call", "sent", "delivery"];

const say = (text) => { $("status").textContent = text; };

class Left extends Error { name = "Left"; }

function showProblem(error) {
  if (error?.name === "Left") return; // another view was opened meanwhile
  $("alert-text").textContent = error instanceof Problem ? error.message : `The page stumbled: ${error?.message || error}`;
  $("alert").hidden = false;
  if (!(error instanceof Problem)) console.error(error);
}

/** Run what a control asked for: busy meanwhile, its error shown. One that is `aria-disabled` keeps the focus and does nothing. */
async function act(control, work) {
  if (control.getAttribute("aria-busy") === "true" || control.getAttribute("aria-disabled") === "true") return;
  control.setAttribute("aria-busy", "true");
  $("alert").hidden = true;
  try {
    await work();
  } catch (error) {
    showProblem(error);
  } finally {
    control.removeAttribute("aria-busy");
  }
}
const onClick = (id, work) => $(id).addEventListener("click", () => void act($(id), work));

// ------------------------------------------------------------ session

const waiting = { promise: null };
// The console's tab needs the lock to sign in: it is free while this one waits for that.
session.begin = () => locked(refresh).then((renewed) => renewed || signIn());

/** Ask for a sign-in at the console, whose lock is free meanwhile; its tab tells us when it is done. */
function signIn() {
  waiting.promise ??= new Promise((resolve) => {
    session.heard = async () => {
      session.heard = () => {};
      const response = await send("GET", "/api/auth/me"), user = response.ok ? await response.json() : null;
      if (session.user && user && user.id !== session.user.id) return location.reload(); // somebody else: nothing stays
      waiting.promise = null;
      if (view.name) show(view.name);
      resolve();
    };
  });
  for (const name of VIEWS) $(`view-${name}`).hidden = name !== "signin";
  $("signin-title").focus();
  return waiting.promise;
}

// ------------------------------------------------------------ views

const view = { name: "", token: 0, received: "#/received", sent: "#/sent" };

/** Wrap a promise of a view: it ends with `Left` when another view was opened meanwhile. */
async function here(promise) {
  const { token } = view;
  const value = await promise;
  if (token !== view.token) throw new Left();
  return value;
}

function show(name, title) {
  view.name = name;
  for (const one of VIEWS) $(`view-${one}`).hidden = one !== name;
  const tab = name === "received" || name === "call" ? "received" : "sent";
  for (const one of ["received", "sent"]) {
    if (one === tab) $(`tab-${one}`).setAttribute("aria-current", "page");
    else $(`tab-${one}`).removeAttribute("aria-current");
  }
  if (title) document.title = `${title} · Studio`;
}

function address(path, fields) {
  const query = new URLSearchParams(Object.entries(fields).filter(([, value]) => value));
  return String(query) ? `${path}?${query}` : path;
}

const decoded = (part) => { try { return decodeURIComponent(part); } catch { return part; } };

async function route({ focus = true } = {}) {
  if (location.hash && !location.hash.startsWith("#/")) return;
  view.token += 1;
  $("alert").hidden = true;
  const [path, query = ""] = location.hash.slice(2).split("?");
  const [kind, id] = path.split("/").map(decoded), asked = new URLSearchParams(query);
  try {
    if (kind === "sent" && id) await openDelivery(id);
    else if (kind === "sent") await openSent(asked);
    else if (id) await openCall(id);
    else await openReceived(asked);
    if (focus) document.querySelector("main > section:not([hidden]) h1")?.focus({ preventScroll: true });
  } catch (error) {
    if (error.status === 403 && kind !== "sent") return onlySent(Boolean(kind));
    showProblem(error);
  }
}

/** Calls of vendors are for operators: whoever manages a project's webhooks sees those only. */
function onlySent(asked) {
  $("tab-received").hidden = true;
  history.replaceState(null, "", "#/sent");
  void route().then(() => { if (asked) showProblem(new Problem(403, { detail: "Calls of vendors are for operators only." })); });
}

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
function distance(ms) {
  const seconds = Math.round((ms - Date.now()) / 1000);
  for (const [unit, size] of [["day", 86_400], ["hour", 3_600], ["minute", 60]]) {
    if (Math.abs(seconds) >= size) return relative.format(Math.round(seconds / size), unit);
  }
  return Math.abs(seconds) < 3 ? "now" : relative.format(seconds, "second");
}
const moment = (ms) => new Date(ms).toISOString().replace("T", " ").replace("Z", " UTC");
const time = (ms) => h("time", { datetime: new Date(ms).toISOString(), title: moment(ms) }, distance(ms));
const badge = (state) => h("span", { class: `badge ${BADGES[state] || ""}` }, state);

/** Tell each cell its column's name, which stands before it where a row is too narrow for columns. */
function named(row, table) {
  const names = [...table.querySelectorAll("th")].map((one) => one.textContent);
  [...row.cells].forEach((cell, at) => { if (cell.colSpan === 1) cell.dataset.label = names[at]; });
  return row;
}
function drawRows(id, rows) {
  $(id).replaceChildren(...rows.map((row) => named(row, $(id).closest("table"))));
}
const nothing = (columns, text) => h("tr", {}, h("td", { class: "none", colspan: columns }, text));

function drawPages(name, fields, found, asked) {
  $(`${name}-newest`).hidden = !asked.get("cursor");
  $(`${name}-newest`).href = address(`#/${name}`, fields);
  $(`${name}-older`).hidden = !found.nextCursor;
  $(`${name}-older`).href = address(`#/${name}`, { ...fields, cursor: found.nextCursor });
}

function options(id, entries, chosen) {
  $(id).replaceChildren(...entries.map(([value, text]) => h("option", { value }, text)));
  if (chosen && !entries.some(([value]) => value === chosen)) $(id).append(h("option", { value: chosen }, chosen));
  $(id).value = chosen;
}

function drawFacts(id, facts) {
  $(id).replaceChildren(...facts.filter(([, value]) => value !== null && value !== undefined && value !== "").flatMap(
    ([name, value]) => [h("dt", {}, name), h("dd", {}, value)],
  ));
}

/** Show a body as the text it is: the beginning of a long one, and as it came, until somebody asks for more. */
function drawBody(name, body) {
  let whole = body.length <= SHOWN_CHARS, indented = false;
  const pretty = indentedOf(body);
  const draw = () => {
    const text = indented ? pretty : body;
    $(`${name}-body`).textContent = body === "" ? "(empty)" : whole ? text : `${text.slice(0, SHOWN_CHARS)} …`;
    $(`${name}-whole`).hidden = whole;
    $(`${name}-whole`).textContent = `Show all ${body.length.toLocaleString("en")} characters`;
    $(`${name}-indent`).hidden = pretty === null;
    $(`${name}-indent`).setAttribute("aria-pressed", String(indented));
  };
  $(`${name}-whole`).onclick = () => { whole = true; draw(); $(`${name}-body`).focus(); };
  $(`${name}-indent`).onclick = () => { indented = !indented; draw(); };
  draw();
}

function indentedOf(body) {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return null;
  }
}

/** Look again until `load` says that it has ended, or another view is opened. */
async function follow(load) {
  for (let times = 0; times < FOLLOW_TIMES; times += 1) {
    await here(new Promise((resolve) => { setTimeout(resolve, FOLLOW_MS); }));
    if (await load()) return;
  }
}

const setOff = (id, off) => (off ? $(id).setAttribute("aria-disabled", "true") : $(id).removeAttribute("aria-disabled"));

// ------------------------------------------------------------ received

let vendors = null;

async function openReceived(asked) {
  const fields = { provider: asked.get("provider") || "", state: asked.get("state") || "" };
  const found = await here(get(address("/api/webhooks/inbox", { ...fields, cursor: asked.get("cursor"), limit: PAGE })));
  vendors ??= [...new Set((await here(get("/api/capabilities"))).providers.filter((one) => one.webhooks).map((one) => one.provider))].sort();
  view.received = location.hash || "#/received";
  options("received-provider", [["", "all"], ...vendors.map((name) => [name, name])], fields.provider);
  $("received-state").value = fields.state;
  drawRows("received-rows", found.items.length ? found.items.map(callRow) : [nothing(7, Object.values(fields).some(Boolean) ? "No call is like this." : "No vendor has called yet.")]);
  drawPages("received", fields, found, asked);
  show("received", "Received webhooks");
}

function callRow(one) {
  return h("tr", {},
    h("td", {}, time(one.receivedAt)), h("td", {}, badge(one.state)), h("td", { class: "plain" }, one.account ? `${one.provider} / ${one.account}` : one.provider), h("td", {}, one.kind),
    h("td", { class: "id" }, h("a", { href: `#/received/${encodeURIComponent(one.id)}`, title: one.deliveryId }, one.deliveryId)),
    h("td", { class: "number" }, one.attempts), h("td", { class: "wide" }, one.error || ""));
}

const chooseReceived = () => { location.hash = address("#/received", { provider: $("received-provider").value, state: $("received-state").value }); };
for (const id of ["received-provider", "received-state"]) $(id).addEventListener("change", chooseReceived);

let shownCall = null;

async function openCall(id) {
  drawCall(await here(get(`/api/webhooks/inbox/${encodeURIComponent(id)}`)));
  $("call-back").href = view.received;
  show("call", `Call of ${shownCall.provider}`);
}

function drawCall(one) {
  const again = shownCall?.id === one.id && shownCall.body === one.body;
  shownCall = one;
  const ended = one.state !== "received";
  $("call-title").textContent = `${one.kind || "Call"} of ${one.provider}`;
  $("call-state").replaceChildren(badge(one.state));
  $("call-note").textContent = ended ? "" : one.error ? `It is tried again ${distance(one.nextAt)}.` : "It is being worked on.";
  $("call-error").hidden = !one.error;
  $("call-error").textContent = one.error ? `${one.error} (${one.errorCode})` : "";
  setOff("call-replay", !ended);
  drawFacts("call-facts", [
    ["Received", moment(one.receivedAt)], ["Delivery", one.deliveryId], ["Account", one.account], ["Attempts", String(one.attempts)],
    ["Job at the vendor", one.providerJobId], ["Job, as the address says", one.jobId],
  ]);
  drawFacts("call-headers", Object.entries(one.headers));
  if (!again) drawBody("call", one.body); // else it stays as it was unfolded
  return ended;
}

async function reloadCall() {
  return drawCall(await here(get(`/api/webhooks/inbox/${encodeURIComponent(shownCall.id)}`)));
}

onClick("call-refresh", reloadCall);
onClick("call-replay", async () => {
  const before = shownCall.state;
  drawCall(await here(call("POST", `/api/webhooks/inbox/${encodeURIComponent(shownCall.id)}/replay`)));
  say("Replayed: it is being worked on.");
  await follow(reloadCall);
  say(`It was ${before} and is now ${shownCall.state}.`);
});

// ------------------------------------------------------------ sent

let projects = null;
let endpoints = [];

async function readProjects() {
  const found = [];
  for (let cursor = ""; ;) {
    const page = await here(get(address("/api/workbench/projects", { limit: 200, cursor })));
    found.push(...page.items);
    if (!page.nextCursor || found.length >= 2_000) return found;
    cursor = page.nextCursor;
  }
}

async function openSent(asked) {
  projects ??= await readProjects();
  const last = sessionStorage.getItem("studio.webhooks.project"), kept = projects.find((one) => one.id === last) || projects[0];
  const project = asked.get("project") || kept?.id || "";
  const fields = { project, endpoint: asked.get("endpoint") || "", state: asked.get("state") || "" };
  options("sent-project", projects.length ? projects.map((one) => [one.id, one.name]) : [["", "none"]], project);
  view.sent = location.hash;
  show("sent", "Sent webhooks");
  if (!project) return drawSent(fields, { items: [] }, asked, "You have no project yet.");
  const query = { projectId: project, endpointId: fields.endpoint, state: fields.state, cursor: asked.get("cursor"), limit: PAGE };
  try {
    const [there, found] = await here(Promise.all([
      get(address("/api/webhooks/endpoints", { projectId: project, limit: 200 })), get(address("/api/webhooks/deliveries", query)),
    ]));
    endpoints = there.items;
    sessionStorage.setItem("studio.webhooks.project", project);
    drawSent(fields, found, asked, "Nothing was sent that is like this.");
  } catch (error) {
    if (error.status !== 403 && error.status !== 404) throw error;
    endpoints = [];
    sessionStorage.removeItem("studio.webhooks.project");
    drawSent(fields, { items: [] }, asked, "In this project you may not manage webhooks: its owner and its producers may.");
  }
}

function drawSent(fields, found, asked, none) {
  options("sent-endpoint", [["", "all"], ...endpoints.map((one) => [one.id, hostOf(one.url)])], fields.endpoint);
  $("sent-state").value = fields.state;
  drawRows("endpoint-rows", endpoints.length ? endpoints.map(endpointRow) : [nothing(4, "Nobody is told. POST /api/webhooks/endpoints adds an endpoint.")]);
  drawRows("delivery-rows", found.items.length ? found.items.map(deliveryRow) : [nothing(8, none)]);
  drawPages("sent", fields, found, asked);
}

const hostOf = (url) => { try { return new URL(url).host; } catch { return url; } };
const hostFor = (id) => hostOf(endpoints.find((one) => one.id === id)?.url || "");
const WHY_OFF = { gone: "off: it answered 410", failing: "off: it failed for days", asked: "off", project_deleted: "off: the project was deleted" };

function endpointRow(one) {
  const state = one.enabled ? (one.failingSince ? `failing since ${distance(one.failingSince)}` : "on") : WHY_OFF[one.disabledReason] || "off";
  return h("tr", {},
    h("td", { class: "wide" }, one.url), h("td", {}, one.description), h("td", { class: "wide" }, one.eventTypes.map((type) => (type === "*" ? "everything" : type)).join(", ")),
    h("td", {}, h("span", { class: `badge ${one.enabled ? (one.failingSince ? "bad" : "good") : "bad"}` }, state)));
}

function deliveryRow(one) {
  const row = h("tr", {},
    h("td", {}, time(one.createdAt)), h("td", {}, badge(one.state)), h("td", { class: "plain" }, one.type),
    h("td", { class: "id" }, h("a", { href: `#/sent/${encodeURIComponent(one.id)}`, title: one.id }, one.id)), h("td", {}, hostFor(one.endpointId)),
    h("td", { class: "number" }, one.attempts), h("td", { class: "wide" }, one.error || ""),
    h("td", {}, one.state === "queued" ? null : h("button", { type: "button", class: "small", "aria-label": `Redeliver ${one.type} to ${hostFor(one.endpointId)}`, onclick: (event) => void act(event.currentTarget, () => redeliverRow(one, row)) }, "Redeliver")));
  return row;
}

/** Send one again from the list; its row is drawn anew until it has ended, and keeps the focus. */
async function redeliverRow(one, row) {
  let now = row;
  const draw = (found) => {
    const fresh = named(deliveryRow(found), $("delivery-rows").closest("table")), focused = now.contains(document.activeElement);
    now.replaceWith(fresh);
    now = fresh;
    if (focused) (fresh.querySelector("button") || fresh.querySelector("a")).focus();
    return found.state !== "queued";
  };
  draw(await here(call("POST", `/api/webhooks/deliveries/${encodeURIComponent(one.id)}/redeliver`)));
  await follow(async () => draw(await here(get(`/api/webhooks/deliveries/${encodeURIComponent(one.id)}`))));
  say(`Sent again: ${now.querySelector(".badge").textContent}.`);
}

const chooseSent = (endpoint) => { location.hash = address("#/sent", { project: $("sent-project").value, endpoint, state: $("sent-state").value }); };
$("sent-project").addEventListener("change", () => chooseSent(""));
for (const id of ["sent-endpoint", "sent-state"]) $(id).addEventListener("change", () => chooseSent($("sent-endpoint").value));

let shownDelivery = null;

async function openDelivery(id) {
  const found = await here(get(`/api/webhooks/deliveries/${encodeURIComponent(id)}`));
  const endpoint = await here(get(`/api/webhooks/endpoints/${encodeURIComponent(found.endpointId)}`).catch((error) => { if (error.status === 404) return null; throw error; }));
  shownDelivery = null;
  drawDelivery({ ...found, url: endpoint?.url });
  $("delivery-back").href = view.sent;
  show("delivery", found.type);
}

function drawDelivery(one) {
  const again = shownDelivery?.id === one.id;
  shownDelivery = one;
  const ended = one.state !== "queued";
  $("delivery-title").textContent = one.type;
  $("delivery-state").replaceChildren(badge(one.state));
  $("delivery-note").textContent = ended ? "" : one.error ? `It is tried again ${distance(one.nextAt)}.` : "It is on its way.";
  $("delivery-error").hidden = !one.error;
  $("delivery-error").textContent = one.error || "";
  setOff("delivery-again", !ended);
  drawFacts("delivery-facts", [
    ["To", one.url || "an endpoint that is gone"], ["Header webhook-id", one.id], ["Happened", moment(one.createdAt)], ["Attempts", String(one.attempts)],
    ["Last status", one.status && String(one.status)], ["Last try took", one.durationMs != null && `${one.durationMs} ms`], ["Delivered", one.deliveredAt && moment(one.deliveredAt)],
  ].map(([name, value]) => [name, value || null]));
  if (!again) drawBody("delivery", one.body);
  return ended;
}

async function reloadDelivery() {
  const { id, url, body } = shownDelivery;
  return drawDelivery({ ...(await here(get(`/api/webhooks/deliveries/${encodeURIComponent(id)}`))), url, body });
}

onClick("delivery-refresh", reloadDelivery);
onClick("delivery-again", async () => {
  const { id, url, body } = shownDelivery;
  drawDelivery({ ...(await here(call("POST", `/api/webhooks/deliveries/${encodeURIComponent(id)}/redeliver`))), url, body });
  say("Sent again: it is on its way.");
  await follow(reloadDelivery);
  say(`It is ${shownDelivery.state}.`);
});

// ------------------------------------------------------------ begin

for (const name of ["received", "sent"]) {
  $(`${name}-filter`).addEventListener("submit", (event) => {
    event.preventDefault();
    void act(event.submitter || event.target.querySelector("button"), () => route({ focus: false }));
  });
}
$("alert-close").addEventListener("click", () => { $("alert").hidden = true; });
$("skip").addEventListener("click", (event) => { event.preventDefault(); $("main").focus(); });

async function begin() {
  try {
    session.user = await get("/api/auth/me");
    $("account-name").textContent = session.user.name || session.user.email;
    renewInTime();
    addEventListener("hashchange", () => void route());
    await route({ focus: false });
  } catch (error) {
    showProblem(error);
  }
}

void begin();
