// The history on the page: what was asked before, to be opened again, removed and taken back, or exported.
import { download, toCsv, toJson } from "./exports.js";
import { clearHistory, conversations, isKept, remove, save } from "./history.js";
import { Urls } from "./pictures.js";
import { hideToast, showToast } from "./toast.js";
import { byId, element, language } from "./words.js";

const shown = new Urls();

const timeOf = (id) => new Date(id).toLocaleString(language, { dateStyle: "short", timeStyle: "short", hour12: false });

// `open(conversation)` brings one back.
export function showHistory(words, open) {
  const all = conversations();
  const urls = shown.of(all.map(({ pictures }) => pictures[0]));
  byId("history").replaceChildren(...all.map((conversation, i) => item(conversation, urls[i], words, open)));
  byId("history-empty").hidden = all.length > 0 || !isKept();
  byId("history-tools").hidden = all.length === 0;
  byId("history-unkept").hidden = isKept();
}

function item(conversation, url, words, open) {
  const { id, live, turns } = conversation;
  const last = turns.at(-1);
  const about = [timeOf(id), ...(live ? [words("liveMark")] : []), ...(turns.length > 1 ? [words("questions")(turns.length)] : [])];
  return element("li", {},
    element("button", { type: "button", className: "entry", onclick: () => open(conversation) },
      element("img", { src: url, alt: "", width: 64, height: 64 }),
      element("span", { className: "entry-text" },
        element("span", { className: "entry-question", textContent: last.question }),
        element("span", { className: "entry-answer", textContent: last.answer }),
        element("span", { className: "entry-about", textContent: about.join(" · ") }))),
    element("button", {
      type: "button", className: "quiet cross", textContent: "×", ariaLabel: words("removeEntry")(timeOf(id)),
      onclick: () => takeAway([conversation], words, open),
    }));
}

async function takeAway(gone, words, open) {
  if (gone.length === conversations().length) await clearHistory();
  else for (const { id } of gone) await remove(id);
  showHistory(words, open);
  showToast(words("removed")(gone.length), words("undo"), async () => {
    for (const conversation of gone) await save(conversation);
    showHistory(words, open);
  }, () => byId("history").querySelector(".entry") ?? byId("history-title"));
}

export function wireHistory(words, open) {
  byId("clear").onclick = () => takeAway(conversations(), words, open);
  byId("toast-close").onclick = hideToast;
  byId("export-csv").onclick = () => download("fastvlm.csv", "text/csv", toCsv(conversations()));
  byId("export-json").onclick = async () => download("fastvlm.json", "application/json", await toJson(conversations()));
}
