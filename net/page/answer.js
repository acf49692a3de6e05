// A question and its answer on the page: what is said so far, figures, and buttons to copy it, hear it and ask again.
import { told } from "./errors.js";
import { toNodes } from "./markdown.js";
import { byId, element } from "./words.js";

const kMostCaptions = 200;
const kLong = 200;    // letters of a question that may have to be scrolled
const kMargin = 12;   // pixels around a turn that is scrolled to

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {   // there is no clipboard for pages that came over plain http
    const area = element("textarea", { value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

function speak(text) {
  const voice = window.speechSynthesis;
  if (voice.speaking) return voice.cancel();
  const said = new SpeechSynthesisUtterance(text);
  said.lang = /[\u3400-\u9fff]/.test(text) ? "zh-CN" : "en";
  voice.speak(said);
}

window.speechSynthesis?.getVoices();   // which are there only when they have been asked for before

export class TurnView {
  #turn;
  #words;
  #answer = element("div", { className: "answer" });
  #figures = element("p", { className: "figures-line" });
  #tools = element("div", { className: "row turn-tools" });
  #captions = null;

  // `turn` is one of a conversation's; `words(key)` the page's words; `again()` asks it again.
  constructor(turn, words, again) {
    this.#turn = turn;
    this.#words = words;
    this.again = again;
    this.element = element("li", { className: "turn" },
      element("p", { className: "question", textContent: turn.question, tabIndex: turn.question.length > kLong ? 0 : -1 }), this.#answer, this.#figures, this.#tools);
    byId("turns").append(this.element);
    this.show();
  }

  // What the turn says now.
  show() {
    const { answer, state, error } = this.#turn;
    const waits = state === "asked" && answer === "";
    this.#answer.replaceChildren(...(waits ? [element("span", { className: "dots", ariaHidden: "true" })] : toNodes(answer)));
    this.element.dataset.state = state;
    if (error) this.#answer.append(element("p", { className: "wrong", role: "alert", textContent: told(error) }));
    if (state === "answered" && answer === "") this.#answer.append(element("p", { className: "aside", textContent: this.#words("nothing") }));
    if (state === "stopped") this.#answer.append(element("p", { className: "aside", textContent: this.#words("stopped") }));
    if (state === "cut") this.#answer.append(element("p", { className: "aside", textContent: this.#words("cut") }));
    this.#figures.textContent = this.#turn.total ? this.#words("figures")(this.#turn) : "";
    this.#showTools();
    this.#showCaptions();
  }

  #showTools() {
    const { answer, state } = this.#turn;
    const button = (key, onclick) => element("button", { type: "button", className: "quiet", textContent: this.#words(key), onclick });
    const tools = [];
    if (state !== "asked" && answer !== "") {
      const copying = button("copy", async () => {
        await copy(answer);
        copying.textContent = this.#words("copied");
      });
      tools.push(copying);
      if (window.speechSynthesis?.getVoices().length > 0) tools.push(button("speak", () => speak(answer)));
    }
    if (["stopped", "failed"].includes(state)) tools.push(button("again", this.again));
    if (tools.length === 0 && !this.#tools.hasChildNodes()) return;
    this.#tools.replaceChildren(...tools);
  }

  // Of live captions, those before.
  #showCaptions() {
    const { captions } = this.#turn;
    if (!captions || captions.length < 2) return;
    if (this.#captions === null) {
      this.#captions = { summary: element("summary"), list: element("ol", { className: "captions", tabIndex: 0 }), shown: 0 };
      this.element.append(element("details", {}, this.#captions.summary, this.#captions.list));
    }
    const { summary, list } = this.#captions;
    summary.textContent = this.#words("captions")(captions.length);
    list.ariaLabel = summary.textContent;
    for (; this.#captions.shown < captions.length; ++this.#captions.shown) {
      const { when, text } = captions[this.#captions.shown];
      list.prepend(element("li", {}, element("time", { textContent: new Date(when).toLocaleTimeString([], { hour12: false }) }), " ", text));
    }
    while (list.children.length > kMostCaptions) list.lastChild.remove();
  }

  // Shows it whole, as far as it fits, above the composer; while it grows only if its reader is there, and has
  // not scrolled back.
  follow({ near = Infinity } = {}) {
    const composer = byId("composer"), covers = getComputedStyle(composer).position === "sticky";
    const { top, bottom } = this.element.getBoundingClientRect();
    const end = window.innerHeight - (covers ? composer.offsetHeight : 0) - kMargin;
    const below = Math.min(bottom - end, Math.max(0, top - kMargin));
    if (below > 0 && below < near) window.scrollBy({ top: below });
    else if (near === Infinity && bottom < kMargin) this.element.scrollIntoView();
  }
}
