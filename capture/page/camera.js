// The camera's page: live pictures and the server's answers come over one WebSocket; the prompt and
// the interval go back. The texts are in camera_texts.js.
import { texts } from "./camera_texts.js";
import { byId, language, showWords, switchLanguage } from "./words.js";

const live = byId("live"), caption = byId("caption");
const kHistory = 50;
const kIntervals = [0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60];   // seconds

let socket, retry = 250;
let state = null;            // the camera's last "state" message; null while we have no connection
let streamed = "", shownAt = [];

// Words -------------------------------------------------------------------------------------------
const text = (key) => texts[language][key];

function showLanguage() {
  showWords(texts, ask);
  document.title = text("title");
  showState();
}

byId("language").onclick = () => {
  switchLanguage();
  showLanguage();
};

// State -------------------------------------------------------------------------------------------
function mark(id, look, words, details) {
  byId(id).dataset.state = look;
  byId(id).textContent = words;
  byId(id).title = details;
}

function showState() {
  if (!state) {
    mark("camera-state", "lost", text("pageLost"), "");
    mark("server-state", "connecting", text("serverUnknown"), "");
    trouble(live.hidden ? "" : text("pageLost"));
    return;
  }
  mark("camera-state", state.camera_live ? "ready" : "lost", text(state.camera_live ? "cameraLive" : "cameraLost"), state.camera);
  const server = { ready: "serverReady", connecting: "serverConnecting", lost: "serverLost" }[state.server];
  mark("server-state", state.server, text(server), state.server_text);
  trouble(state.camera_live ? "" : `${text("cameraLost")}: ${state.camera}`);
  byId("size").textContent = state.width ? `${state.width} × ${state.height}` : "";
  byId("ask").hidden = !state.stream;
  if (document.activeElement !== byId("prompt")) byId("prompt").value = state.prompt;
  showIntervals(state.interval);
}

function trouble(words) {
  byId("trouble").textContent = words;
  byId("frame").classList.toggle("stale", words !== "");
}

function showIntervals(chosen) {
  const all = [...new Set([...kIntervals, chosen])].sort((a, b) => a - b);
  byId("interval").replaceChildren(...all.map((seconds) => new Option(`${seconds} ${text("seconds")}`, seconds)));
  byId("interval").value = chosen;
}

// The camera --------------------------------------------------------------------------------------
function connect() {
  const address = new URL("ws", document.baseURI);
  address.protocol = address.protocol.replace("http", "ws");
  socket = new WebSocket(address);
  socket.binaryType = "blob";
  socket.onopen = () => {
    retry = 250;
    socket.send(JSON.stringify({ type: "configure", binary: true }));
  };
  socket.onmessage = (event) => {
    if (event.data instanceof Blob) showPicture(event.data);
    else receive(JSON.parse(event.data));
  };
  socket.onclose = () => {
    state = null;
    showState();
    setTimeout(connect, retry * (0.75 + Math.random() / 2));
    retry = Math.min(2 * retry, 5000);
  };
}

function showPicture(blob) {
  const url = URL.createObjectURL(blob.slice(0, blob.size, "image/jpeg"));
  live.onload = live.onerror = () => URL.revokeObjectURL(url);
  live.src = url;
  live.hidden = false;
  const now = performance.now();
  shownAt = [...shownAt.filter((t) => now - t < 3000), now];
  const seconds = (now - shownAt[0]) / 1000;
  byId("rate").textContent = seconds > 0 ? ((shownAt.length - 1) / seconds).toFixed(1) : "–";
}

function receive(message) {
  switch (message.type) {
    case "state":
      state = message;
      showState();
      break;
    case "history":
      byId("history").replaceChildren();
      for (const description of message.descriptions) remember(description);
      break;
    case "token":
      streamed += message.content;
      say(streamed, false);
      break;
    case "description":
      streamed = "";
      say(message.content, false);
      byId("ttft").textContent = milliseconds(message.ttft_ms);
      byId("total").textContent = milliseconds(message.total_ms);
      remember(message);
      break;
    case "error":
      streamed = "";
      say(message.message, true);
      break;
    case "skipped":
      streamed = "";
      break;
  }
}

const milliseconds = (value) => value === undefined ? "–" : `${Math.round(value)} ms`;

function say(words, bad) {
  caption.classList.toggle("bad", bad);
  caption.textContent = words;
  if (!bad) live.alt = words;
}

// "20261123_081700" is the server's time of day.
function remember(description) {
  const last = byId("history").firstChild;   // the same again is no news
  if (last?.lastChild.textContent === description.content) last.remove();
  const digits = /_(\d\d)(\d\d)(\d\d)$/.exec(description.timestamp ?? "");
  const item = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = digits ? digits.slice(1).join(":") : "";
  const said = document.createElement("span");
  said.textContent = description.content;
  item.append(time, said);
  byId("history").prepend(item);
  while (byId("history").children.length > kHistory) byId("history").lastChild.remove();
}

function configure(wish) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: "configure", ...wish }));
}

function ask() {
  const prompt = byId("prompt").value.trim();
  if (prompt) configure({ prompt });
}

byId("ask").onsubmit = (event) => { event.preventDefault(); byId("prompt").blur(); ask(); };
byId("interval").onchange = () => configure({ interval: Number(byId("interval").value) });

showLanguage();
connect();
