// Live captions: frames of a camera go to the server over a WebSocket, one at a time, and captions come back. A lost
// connection is made again, a busy server asked again, each time later.
import { subprotocols } from "./key.js";

const kFirstRetry = 500, kLongestRetry = 8000;   // ms
const kRateTime = 5000;                          // ms that the rate of captions is counted over
const kNoFrame = 100;                            // ms until a camera without a frame is looked at again
const kBusy = ["busy", "rate_limited", "stopping"];

export class Live {
  #socket = null;
  #grab;
  #on;
  #timer = null;
  #retry = kFirstRetry;
  #frame = 0;             // frames of this connection: the server counts them, too
  #question = null;       // that is being answered, with its frame and that frame's number as `id`
  #sentAt = 0;
  #partial = "";
  #wanted = false;        // a frame is to be sent as soon as it can
  #captionTimes = [];
  running = false;
  counts = { captions: 0, unchanged: 0, skipped: 0 };

  // `grab()` gives a frame as a JPEG, or null; `question()` what to send to the server before it: the fields of
  // "configure", and `interval` in ms. Called are on.look(), on.partial(text), on.caption(message,
  // question, frame), on.wait(ms, reason), on.lost() and on.fail(error).
  constructor(grab, question, on) {
    this.#grab = grab;
    this.question = question;
    this.#on = on;
  }

  // Asks about frame after frame, or about one.
  start({ once = false } = {}) {
    this.running = !once;
    if (this.#question !== null) this.#send({ type: "cancel" });
    this.#question = null;
    this.#wanted = true;
    this.#next();
  }

  pause() {
    this.running = this.#wanted = false;
    clearTimeout(this.#timer);
    if (this.#question !== null) this.#send({ type: "cancel" });
    this.#question = null;
  }

  close() {
    this.pause();
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.counts = { captions: 0, unchanged: 0, skipped: 0 };
    this.#captionTimes = [];
  }

  // Whether a frame is being looked at.
  get looks() { return this.#question !== null; }

  // Captions a second.
  rate() {
    const now = performance.now();
    this.#captionTimes = this.#captionTimes.filter((time) => now - time < kRateTime);
    const [first, ...rest] = this.#captionTimes;
    return rest.length === 0 ? null : rest.length * 1000 / (now - first);
  }

  #open() {
    const address = new URL("ws", document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address, subprotocols());
    this.#socket = socket;
    socket.onopen = () => {
      this.#frame = 0;
      this.#next();
    };
    socket.onmessage = (event) => this.#receive(JSON.parse(event.data));
    socket.onclose = () => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      const asked = this.#question !== null || this.#wanted;
      this.#question = null;
      if (!asked && !this.running) return;
      this.#on.lost();
      this.#later("gone");
    };
  }

  #later(reason) {
    const wait = this.#retry * (0.75 + Math.random() / 2);
    this.#retry = Math.min(2 * this.#retry, kLongestRetry);
    this.#on.wait(wait, reason);
    this.#after(wait);
  }

  #after(wait) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#wanted = true;
      this.#next();
    }, wait);
  }

  #send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  async #next() {
    if (!this.#wanted || this.#question !== null) return;
    if (this.#socket === null) return this.#open();
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    const { interval, ...settings } = this.question();
    const question = { ...settings, interval };
    this.#question = question;
    this.#wanted = false;
    question.frame = await this.#grab();
    if (this.#question !== question) return;   // it was stopped meanwhile, or another asked
    if (!question.frame || this.#socket?.readyState !== WebSocket.OPEN) {
      this.#question = null;
      return this.#after(kNoFrame);
    }
    this.#partial = "";
    this.#sentAt = performance.now();
    this.#send({ type: "configure", stream: true, ...settings });
    this.#socket.send(question.frame);
    question.id = ++this.#frame;
    this.#on.look();
  }

  #receive(message) {
    if (message.type === "skipped") ++this.counts.skipped;
    if (message.type === "error" && message.frame_id === undefined) {
      this.pause();
      this.#on.fail(message);
      return;
    }
    if (this.#question === null || message.frame_id !== this.#question.id) return;   // it was given up
    if (message.type === "token") {
      this.#partial += message.content;
      this.#on.partial(this.#partial);
    } else if (message.type === "description") {
      this.#caption(message);
    } else if (message.type === "error") {
      this.#question = null;
      if (kBusy.includes(message.code)) {
        this.#later("busy");
      } else {
        this.pause();
        this.#on.fail(message);
      }
    }
  }

  // Frames that came due while the server was at this one are skipped.
  #caption(message) {
    const question = this.#question, now = performance.now();
    this.#question = null;
    this.#retry = kFirstRetry;
    ++this.counts.captions;
    if (message.unchanged) ++this.counts.unchanged;
    this.#captionTimes.push(now);
    this.#on.caption(message, question);
    if (!this.running) return;
    const taken = now - this.#sentAt, { interval } = question;
    if (interval > 0) this.counts.skipped += Math.floor(taken / interval);
    this.#after(interval > 0 ? interval - taken % interval : 0);
  }
}
