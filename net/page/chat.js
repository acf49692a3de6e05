// One answer to a conversation, by OpenAI's API, in pieces as they come. A busy server is asked again, the more
// often it was busy the later.
import { ask } from "./server.js";

const kFirstWait = 500, kLongestWait = 15000;   // ms

// `kind`: "gone" (the server), "locked" (it wants a key) or "refused"; `code`: the server's for programs.
export class AnswerError extends Error {
  constructor(kind, { message = "", code = "" } = {}) {
    super(message);
    this.kind = kind;
    this.code = code;
  }
}

// `on.wait(ms)` is called when a busy server is to be asked again, `on.asked()` when it is asked, and
// `on.text(text, tokens)` with the answer so far. The result has the answer and its figures in ms.
export async function answerTo(messages, settings, on, signal) {
  for (let wait = kFirstWait;; wait = Math.min(2 * wait, kLongestWait)) {
    on.asked();
    const begun = performance.now();
    const response = await send(messages, settings, signal);
    if (response.ok) return read(response, begun, on, signal);
    const { error } = await response.json().catch(() => ({}));
    const said = error ?? { message: `HTTP ${response.status}` };
    if (response.status === 401 || said.code === "too_many_wrong_keys") throw new AnswerError("locked", said);
    if (response.status !== 429 && response.status !== 503) throw new AnswerError("refused", said);
    const told = 1000 * Number(response.headers.get("Retry-After") ?? 0);
    const pause = Math.max(told, wait * (0.75 + Math.random() / 2));
    on.wait(pause);
    await sleep(pause, signal);
  }
}

async function send(messages, settings, signal) {
  const body = JSON.stringify({ messages, ...settings, stream: true, stream_options: { include_usage: true } });
  try {
    return await ask("v1/chat/completions", { method: "POST", headers: { "Content-Type": "application/json" }, body, signal });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new AnswerError("gone");
  }
}

// Server-sent events: each a line of data, with an empty line after it.
async function read(response, begun, on, signal) {
  const result = { text: "", ttft: null, total: null, tokens: 0, finish: null };
  let rest = "", done = false;
  const take = (data) => {
    if (data === "[DONE]") {
      done = true;
      return;
    }
    const event = JSON.parse(data);
    if (event.error) throw new AnswerError("refused", event.error);
    result.tokens = event.usage?.completion_tokens ?? result.tokens;
    const choice = event.choices?.[0];
    result.finish = choice?.finish_reason ?? result.finish;
    if (!choice?.delta?.content) return;
    result.ttft ??= performance.now() - begun;
    result.text += choice.delta.content;
    on.text(result.text, ++result.tokens);
  };
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { value, done: ended } = await reader.read();
      if (ended) break;
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const event of events) if (event.startsWith("data: ")) take(event.slice(6));
    }
  } catch (error) {
    if (signal.aborted || error instanceof AnswerError) throw error;
    throw new AnswerError("gone");
  }
  if (!done) throw new AnswerError("gone");
  result.total = performance.now() - begun;
  return result;
}

function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    }, { once: true });
  });
}
