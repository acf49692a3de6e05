// The page: images from a webcam, a file, drag and drop or the clipboard go to the server over one
// WebSocket, which streams its answers. The page's texts are in texts.js.
import { texts } from "./texts.js";
import { byId, language, presets, showWords, switchLanguage } from "./words.js";

const camera = byId("camera"), still = byId("still"), answer = byId("answer");
const kLongestSide = 1024;   // pixels of a frame that is sent: the model sees no more
const kQuality = 0.85;
const kHistory = 50;
const kThumbnail = 96;       // pixels of a picture in the history

let socket, retry = 250, linkState = "connecting";
let picture = null;          // the still picture, as a Blob
let live = false, busy = false;
let sent = new Map();        // frame number -> its question and a small picture
let frames = 0, streamed = "", finished = [];

// Words -------------------------------------------------------------------------------------------
const text = (key) => texts[language][key];

function showLanguage() {
  showWords(texts, ask);
  byId("live").textContent = text(live ? "stop" : "live");
  still.alt = text("picture");
  showLink(linkState);
}

function showLink(state) {
  linkState = state;
  byId("link").dataset.state = state;
  byId("link").textContent = text(state);
}

byId("language").onclick = () => {
  const untouched = presets[language].includes(byId("prompt").value);
  const chosen = presets[language].indexOf(byId("prompt").value);
  switchLanguage();
  if (untouched) byId("prompt").value = presets[language][chosen];
  showLanguage();
};

// The server --------------------------------------------------------------------------------------
function connect() {
  showLink("connecting");
  const address = new URL("ws", document.baseURI);
  address.protocol = address.protocol.replace("http", "ws");
  socket = new WebSocket(address);
  socket.onopen = () => {
    retry = 250;
    frames = 0;              // the server counts the frames of a connection
    sent.clear();
    busy = false;
    showLink("ready");
    if (live) describe();
  };
  socket.onmessage = (event) => receive(JSON.parse(event.data));
  socket.onclose = () => {
    busy = false;
    showLink("lost");
    setTimeout(connect, retry * (0.75 + Math.random() / 2));
    retry = Math.min(2 * retry, 5000);
  };
}

function receive(message) {
  if (message.type === "token") {
    if (message.frame_id !== frames) return;   // of an answer that was cancelled
    streamed += message.content;
    // The same answer again stays as it is, instead of being written anew.
    if (answer.classList.contains("bad") || !answer.textContent.startsWith(streamed)) say(streamed);
    return;
  }
  if (message.frame_id !== undefined && message.frame_id === frames) busy = false;
  const frame = sent.get(message.frame_id);
  sent.delete(message.frame_id);
  if (message.type === "description") {
    streamed = "";
    say(message.content);
    if (byId("spoken").textContent !== message.content) byId("spoken").textContent = message.content;
    showFigures(message);
    remember(message.content, frame);
  } else if (message.type === "error") {
    streamed = "";
    if (message.code !== "cancelled") say(message.message, true);
  }
  if (live && !busy) describe();
}

function say(words, bad = false) {
  answer.classList.toggle("bad", bad);
  answer.textContent = words;
}

function showFigures(message) {
  byId("ttft").textContent = `${Math.round(message.ttft_ms)} ms`;
  byId("total").textContent = `${Math.round(message.total_ms)} ms`;
  const now = performance.now();
  finished = live ? [...finished.filter((t) => now - t < 5000), now] : [];
  const rate = (finished.length - 1) * 1000 / (now - finished[0]);
  byId("rate").textContent = finished.length > 1 ? rate.toFixed(1) : "–";
}

function remember(content, frame) {
  const history = byId("history");
  const last = history.firstChild;   // the same again is no news
  if (last?.dataset.content === content && last.dataset.prompt === frame?.prompt) last.remove();
  const item = document.createElement("li");
  item.dataset.content = content;
  item.dataset.prompt = frame?.prompt ?? "";
  const small = document.createElement("img");
  small.alt = "";
  small.src = frame?.small ?? "static/icon.svg";
  const said = document.createElement("p");
  said.textContent = content;
  const about = document.createElement("p");
  const time = document.createElement("time");
  time.dateTime = new Date().toISOString();
  time.textContent = new Date().toLocaleTimeString(language, { hour12: false });
  about.append(time, " ", frame?.prompt ?? "");
  item.append(small, said, about);
  history.prepend(item);
  while (history.children.length > kHistory) history.lastChild.remove();
  byId("clear").hidden = false;
}

byId("clear").onclick = () => {
  byId("history").replaceChildren();
  byId("clear").hidden = true;
};

// A question of the user does not wait for the running answer.
function ask() {
  cancel();
  describe();
}

function cancel() {
  if (busy && socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: "cancel" }));
  busy = false;
}

async function describe() {
  if (busy || socket?.readyState !== WebSocket.OPEN) return;
  const source = live ? camera : picture && still;
  if (!source) return;
  const prompt = byId("prompt").value.trim() || presets[language][0];
  busy = true;
  const frame = await toJpeg(source);
  if (!frame || socket.readyState !== WebSocket.OPEN) { busy = false; return; }
  const small = draw(source, kThumbnail).toDataURL("image/jpeg", kQuality);
  streamed = "";
  socket.send(JSON.stringify({ type: "configure", prompt, stream: true, temperature: 0 }));
  socket.send(frame);
  sent.set(++frames, { prompt, small });
}

// The picture that an element shows, on a canvas with a longest side. JPEG has no transparency: what
// would show through is white, as in the engine, where the canvas alone would make it black.
function draw(source, side) {
  const width = source.videoWidth ?? source.naturalWidth, height = source.videoHeight ?? source.naturalHeight;
  const scale = Math.min(1, side / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  return canvas;
}

function toJpeg(source) {
  if (!(source.videoWidth ?? source.naturalWidth)) return null;   // it shows nothing yet
  return new Promise((done) => draw(source, kLongestSide).toBlob(done, "image/jpeg", kQuality));
}

// Pictures ----------------------------------------------------------------------------------------
function show(which) {
  camera.hidden = which !== camera;
  still.hidden = which !== still;
  byId("empty").hidden = which !== null;
  byId("drop").classList.toggle("full", which !== null);
}

async function showPicture(blob) {
  stopCamera();
  picture = blob;
  URL.revokeObjectURL(still.src);
  still.src = URL.createObjectURL(blob);
  show(still);
  try {
    await still.decode();
  } catch {
    picture = null;
    show(null);
    say(text("unreadable"), true);
    return;
  }
  ask();
}

async function startCamera() {
  if (!navigator.mediaDevices) {   // browsers hide it from pages that came over plain http
    say(text("insecure"), true);
    return false;
  }
  try {
    camera.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: 1280 } });
    await camera.play();
    show(camera);
    return true;
  } catch (error) {
    say(`${text("noCamera")} (${error.name})`, true);
    return false;
  }
}

function stopCamera() {
  for (const track of camera.srcObject?.getTracks() ?? []) track.stop();
  camera.srcObject = null;
  setLive(false);
}

function setLive(on) {
  live = on;
  byId("live").setAttribute("aria-pressed", on);
  byId("live").textContent = text(on ? "stop" : "live");
}

byId("live").onclick = async () => {
  if (live) {
    stopCamera();
    show(picture ? still : null);
  } else if (await startCamera()) {
    setLive(true);
    ask();
  }
};

byId("shot").onclick = async () => {
  if (!camera.srcObject && !await startCamera()) return;
  const shot = await toJpeg(camera);
  if (shot) showPicture(shot);
};

byId("file").onchange = (event) => event.target.files[0] && showPicture(event.target.files[0]);
byId("ask").onsubmit = (event) => { event.preventDefault(); ask(); };

const drop = byId("drop");
drop.ondragover = (event) => { event.preventDefault(); drop.classList.add("over"); };
drop.ondragleave = () => drop.classList.remove("over");
drop.ondrop = (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  if (event.dataTransfer.files[0]) showPicture(event.dataTransfer.files[0]);
};
document.onkeydown = (event) => {
  if (event.key !== "Escape") return;
  if (live) byId("live").click(); else cancel();
};
document.onpaste = (event) => {
  const file = [...event.clipboardData.files].find((f) => f.type.startsWith("image/"));
  if (file) showPicture(file);
};

byId("prompt").value = presets[language][0];
showLanguage();
show(null);
connect();
