// Live captions on the page: what the camera sees is said, under the picture or on it, and goes into the history.
import { TurnView } from "./answer.js";
import { video } from "./camera.js";
import { addCaption, addTurn, newConversation } from "./conversation.js";
import { Live } from "./live.js";
import { frameOf } from "./pictures.js";
import { Pace } from "./pace.js";
import { lookNow, server } from "./server.js";
import { isOn, number } from "./settings.js";
import { showCaption } from "./stage.js";
import { announce, setState } from "./state.js";
import { byId } from "./words.js";

const kReadable = 500;    // ms that a caption stays, unless more are asked for
const kPartial = 1000;    // ms after which an answer is shown as it is written
const kSpoken = 5000;     // ms between captions that a screen reader says
const kUnchanged = 2;     // see "unchanged_below" in README.md
const kSaved = 10000;     // ms between writings of the history

export class Captions {
  #live;
  #words;
  #on;
  #conversation = null;
  #turn = null;
  #view = null;
  #lookedAt = 0;
  #spokenAt = -Infinity;
  #savedAt = 0;
  #pace = new Pace((text) => this.#show(text), kReadable);

  // `on.save(conversation)` keeps what was said, `on.change()` tells that captions begin or end, and
  // `on.fail(error)` that the server refused.
  constructor(words, on) {
    this.#words = words;
    this.#on = on;
    this.#live = new Live(() => frameOf(video), () => this.#question(), {
      look: () => {
        this.#lookedAt = performance.now();
        this.#showState();
      },
      partial: (text) => {
        if (performance.now() - this.#lookedAt > kPartial) this.#pace.say(text);
      },
      caption: (message, question) => this.#caption(message, question),
      wait: (ms, reason) => setState("waiting", { reason, until: performance.now() + ms }),
      lost: lookNow,
      fail: (error) => {
        this.#turn.state = "failed";
        this.#turn.error = error;
        this.#view.show();
        setState("error");
        this.#on.change();
      },
    });
  }

  get running() { return this.#live.running; }
  get paused() { return this.#turn !== null && !this.#live.running; }
  get prompt() { return this.#turn?.question ?? ""; }

  // Of frame after frame, or of one.
  ask(prompt, { once = false } = {}) {
    this.#conversation ??= newConversation(server.model?.id ?? "", true);
    if (this.#turn?.question !== prompt) {
      byId("turns").replaceChildren();
      this.#turn = addTurn(this.#conversation, prompt);
      this.#view = new TurnView(this.#turn, this.#words, () => this.ask(prompt, { once }));
      showCaption("");
    }
    this.#turn.error = null;
    if (this.#turn.state !== "asked") this.#turn.state = "answered";
    this.#view.show();
    this.#view.follow();
    this.#live.start({ once });
    setState("looking");
    this.#on.change();
  }

  pause() {
    this.#live.pause();
    this.#pace.stop();
    if (this.#turn !== null) {
      if (this.#turn.state === "asked") this.#turn.state = "stopped";
      this.#view.show();
    }
    this.#save();
    setState("paused");
    this.#on.change();
  }

  close() {
    this.#live.close();
    this.#pace.stop();
    this.#save();
    this.#conversation = this.#turn = this.#view = null;
    showCaption("");
  }

  // In other words: the page's language has changed.
  showAgain() {
    this.#view?.show();
  }

  #question() {
    return {
      prompt: this.#turn.question, temperature: number("temperature"), max_new_tokens: number("max-tokens"),
      unchanged_below: isOn("unchanged") ? kUnchanged : 0, interval: 1000 * number("interval"),
    };
  }

  #caption(message, { frame }) {
    const said = message.content;
    const figures = { ttft: message.ttft_ms, total: message.total_ms, tokens: message.tokens };
    if (addCaption(this.#turn, said, figures)) this.#conversation.pictures = [frame];
    this.#turn.pictures = 1;
    this.#pace.pause = isOn("at-once") ? 0 : kReadable;
    this.#pace.say(said);
    this.#showState();
    if (performance.now() - this.#spokenAt > kSpoken) {
      this.#spokenAt = performance.now();
      announce(said);
    }
    if (performance.now() - this.#savedAt > kSaved) this.#save();
  }

  #show(text) {
    this.#turn.answer = text;
    this.#view.show();
    showCaption(text);
  }

  #showState() {
    if (this.#live.running) setState("live", { live: this.#live, lookedAt: this.#lookedAt });
    else if (this.#live.looks) setState("looking");
    else setState("paused");
  }

  #save() {
    this.#savedAt = performance.now();
    if (this.#conversation?.turns.some((turn) => turn.captions.length > 0)) this.#on.save(this.#conversation);
  }
}
