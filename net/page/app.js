// Wires the page: what its buttons do, and what it shows when something has changed.
import { TurnView } from "./answer.js";
import { answerTurn, isAsking, stopAsking } from "./asking.js";
import { CameraError, cameraInUse, cameras, runs, startCamera, stopCamera, video } from "./camera.js";
import { Captions } from "./captions.js";
import { addTurn, newConversation, toKeep } from "./conversation.js";
import { told } from "./errors.js";
import { openHistory, save } from "./history.js";
import { showHistory, wireHistory } from "./history_list.js";
import { askForKey } from "./key.js";
import { frameOf, fromFile, fromSample } from "./pictures.js";
import { editPresets, suggestions, translated } from "./presets.js";
import { isDemo, lookNow, server, watchServer } from "./server.js";
import { isOn, number, openSettings, setDefault } from "./settings.js";
import { leaveFill, mode, showMode, showPictures, showSamples, showView, takeFiles, toggleFull } from "./stage.js";
import { setState, setWords, stateKind } from "./state.js";
import { texts } from "./texts.js";
import { showTheme, switchTheme } from "./theme.js";
import { showToast } from "./toast.js";
import { endTrouble, showTrouble, showTroubleAgain } from "./trouble.js";
import { byId, element, language, showWords, switchLanguage } from "./words.js";

const kMostPictures = 8;
const kIntervals = [0, 0.5, 1, 2, 5, 10, 30, 60];   // seconds

const text = (key) => texts[language][key];
let conversation = null;   // what is shown, unless captions are
let views = [];            // of its turns
const captions = new Captions(text, { save: keepIt, change: showControls, fail: showControls });

// Words -------------------------------------------------------------------------------------------
function describeState({ kind, seconds, ...details }) {
  const say = text("state")[kind === "idle" && server.state === "unknown" ? "unknown" : kind];
  const now = performance.now();
  if (kind === "writing") {
    const passed = (now - details.firstAt) / 1000;
    return say({ rate: passed > 0.2 ? Math.round((details.tokens - 1) / passed) : 0 });
  }
  if (kind === "waiting") return say({ ...details, left: seconds === undefined ? 0 : Math.ceil((details.until - now) / 1000) });
  if (kind === "live") {
    const looking = (now - details.lookedAt) / 1000;
    return say({ rate: details.live.rate()?.toFixed(1), counts: details.live.counts, looking: looking > 1 && details.live.looks ? looking : 0 });
  }
  return say({ seconds, ...details });
}

function showLanguage() {
  showWords(texts, ask, suggestions());
  byId("prompt").placeholder = text("placeholder");
  showTheme(text);
  showSamples(text, (file) => takePictures([file], { read: fromSample }));
  const interval = byId("interval").value || "1";
  byId("interval").replaceChildren(...kIntervals.map((s) => new Option(s === 0 ? text("atOnce") : `${s} ${text("second")}`, s)));
  byId("interval").value = interval;
  for (const view of views) view.show();
  captions.showAgain();
  setWords(describeState);
  showHistory(text, bringBack);
  showServer();
  showTroubleAgain();
  showControls();
}

byId("language").onclick = () => {
  const from = language;
  switchLanguage();
  byId("prompt").value = translated(byId("prompt").value, from, language) ?? byId("prompt").value;
  showLanguage();
};
byId("theme").onclick = () => switchTheme(text);
byId("edit-presets").onclick = () => editPresets(text, byId("prompt").value, showLanguage);

// The server --------------------------------------------------------------------------------------
function showServer() {
  const { model, state } = server;
  byId("model").textContent = model ? [model.id, model.device, model.precision].join(" · ") + (isDemo() ? ". " + text("demo") : "") : "";
  document.querySelector("main").classList.toggle("away", state === "gone");
  document.querySelector("main").classList.toggle("unknown", state === "unknown");
  if (state === "ready") {
    endTrouble("gone", "locked");
    byId("max-tokens").max = model.max_completion_tokens;
    setDefault("max-tokens", Math.min(256, model.max_completion_tokens));
    setDefault("follow-up", !isDemo());
    if (["idle", "locked", "waiting"].includes(stateKind()) && !isAsking() && !captions.running) setState("idle");
  } else if (state === "gone") {
    showTrouble("gone", () => ({
      title: text(server.refusal ? "refuses" : "gone"),
      advice: [server.refusal && told(server.refusal), text(isAsking() ? "goneKept" : "goneAdvice")].filter(Boolean).join(" "),
      actions: [[text("tryNow"), lookNow]],
    }));
    if (!captions.running) setState("waiting", { reason: "gone", until: server.next });
  } else if (state === "locked") {
    setState("locked");
    const enter = () => askForKey(wrongKey(), lookNow);
    showTrouble("locked", () => ({ title: text("keyTitle"), advice: text("keyHelp"), actions: [[text("giveKey"), enter]] }));
    enter();
  }
}

function wrongKey() {
  if (!server.keyWasWrong) return "";
  return server.waits > 0 ? text("keyWait")(server.waits) : text("keyWrong");
}

// Pictures ----------------------------------------------------------------------------------------
// `files` become the pictures of a new conversation, or are added to the one that is there.
async function takePictures(files, { read = fromFile, add = false } = {}) {
  endTrouble("picture", "camera");
  let pictures;
  try {
    pictures = await Promise.all(files.slice(0, kMostPictures).map(read));
  } catch {
    showTrouble("picture", () => ({ title: text("unreadable"), advice: text("unreadableAdvice") }));
    return;
  }
  const room = kMostPictures - (add ? conversation.pictures.length : 0);
  if (files.length > room) showTrouble("picture", () => ({ title: text("noSpace")(kMostPictures), advice: "" }));
  leaveCamera();
  if (!add) begin();
  conversation.pictures.push(...pictures.slice(0, room));
  showStill();
  focusPrompt();
  if (!add) ask();
}

function begin(pictures = []) {
  stopAsking();
  conversation = newConversation(server.model?.id ?? "");
  conversation.pictures.push(...pictures);
  showTurns();
  setState("idle");
}

// One of before, in place of what is shown.
function showConversation(one) {
  begin();
  conversation = one;
  showTurns();
  leaveCamera();
}

function showStill() {
  showPictures(conversation?.pictures ?? [], text, removePicture);
  showControls();
}

// What was said was about the pictures that were there.
function removePicture(i) {
  const before = { ...conversation };
  const rest = conversation.pictures.filter((_, at) => at !== i);
  if (conversation.turns.length > 0) begin(rest);
  else conversation.pictures = rest;
  showStill();
  const undo = () => showConversation(before);
  const words = before.turns.length > 0 ? text("begunAnew") : text("removed")(1);
  showToast(words, text("undo"), undo, () => document.querySelector("#strip .cross") ?? byId("prompt"));
}

function filesOf(event) {
  const files = [...event.target.files];
  event.target.value = "";   // the same file may be chosen again
  return files;
}
byId("file").onchange = byId("other").onchange = byId("first-photo").onchange = byId("photo").onchange = (event) => {
  const files = filesOf(event);
  if (files.length > 0) takePictures(files);
};
byId("add").onchange = (event) => {
  const files = filesOf(event);
  if (files.length > 0) takePictures(files, { add: true });
};
takeFiles((files) => { if (files.length > 0) takePictures(files); });

// The camera --------------------------------------------------------------------------------------
async function useCamera(id = "") {
  endTrouble("picture", "camera");
  stopAsking();
  try {
    await startCamera(id, () => {
      leaveCamera();
      cameraTrouble("lostCamera");
    });
  } catch (error) {
    if (!(error instanceof CameraError)) throw error;
    leaveCamera();
    cameraTrouble(error.reason, id);
    return;
  }
  conversation = null;
  showTurns();
  showMode();
  showCameras();
  focusPrompt();
  ask();
}

function cameraTrouble(reason, id) {
  showTrouble("camera", () => ({
    title: text(reason), advice: text(reason + "Advice"), actions: [[text("tryAgain"), () => useCamera(id)]],
  }));
}

async function showCameras() {
  const all = await cameras();
  byId("which-camera").replaceChildren(...all.map(({ label, deviceId }, i) => new Option(label || `${text("whichCamera")} ${i + 1}`, deviceId)));
  byId("which-camera").value = cameraInUse();
}

function leaveCamera() {
  captions.close();
  const ran = runs();
  stopCamera();
  if (ran) setState("idle");
  showStill();
}

byId("start-camera").onclick = byId("camera-again").onclick = () => useCamera();
byId("which-camera").onchange = () => useCamera(byId("which-camera").value);
byId("pause").onclick = () => (captions.running ? captions.pause() : captions.ask(question()));
byId("shot").onclick = async () => {
  const shot = await frameOf(video);
  if (!shot) return;
  leaveCamera();
  begin([shot]);
  showStill();
  focusPrompt();
  ask();
};
byId("stop-camera").onclick = () => {
  byId("turns").replaceChildren();
  leaveCamera();
  byId(mode() === "still" ? "camera-again" : "start-camera").focus({ preventScroll: true });
};
byId("full").onclick = toggleFull;

// Questions ---------------------------------------------------------------------------------------
const question = () => byId("prompt").value.trim();
const usesFingers = () => matchMedia("(pointer: coarse)").matches;

// What was pressed is gone, and the next question takes the place of the last. A finger would get a keyboard with it.
function focusPrompt() {
  if (usesFingers()) return;
  byId("prompt").focus({ preventScroll: true });
  byId("prompt").select();
}

// With the camera: of frame after frame or, when that pauses, of one.
function ask() {
  if (mode() === "empty" || question() === "") return showControls();
  if (document.activeElement === byId("prompt")) byId("prompt").select();
  if (mode() === "camera") return captions.ask(question(), { once: captions.paused });
  askAgain(addTurn(conversation, question()));
}

async function askAgain(turn) {
  const asked = conversation;
  if (turn.state !== "asked") {
    asked.turns.splice(asked.turns.indexOf(turn), 1);
    Object.assign(turn, { answer: "", error: null, state: "asked", total: null });
    asked.turns.push(turn);
    showTurns();
  } else {
    views.push(viewOf(turn));
  }
  const view = views.at(-1);
  view.follow();
  const settings = { temperature: number("temperature"), max_tokens: number("max-tokens") };
  const answered = answerTurn(asked, turn, view, isOn("follow-up"), settings);
  showServer();
  showControls();
  await answered;
  showServer();
  showControls();
  if (turn.answer !== "") await keepIt(asked);
}

const viewOf = (turn) => new TurnView(turn, text, () => askAgain(turn));

function showTurns() {
  byId("turns").replaceChildren();
  views = (conversation?.turns ?? []).map(viewOf);
}

function stop() {
  if (isAsking()) stopAsking();
  else if (captions.running) captions.pause();
}

const canStop = () => isAsking() || (captions.running && question() === captions.prompt);

function showControls() {
  const go = byId("go"), stops = canStop();
  const reason = stops ? "" : mode() === "empty" ? "needPicture" : question() === "" ? "needQuestion" : "";
  go.textContent = text(stops ? "stop" : "go");
  go.title = stops ? text("stopBy") : "";
  go.disabled = reason !== "";
  byId("reason").textContent = reason === "" ? "" : text(reason);
  byId("reason").hidden = reason === "";
  byId("pause").textContent = text(captions.running ? "pause" : "resume");
  byId("new").hidden = mode() !== "still" || conversation.turns.length === 0;
  const prompt = byId("prompt");
  prompt.style.height = "auto";
  prompt.style.height = `${prompt.scrollHeight + 2}px`;
}

byId("composer").onsubmit = (event) => {
  event.preventDefault();
  if (canStop()) stop();
  else ask();
};
byId("prompt").oninput = showControls;
byId("prompt").onkeydown = (event) => {
  // A phone's keyboard has no other way to a new line.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || usesFingers()) return;
  event.preventDefault();
  if (!isAsking()) ask();
};
byId("new").onclick = () => {
  begin(conversation.pictures);
  showStill();
  byId("prompt").focus();
};
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || document.querySelector("dialog[open]") || document.fullscreenElement || leaveFill()) return;
  stop();
});

// The history -------------------------------------------------------------------------------------
async function keepIt(kept) {
  await save(await toKeep(kept));
  showHistory(text, bringBack);
}

function bringBack(kept) {
  showConversation(structuredClone(kept));
  focusPrompt();
  window.scrollTo({ top: 0 });
}

openSettings(() => {
  showView();
  showControls();
});
byId("prompt").value = suggestions()[0]?.prompt ?? "";
showLanguage();
showMode();
showControls();
wireHistory(text, bringBack);
openHistory().then(() => showHistory(text, bringBack));
watchServer(showServer);
