// What is wrong, said once, with what to do about it.
import { byId, element } from "./words.js";

let shown = null;   // { about, describe }

// `describe()` gives in the page's language { title, advice, actions: [words, function] of buttons }.
export function showTrouble(about, describe) {
  const { title, advice, actions = [] } = describe();
  const known = shown?.about === about && byId("trouble-title").textContent === title && byId("trouble-advice").textContent === advice;
  shown = { about, describe };
  if (known) return;
  byId("trouble-title").textContent = title;
  byId("trouble-advice").textContent = advice;
  byId("trouble-actions").replaceChildren(...actions.map(([words, onclick]) =>
    element("button", { type: "button", textContent: words, onclick })));
  byId("trouble").hidden = false;
  byId("trouble").scrollIntoView({ block: "nearest" });
}

export function showTroubleAgain() {
  if (shown !== null) showTrouble(shown.about, shown.describe);
}

export function endTrouble(...about) {
  if (!about.includes(shown?.about)) return;
  shown = null;
  byId("trouble").hidden = true;
}
