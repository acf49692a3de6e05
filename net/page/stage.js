// The frame: empty, with pictures or with the camera, and what can be done there.
import { runs, video } from "./camera.js";
import { samples, Urls } from "./pictures.js";
import { isOn } from "./settings.js";
import { byId, element } from "./words.js";

const frame = byId("frame"), still = byId("still");
const shown = new Urls();
let urls = [], chosen = 0;   // of the pictures that are shown

export const mode = () => frame.dataset.mode;

export function showPictures(pictures, words, onRemove) {
  urls = shown.of(pictures);
  chosen = Math.min(Math.max(chosen, 0), urls.length - 1);
  still.alt = words("picture");
  byId("strip").replaceChildren(...(urls.length < 2 ? [] : urls.map((url, i) => element("li", {},
    element("button", {
      type: "button", className: "thumb", ariaLabel: words("pictureOf")(i + 1, urls.length), onclick: () => choose(i),
    }, element("img", { src: url, alt: "" })),
    element("button", {
      type: "button", className: "quiet cross", textContent: "×", ariaLabel: words("removePicture")(i + 1), onclick: () => onRemove(i),
    })))));
  choose(urls.length - 1);
  showMode();
}

function choose(i) {
  chosen = i;
  if (i >= 0) still.src = urls[i];
  [...byId("strip").children].forEach((item, at) => item.firstChild.setAttribute("aria-pressed", at === i));
}

// Elements say in data-for in which modes they are there.
export function showMode() {
  frame.dataset.mode = runs() ? "camera" : urls.length > 0 ? "still" : "empty";
  for (const each of document.querySelectorAll("[data-for]")) {
    each.hidden = !each.dataset.for.split(" ").includes(mode());
  }
  byId("strip").hidden = mode() !== "still" || urls.length < 2;
  showView();
}

export function showView() {
  video.classList.toggle("mirrored", isOn("mirror"));
  byId("caption").hidden = mode() !== "camera" || !(isOn("overlay") || isFull()) || byId("caption").textContent === "";
}

export function showCaption(text) {
  byId("caption").textContent = text;
  showView();
}

// Some browsers of phones let only videos fill the screen: there the frame fills the window.
const isFull = () => document.fullscreenElement === frame || frame.classList.contains("filling");

export function toggleFull() {
  if (document.fullscreenElement) document.exitFullscreen();
  else if (frame.requestFullscreen) frame.requestFullscreen().catch(fill);
  else fill();
}

function fill() {
  frame.classList.toggle("filling");
  showView();
}

export function leaveFill() {
  const filled = frame.classList.contains("filling");
  if (filled) fill();
  return filled;
}

export function showSamples(words, onChosen) {
  byId("samples").replaceChildren(...samples.map((sample) => element("button", {
    type: "button", className: "thumb", onclick: () => onChosen(sample.file),
  }, element("img", { src: "static/" + sample.file, alt: words(sample.words), width: 96, height: 72 }))));
}

// Files that are dropped, beside the frame as well, or pasted.
export function takeFiles(onFiles) {
  document.ondragover = (event) => { event.preventDefault(); frame.classList.add("over"); };
  document.ondragleave = () => frame.classList.remove("over");
  document.ondrop = (event) => {
    event.preventDefault();
    frame.classList.remove("over");
    onFiles([...event.dataTransfer.files]);
  };
  document.addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files].filter((file) => file.type.startsWith("image/"));
    if (files.length > 0) onFiles(files);
  });
  document.addEventListener("fullscreenchange", showView);
}
