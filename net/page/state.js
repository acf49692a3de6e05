// The line under the picture: what the page is at. It ticks while time matters; what a screen reader
// is to say goes to a region of its own, once for each change and not for each tick.
import { byId } from "./words.js";

const kTick = 100;   // ms
const kTicking = ["looking", "writing", "waiting", "live"];
let state = { kind: "idle" }, timer = null, words = () => "";

// `describe(state)` gives the line for a state, which has been for `seconds`; to be said it is without.
export function setWords(describe) {
  words = describe;
  show();
}

export function setState(kind, details = {}) {
  const before = state.kind;
  state = { kind, since: kind === before ? state.since : performance.now(), ...details };
  if (kind !== before && ["looking", "stopped", "waiting", "paused"].includes(kind)) announce(words(state));
  const ticks = kTicking.includes(kind);
  if (ticks && timer === null) timer = setInterval(show, kTick);
  if (!ticks && timer !== null) {
    clearInterval(timer);
    timer = null;
  }
  show();
}

export const stateKind = () => state.kind;

export function announce(text) {
  const region = byId("spoken");
  region.textContent = text;
}

function show() {
  byId("state").dataset.state = state.kind;
  byId("state").textContent = words({ ...state, seconds: (performance.now() - state.since) / 1000 });
}
