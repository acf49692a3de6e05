// One camera on the page: live pictures and the server's answers come over one WebSocket; the prompt
// and the interval go back. Three lines of state say, in seconds, how camera, server and answer do.
import { told } from "./errors.js";
import { duration } from "./figures.js";
import { byId, element, language, presets, showSuggestions } from "./words.js";

const kHistory = 50;
const kIntervals = [0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60];   // seconds

// "20261123_081700" is the server's time of day.
const timeOf = ({ timestamp = "" }) => /_(\d\d)(\d\d)(\d\d)$/.exec(timestamp)?.slice(1).join(":") ?? "";

export class Card {
  constructor({ name, title, size }, text) {
    this.title = title;
    this.text = text;
    this.element = byId("camera").content.firstElementChild.cloneNode(true);
    this.element.style.setProperty("--size", size);
    this.base = `cameras/${name}/`;
    this.state = null;         // the camera's last "state" message; null while we have no connection
    this.since = {};           // when a part's state began
    this.answer = { kind: "nothing" };
    this.shownPrompt = "";     // the last that the field was given, or could have been
    this.serverPrompt = "";    // what the server asks if nobody else does, once known
    this.streamed = "";
    this.shownAt = [];
    this.retry = 250;
    this.find(".name").textContent = title;
    this.find(".snapshot").href = this.base + "snapshot.jpg";
    this.find(".snapshot").download = `${name}.jpg`;
    this.find(".stream").href = this.base + "stream.mjpg";
    this.prompt = this.find("[name=prompt]");
    this.find(".ask").onsubmit = (event) => {
      event.preventDefault();
      this.prompt.blur();
      this.ask();
    };
    this.find(".interval").onchange = () => this.configure({ interval: Number(this.find(".interval").value) });
    setInterval(() => this.showStates(), 1000);
    this.connect();
  }

  find(selector) {
    return this.element.querySelector(selector);
  }

  // An empty field asks what it shows: the page's language has a question of its own.
  ask() {
    const prompt = this.prompt.value.trim() || this.prompt.placeholder;
    this.configure({ prompt });
  }

  configure(wish) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type: "configure", ...wish }));
  }

  showLanguage() {
    for (const e of this.element.querySelectorAll("[data-text]")) e.textContent = this.text(e.dataset.text);
    for (const e of this.element.querySelectorAll("[data-label]")) e.setAttribute("aria-label", this.text(e.dataset.label));
    this.find(".live").alt = this.text("picture")(this.title);
    if (this.answer.kind === "failed") this.say(told(this.answer.error), true);
    this.prompt.placeholder = presets[language][0].prompt;
    showSuggestions(this.find(".chips"), this.prompt, () => this.ask());
    this.showState();
  }

  // The connection ------------------------------------------------------------------------------
  connect() {
    const address = new URL(this.base + "ws", document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    this.socket = new WebSocket(address);
    this.socket.binaryType = "blob";
    this.socket.onopen = () => {
      this.retry = 250;
      this.configure({ binary: true });
    };
    this.socket.onmessage = ({ data }) => data instanceof Blob ? this.showPicture(data) : this.receive(JSON.parse(data));
    this.socket.onclose = () => {
      this.state = null;
      this.showState();
      setTimeout(() => this.connect(), this.retry * (0.75 + Math.random() / 2));
      this.retry = Math.min(2 * this.retry, 5000);
    };
  }

  showPicture(blob) {
    const live = this.find(".live");
    const url = URL.createObjectURL(blob.slice(0, blob.size, "image/jpeg"));
    live.onload = live.onerror = () => URL.revokeObjectURL(url);
    live.src = url;
    live.hidden = false;
    const now = performance.now();
    this.shownAt = [...this.shownAt.filter((t) => now - t < 3000), now];
  }

  receive(message) {
    switch (message.type) {
      case "state":
        this.state = message;
        this.showState();
        break;
      case "history":
        this.find(".history").replaceChildren();
        for (const description of message.descriptions) this.remember(description);
        this.recall(message.descriptions.at(-1));
        break;
      case "token":
        if (this.answer.kind !== "writing") this.answer = { kind: "writing", at: performance.now() };
        this.streamed += message.content;
        this.say(this.streamed, false);
        break;
      case "description":
        this.streamed = "";
        this.answer = { kind: "said", at: performance.now(), ttft: message.ttft_ms, total: message.total_ms };
        this.say(message.content, false);
        this.remember(message);
        break;
      case "error":
        this.streamed = "";
        this.answer = { kind: "failed", at: performance.now(), error: message };
        this.say(told(message), true);
        break;
      case "skipped":
        this.streamed = "";
        break;
    }
    this.showStates();
  }

  say(words, bad) {
    const answer = this.find(".answer");
    answer.classList.toggle("bad", bad);
    answer.textContent = words;
  }

  remember(description) {
    if (description.prompt && description.prompt !== this.serverPrompt) {
      this.serverPrompt = description.prompt;
      this.showState();
    }
    const list = this.find(".history");
    const last = list.firstChild;   // the same again is no news
    if (last?.lastChild.textContent === description.content) last.remove();
    list.prepend(element("li", {}, element("time", { textContent: timeOf(description) }),
      element("span", { textContent: description.content })));
    while (list.children.length > kHistory) list.lastChild.remove();
  }

  // What was said before the page was opened stands until there is news.
  recall(description) {
    if (description === undefined || this.answer.kind !== "nothing") return;
    this.answer = { kind: "recalled", time: timeOf(description) };
    this.say(description.content, false);
  }

  // What the last "state" says ----------------------------------------------------------------
  showState() {
    this.showStates();
    this.find(".frame").classList.toggle("stale", !this.state?.camera_live);
    if (!this.state) return;
    const { stream, prompt, interval } = this.state;
    this.find(".ask").hidden = !stream;
    this.find(".question").textContent = stream && prompt ? prompt : this.text("ownQuestion")(this.serverPrompt);
    this.find(".why").hidden = stream;
    this.find(".why").textContent = this.text("whyFixed");
    // What is being written stays, unless the question has become another.
    if (prompt !== this.shownPrompt && document.activeElement !== this.prompt) this.prompt.value = prompt;
    this.shownPrompt = prompt;
    const all = [...new Set([...kIntervals, interval])].sort((a, b) => a - b);
    this.find(".interval").replaceChildren(...all.map((seconds) => new Option(`${seconds} ${this.text("seconds")}`, seconds)));
    this.find(".interval").value = interval;
  }

  // The lines, which count seconds.
  showStates() {
    const { state } = this;
    const now = performance.now();
    const seconds = (part, kind) => {
      if (this.since[part]?.kind !== kind) this.since[part] = { kind, at: now };
      return Math.round((now - this.since[part].at) / 1000);
    };
    const line = (part, look, words) => {
      const p = this.find(`[data-part=${part}]`);
      p.dataset.state = look;
      if (p.textContent !== words) p.textContent = words;
      p.hidden = words === "";
    };
    if (!state) {
      line("camera", "lost", this.text("pageLost")(seconds("camera", "page")));
      line("server", "waiting", "");
    } else {
      const time = seconds("camera", state.camera_live);
      if (state.camera_live) line("camera", "live", this.text("live")(state.width && `${state.width} × ${state.height}`, this.rate(now)));
      else if (state.camera_cause === "opening") line("camera", "waiting", this.text("opening"));
      else line("camera", "lost", this.text("lost")(time, this.why(state.camera_cause, state.camera)));
      const away = seconds("server", state.server);
      const words = { ready: this.text("ready"), connecting: this.text("connecting") }[state.server];
      line("server", { ready: "ready", connecting: "waiting" }[state.server] ?? "lost",
        words ?? this.text("serverLost")(away, this.why(state.server_cause, state.server_text)));
    }
    this.showAnswerState(line, now);
  }

  why(cause, words) {
    return this.text("causes")[cause]?.(this.state) ?? words;
  }

  showAnswerState(line, now) {
    const { kind, at, time, ttft, total } = this.answer;
    const seconds = Math.round((now - at) / 1000);
    const fine = this.state?.server === "ready" && this.state.camera_live ? "idle" : "waiting";   // whether there will be another
    if (kind === "nothing") line("answer", "waiting", this.text("nothing"));
    if (kind === "recalled") line("answer", fine, this.text("saidAt")(time));
    if (kind === "writing") line("answer", "writing", this.text("writing")(seconds));
    if (kind === "failed") line("answer", "error", this.text("failed")(seconds));
    if (kind !== "said") return;
    line("answer", fine, ttft === undefined || total === undefined ? this.text("saidAgo")(seconds)
      : this.text("said")(seconds, duration(ttft), duration(total)));
  }

  rate(now) {
    const recent = this.shownAt.filter((t) => now - t < 3000);
    return recent.length < 2 ? "" : ((recent.length - 1) * 1000 / (recent.at(-1) - recent[0])).toFixed(1);
  }
}
