// Says what was done, and takes it back if asked to. What was pressed is often gone with it: the focus then is on the button
// that takes it back, and goes on from there to `back()`.
import { byId } from "./words.js";

const kTime = 20000;   // ms
let timer = null, back = () => null;

const toast = byId("toast");

export function showToast(words, undoWords, undo, next) {
  back = next;
  byId("toast-words").textContent = words;
  byId("undo").textContent = undoWords;
  byId("undo").onclick = async () => {
    await undo();
    hideToast();
  };
  toast.hidden = false;
  if (document.activeElement === document.body) byId("undo").focus();
  hideLater();
}

// Not from under the hand of somebody.
function hideLater() {
  clearTimeout(timer);
  timer = setTimeout(() => (toast.matches(":hover, :has(:focus-visible)") ? hideLater() : hideToast()), kTime);
}

export function hideToast() {
  clearTimeout(timer);
  if (toast.contains(document.activeElement)) back()?.focus({ preventScroll: true });
  toast.hidden = true;
}
