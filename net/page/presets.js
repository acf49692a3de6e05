// Suggestions of what to ask: those of the page, in its language, until the reader has edited them.
import { byId, element, keep, language, presets, recall } from "./words.js";

const kCompare = {
  en: { name: "What changed", prompt: "What is different between the pictures?" },
  zh: { name: "有何变化", prompt: "这些图片有什么不同？" },
};
let own = read();

function read() {
  try {
    const kept = JSON.parse(recall("presets"));
    return Array.isArray(kept) && kept.every((p) => typeof p.name === "string" && typeof p.prompt === "string") ? kept : null;
  } catch {
    return null;
  }
}

const builtIn = () => [...presets[language], kCompare[language]];
export const suggestions = () => own ?? builtIn();

// Whether a text is a suggestion of the page, and then what it is called in the other language.
export function translated(text, from, to) {
  const all = (each) => [...presets[each], kCompare[each]];
  return all(to)[all(from).findIndex(({ prompt }) => prompt === text)]?.prompt;
}

function row(text, { name, prompt }) {
  const made = element("li", { className: "preset" },
    element("input", { value: name, maxLength: 40, ariaLabel: text("presetName"), placeholder: text("presetName"), required: true }),
    element("button", { type: "button", className: "quiet", textContent: text("remove"), onclick: () => made.remove() }),
    element("textarea", { value: prompt, maxLength: 2000, rows: 2, ariaLabel: text("presetPrompt"), required: true }));
  return made;
}

// `current`: what a new one begins with.
export function editPresets(text, current, onChange) {
  const dialog = byId("presets-dialog"), list = byId("presets-list");
  const fill = (all) => list.replaceChildren(...all.map((preset) => row(text, preset)));
  fill(suggestions());
  byId("preset-add").onclick = () => {
    const added = row(text, { name: "", prompt: current });
    list.append(added);
    added.querySelector("input").focus();
  };
  byId("presets-reset").onclick = () => fill(builtIn());
  byId("presets-cancel").onclick = () => dialog.close();
  byId("presets-form").onsubmit = (event) => {
    event.preventDefault();
    const all = [...list.children].map((item) => ({
      name: item.querySelector("input").value.trim(), prompt: item.querySelector("textarea").value.trim(),
    }));
    own = JSON.stringify(all) === JSON.stringify(builtIn()) ? null : all;
    keep("presets", JSON.stringify(own));
    dialog.close();
    onChange();
  };
  dialog.showModal();
}
