// What was asked about some pictures and answered: what the page shows now, and the history keeps.
//
//   { id, model, live, pictures: [JPEG], turns: [{ question, pictures, answer, state, when, ... }] }
//
// `id` is when it began (ms since 1970); a turn's `pictures` is how many of them were there when it was asked; its
// `state` "asked", "answered", "cut" (by the length that an answer may have), "stopped" or "failed";
// with figures once answered, and for live captions those that differed, the latest last.
import { dataUrl, smaller } from "./pictures.js";

const kMostCaptions = 500;

export function newConversation(model, live = false) {
  return { id: Date.now(), model, live, pictures: [], turns: [] };
}

export function addTurn(conversation, question) {
  const turn = {
    question, pictures: conversation.pictures.length, answer: "", state: "asked", when: Date.now(),
    ...(conversation.live ? { captions: [] } : {}),
  };
  conversation.turns.push(turn);
  return turn;
}

export function addCaption(turn, text, figures) {
  turn.answer = text;
  turn.state = "answered";
  Object.assign(turn, figures);
  if (turn.captions.at(-1)?.text === text) return false;
  turn.captions.push({ when: Date.now(), text, ...figures });
  if (turn.captions.length > kMostCaptions) turn.captions.shift();
  return true;
}

// What OpenAI's API is sent to have `turn`, the last, answered: with what was said before, or with the
// pictures alone.
export async function messagesFor({ pictures, turns }, turn, withTheRest) {
  const images = await Promise.all(pictures.slice(0, turn.pictures).map(async (picture) =>
    ({ type: "image_url", image_url: { url: await dataUrl(picture) } })));
  const before = withTheRest ? turns.filter((each) => each !== turn && each.answer !== "") : [];
  let sent = 0;
  return [...before, turn].flatMap((each) => {
    const content = [...images.slice(sent, each.pictures), { type: "text", text: each.question }];
    sent = Math.max(sent, each.pictures);
    const asked = { role: "user", content };
    return each === turn ? [asked] : [asked, { role: "assistant", content: each.answer }];
  });
}

// A copy for the history: with what there is an answer to, and small pictures.
export async function toKeep({ pictures, turns, ...rest }) {
  return {
    ...rest, turns: turns.filter((turn) => turn.answer !== "").map((turn) => ({ ...turn })),
    pictures: await Promise.all(pictures.map(smaller)),
  };
}
