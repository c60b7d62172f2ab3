// What every page of the platform has: elements, problems, and the session behind each call.

const DEADLINE_MS = 60_000;

export const $ = (id) => document.getElementById(id);

/** Make an element: h("a", {href, class, onclick, "aria-label"}, child, …). Text never becomes markup. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export class Problem extends Error {
  constructor(status, body = {}) {
    const text = body.detail || body.title || `The server answered ${status}.`;
    super(status >= 500 && body.requestId ? `${text} (request ${body.requestId})` : text);
    Object.assign(this, { status, body, code: body.code || "" });
  }
}

// ------------------------------------------------------------ session
// The access token is an HttpOnly cookie of a quarter of an hour; the refresh token lives in this tab only.

/** A page sets `begin`, which gets a new session as it is done there, and `heard`, when another tab has one. */
export const session = { user: null, refreshToken: sessionStorage.getItem("studio.refresh"), timer: 0, renewing: null, begin: refresh, heard: () => {} };
const otherTabs = new BroadcastChannel("studio.session");
otherTabs.onmessage = ({ data }) => {
  keepTokens(data, false);
  session.heard();
};

export function keepTokens({ refreshToken, expiresIn }, tell = true) {
  session.refreshToken = refreshToken;
  sessionStorage.setItem("studio.refresh", refreshToken);
  sessionStorage.setItem("studio.renewAt", String(Date.now() + Math.max(10, expiresIn - 60) * 1000));
  renewInTime();
  if (tell) otherTabs.postMessage({ refreshToken, expiresIn });
}

/** Renew before the cookie ends, so that pictures, sounds and the event channel keep working. */
export function renewInTime() {
  clearTimeout(session.timer);
  if (!session.refreshToken) return;
  const wait = Number(sessionStorage.getItem("studio.renewAt")) - Date.now();
  session.timer = setTimeout(() => void renew().catch(() => {}), Math.max(0, wait));
}

export function forgetTokens() {
  clearTimeout(session.timer);
  session.refreshToken = null;
  sessionStorage.removeItem("studio.refresh");
}

export async function send(method, path, { json, raw, type, headers = {} } = {}) {
  const all = { Accept: "application/json", ...headers };
  if (method !== "GET") all["X-Requested-With"] = "studio-console";
  if (json !== undefined) all["Content-Type"] = "application/json";
  if (type) all["Content-Type"] = type;
  try {
    return await fetch(path, {
      method, headers: all, body: json !== undefined ? JSON.stringify(json) : raw,
      credentials: "same-origin", signal: AbortSignal.timeout(DEADLINE_MS),
    });
  } catch (error) {
    const late = error.name === "TimeoutError";
    throw new Problem(0, { detail: late ? "The server took too long to answer. Try again." : "The server cannot be reached. Nothing is lost; try again in a moment." });
  }
}

/** Get a new session. Every caller waits for the same one. */
function renew() {
  session.renewing ??= session.begin().finally(() => { session.renewing = null; });
  return session.renewing;
}

/** Run while no other tab renews. */
export const locked = (work) => (navigator.locks ? navigator.locks.request("studio.refresh", work) : work());

/** Get a new cookie by the tab's refresh token; false when somebody has to sign in. */
export async function refresh() {
  if (session.refreshToken) {
    const response = await send("POST", "/api/auth/refresh", { json: { refreshToken: session.refreshToken, cookie: true } });
    if (response.ok) {
      keepTokens(await response.json());
      return true;
    }
    if (response.status >= 500) throw await problemOf(response);
    forgetTokens();
  }
  return (await send("GET", "/api/auth/me")).ok; // another tab was faster
}

export async function problemOf(response) {
  const body = await response.json().catch(() => ({}));
  return new Problem(response.status, body);
}

/** Call the API: JSON in, JSON out. A lost session is renewed, then the same call is made again. */
export async function call(method, path, options = {}) {
  for (let left = 2; ; left -= 1) {
    const response = await send(method, path, options);
    if (response.status === 401 && left > 0) {
      await renew();
      continue;
    }
    if (!response.ok) throw await problemOf(response);
    if (response.status === 204) return null;
    return (response.headers.get("Content-Type") || "").includes("json") ? response.json() : response.text();
  }
}
export const get = (path) => call("GET", path);
