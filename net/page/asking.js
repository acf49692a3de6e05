// Has a question about pictures answered, come what may: a server that is gone or wants a key is waited for, and the
// question asked then.
import { AnswerError, answerTo } from "./chat.js";
import { messagesFor } from "./conversation.js";
import { lookNow, whenReady } from "./server.js";
import { announce, setState } from "./state.js";

const kMostCuts = 3;   // of answers that a server does not end, though it is there
const kNear = 200;     // pixels of an answer below the window, after which its reader has left it
let stopper = null;

export const isAsking = () => stopper !== null;
export const stopAsking = () => stopper?.abort();

// `turn` is the last of `conversation`, and `view` shows it.
export async function answerTurn(conversation, turn, view, withTheRest, settings) {
  stopAsking();
  const own = stopper = new AbortController();
  const { signal } = own;
  const on = {
    asked: () => setState("looking"),
    wait: (ms) => setState("waiting", { reason: "busy", until: performance.now() + ms }),
    text: (text, tokens) => {
      turn.answer = text;
      turn.firstAt ??= performance.now();
      setState("writing", { tokens, firstAt: turn.firstAt });
      view.show();
      view.follow({ near: kNear });
    },
  };
  try {
    Object.assign(turn, await untilAnswered(() => messagesFor(conversation, turn, withTheRest), settings, on, signal));
  } catch (error) {
    if (!signal.aborted && !(error instanceof AnswerError)) throw error;
    turn.state = signal.aborted ? "stopped" : "failed";
    turn.error = signal.aborted ? null : { message: error.message, code: error.code };
  } finally {
    delete turn.firstAt;
    if (stopper === own) stopper = null;
  }
  view.show();
  view.follow({ near: kNear });
  if (turn.state !== "stopped") announce(turn.answer);
  if (stopper === null) setState({ stopped: "stopped", failed: "error" }[turn.state] ?? "idle");
}

async function untilAnswered(messages, settings, on, signal) {
  for (let cuts = 0;;) {
    await whenReady(signal);
    try {
      const { text, finish, ttft, total, tokens } = await answerTo(await messages(), settings, on, signal);
      return { answer: text, state: finish === "length" ? "cut" : "answered", ttft, total, tokens };
    } catch (error) {
      if (!(error instanceof AnswerError) || error.kind === "refused" || ++cuts > kMostCuts) throw error;
      await lookNow();
    }
  }
}
