// What is wrong, said once, with what to do about it.
import { byId, element } from "./words.js";

let shown = null;   // what it is about

// `actions`: [words, function] of buttons.
export function showTrouble(about, title, advice, actions = []) {
  if (shown === about && byId("trouble-title").textContent === title) return;
  shown = about;
  byId("trouble-title").textContent = title;
  byId("trouble-advice").textContent = advice;
  byId("trouble-actions").replaceChildren(...actions.map(([words, onclick]) =>
    element("button", { type: "button", textContent: words, onclick })));
  byId("trouble").hidden = false;
  byId("trouble").scrollIntoView({ block: "nearest" });
}

export function endTrouble(...about) {
  if (!about.includes(shown)) return;
  shown = null;
  byId("trouble").hidden = true;
}
