// Shows the newest of what comes, and no more often than every `pause` ms.
export class Pace {
  #show;
  #timer = null;
  #last = -Infinity;
  pause;

  constructor(show, pause) {
    this.#show = show;
    this.pause = pause;
  }

  say(value) {
    clearTimeout(this.#timer);
    const wait = this.#last + this.pause - performance.now();
    if (wait > 0) this.#timer = setTimeout(() => this.#now(value), wait);
    else this.#now(value);
  }

  stop() {
    clearTimeout(this.#timer);
  }

  #now(value) {
    this.#last = performance.now();
    this.#show(value);
  }
}
