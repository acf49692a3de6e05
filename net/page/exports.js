// The history as files: JSON with everything, CSV with a line for each answer.
import { dataUrl } from "./pictures.js";

const iso = (ms) => new Date(ms).toISOString();
// Tenths of a millisecond: what is beyond is noise.
const rounded = (ms) => (typeof ms === "number" ? Math.round(10 * ms) / 10 : ms);
const kColumns = ["time", "kind", "model", "question", "answer", "state", "first_token_ms", "total_ms", "tokens"];

// A spreadsheet takes a cell that begins like this for a formula; an apostrophe makes it a text.
const kFormula = /^[\s]*[=+\-@|%]|^[\t\r\n]/;

function cell(value) {
  let text = value === null || value === undefined ? "" : String(value);
  if (typeof value === "string" && kFormula.test(text)) text = "'" + text;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll("\"", "\"\"")}"` : text;
}

function rows(conversations) {
  return conversations.flatMap(({ model, turns }) => turns.flatMap((turn) => {
    const live = turn.captions?.length > 0;
    const row = (answer) => [iso(answer.when), live ? "live" : "question", model, turn.question,
      answer.text, turn.state, rounded(answer.ttft), rounded(answer.total), answer.tokens];
    return live ? turn.captions.map(row) : [row({ ...turn, text: turn.answer })];
  }));
}

// With a byte order mark, without which Excel takes UTF-8 for something else.
export function toCsv(conversations) {
  return "\ufeff" + [kColumns, ...rows(conversations)].map((row) => row.map(cell).join(",") + "\r\n").join("");
}

// As it is kept, and with the names and units of the CSV.
function told({ captions, ...answer }) {
  const { when, ttft, total } = answer;
  return { ...answer, time: iso(when), first_token_ms: rounded(ttft), total_ms: rounded(total), captions: captions?.map(told) };
}

export async function toJson(conversations) {
  const whole = [];
  for (const { id, pictures, turns, ...rest } of conversations) {
    whole.push({ when: iso(id), time: iso(id), ...rest, turns: turns.map(told), pictures: await Promise.all(pictures.map(dataUrl)) });
  }
  return JSON.stringify(whole, null, 2);
}

export function download(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
