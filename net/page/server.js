// Whether the server is there, what it serves, and requests to it. It is looked for again and again
// while it is gone, the longer the less often, and now and then while it is there.
import { headers, hasKey } from "./key.js";

const kLook = 10000, kPatience = 8000;      // ms
const kFirstRetry = 1000, kLongestRetry = 15000;
let retry = kFirstRetry, timer = null, tell = () => {};
const waiting = [];

// `state`: "unknown", "ready", "gone" or "locked" (it wants a key, or another); `model`: as
// /v1/models has it, once known; `next`: when it is looked for again (performance.now()); `refusal`: what it
// answered instead, if it did; `waits`: seconds that it wants no key.
export const server = { state: "unknown", model: null, next: 0, refusal: null, keyWasWrong: false, waits: 0 };

export function watchServer(onChange) {
  tell = onChange;
  document.addEventListener("visibilitychange", () => { if (!document.hidden) lookNow(); });
  return lookNow();
}

// Relative, as the server may be below a path. Rejects if the server is gone.
export function ask(path, options = {}) {
  return fetch(new URL(path, document.baseURI), { ...options, headers: { ...options.headers, ...headers() } });
}

export async function lookNow() {
  clearTimeout(timer);
  const patience = new AbortController();
  const alarm = setTimeout(() => patience.abort(), kPatience);
  try {
    const response = await ask("v1/models", { signal: patience.signal });
    const body = await response.json();
    if (response.ok) {
      retry = kFirstRetry;
      set({ state: "ready", model: body.data[0], refusal: null });
    } else if (response.status === 401 || body.error?.code === "too_many_wrong_keys") {
      set({ state: "locked", keyWasWrong: hasKey(), waits: Number(response.headers.get("Retry-After") ?? 0) });
      return;
    } else {
      later(body.error ?? { message: `HTTP ${response.status}` });
      return;
    }
  } catch {
    later(null);
    return;
  } finally {
    clearTimeout(alarm);
  }
  timer = setTimeout(() => { if (!document.hidden) lookNow(); }, kLook);
}

function later(refusal) {
  const wait = retry * (0.75 + Math.random() / 2);
  retry = Math.min(2 * retry, kLongestRetry);
  timer = setTimeout(lookNow, wait);
  set({ state: "gone", refusal, next: performance.now() + wait });
}

function set(change) {
  Object.assign(server, change);
  tell();
  if (server.state !== "ready") return;
  for (const resolve of waiting.splice(0)) resolve();
}

// Resolves as soon as the server is known to be there.
export function whenReady(signal) {
  if (server.state === "ready") return Promise.resolve();
  return new Promise((resolve, reject) => {
    waiting.push(resolve);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

// A vocabulary as small as the demo model's has no words for the world.
export const isDemo = () => server.model?.vocabulary < 4096;
