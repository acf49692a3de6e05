// The page: pictures from a camera, a file, a drop or the clipboard go to the server over one
// WebSocket; its answers come back as they are made. The words are in texts.js.
import { texts, presets } from "/static/texts.js";

const byId = (id) => document.getElementById(id);
const camera = byId("camera"), still = byId("still"), answer = byId("answer");
const kLongestSide = 1024;   // pixels of a frame that is sent: the model sees no more
const kQuality = 0.85;
const kHistory = 50;

let language = localStorage.getItem("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
let socket, retry = 250, linkState = "connecting";
let picture = null;          // the still picture, as a Blob
let live = false, busy = false;
let sent = new Map();        // frame number -> what it looked like
let frames = 0, streamed = "", finished = [];

// Words -------------------------------------------------------------------------------------------
const text = (key) => texts[language][key];

function showLanguage() {
  document.documentElement.lang = language;
  for (const e of document.querySelectorAll("[data-text]")) e.textContent = text(e.dataset.text);
  for (const e of document.querySelectorAll("[data-label]")) e.setAttribute("aria-label", text(e.dataset.label));
  byId("language").textContent = language === "en" ? "中文" : "English";
  byId("language").lang = language === "en" ? "zh" : "en";
  byId("live").textContent = text(live ? "stop" : "live");
  byId("presets").replaceChildren(...presets[language].map((prompt) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = prompt;
    button.onclick = () => { byId("prompt").value = prompt; describe(); };
    return button;
  }));
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
  language = language === "en" ? "zh" : "en";
  localStorage.setItem("language", language);
  if (untouched) byId("prompt").value = presets[language][chosen];
  showLanguage();
};

// The server --------------------------------------------------------------------------------------
function connect() {
  showLink("connecting");
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
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
    streamed += message.content;
    answer.classList.remove("bad");
    answer.textContent = streamed;
    return;
  }
  if (message.frame_id !== undefined && message.frame_id === frames) busy = false;
  const look = sent.get(message.frame_id);
  sent.delete(message.frame_id);
  if (message.type === "description") {
    streamed = "";
    answer.classList.remove("bad");
    answer.textContent = message.content;
    byId("ttft").textContent = `${Math.round(message.ttft_ms)} ms`;
    byId("total").textContent = `${Math.round(message.total_ms)} ms`;
    const now = performance.now();
    finished = [...finished.filter((t) => now - t < 5000), now];
    const seconds = (now - finished[0]) / 1000;
    byId("rate").textContent = finished.length > 1 ? ((finished.length - 1) / seconds).toFixed(1) : "–";
    remember(message.content, look);
  } else if (message.type === "error") {
    streamed = "";
    answer.classList.add("bad");
    answer.textContent = message.message;
  }
  if (live && !busy) describe();
}

function remember(content, prompt) {
  const last = byId("history").firstChild;   // the same again is no news
  if (last?.lastChild.textContent === content) last.remove();
  const item = document.createElement("li");
  const time = document.createElement("time");
  time.dateTime = new Date().toISOString();
  time.textContent = new Date().toLocaleTimeString(language, { hour12: false });
  const said = document.createElement("span");
  said.textContent = content;
  said.title = prompt ?? "";
  item.append(time, said);
  byId("history").prepend(item);
  while (byId("history").children.length > kHistory) byId("history").lastChild.remove();
}

async function describe() {
  if (busy || socket?.readyState !== WebSocket.OPEN) return;
  const source = live ? camera : picture && still;
  if (!source) return;
  const prompt = byId("prompt").value.trim() || presets[language][0];
  busy = true;
  const frame = await toJpeg(source);
  if (!frame || socket.readyState !== WebSocket.OPEN) { busy = false; return; }
  streamed = "";
  socket.send(JSON.stringify({ type: "configure", prompt, stream: true, temperature: 0 }));
  socket.send(frame);
  sent.set(++frames, prompt);
}

function toJpeg(source) {
  const width = source.videoWidth ?? source.naturalWidth, height = source.videoHeight ?? source.naturalHeight;
  if (!width || !height) return null;
  const scale = Math.min(1, kLongestSide / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  canvas.getContext("2d").drawImage(source, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", kQuality));
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
    answer.classList.add("bad");
    answer.textContent = text("unreadable");
    return;
  }
  describe();
}

async function startCamera() {
  try {
    camera.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: 1280 } });
    await camera.play();
    show(camera);
    return true;
  } catch (error) {
    answer.classList.add("bad");
    answer.textContent = `${text("noCamera")} (${error.name})`;
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
    describe();
  }
};

byId("shot").onclick = async () => {
  if (!camera.srcObject && !await startCamera()) return;
  const shot = await toJpeg(camera);
  if (shot) showPicture(shot);
};

byId("file").onchange = (event) => event.target.files[0] && showPicture(event.target.files[0]);
byId("ask").onsubmit = (event) => { event.preventDefault(); describe(); };

const drop = byId("drop");
drop.ondragover = (event) => { event.preventDefault(); drop.classList.add("over"); };
drop.ondragleave = () => drop.classList.remove("over");
drop.ondrop = (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  if (event.dataTransfer.files[0]) showPicture(event.dataTransfer.files[0]);
};
document.onpaste = (event) => {
  const file = [...event.clipboardData.files].find((f) => f.type.startsWith("image/"));
  if (file) showPicture(file);
};

byId("prompt").value = presets[language][0];
showLanguage();
show(null);
connect();
