// Says what was done, and takes it back if asked to.
import { byId } from "./words.js";

const kTime = 20000;   // ms
let timer = null;

export function showToast(words, undoWords, undo) {
  clearTimeout(timer);
  byId("toast-words").textContent = words;
  byId("undo").textContent = undoWords;
  byId("undo").onclick = () => {
    hideToast();
    undo();
  };
  byId("toast").hidden = false;
  timer = setTimeout(hideToast, kTime);
}

export function hideToast() {
  byId("toast").hidden = true;
}
