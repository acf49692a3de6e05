// What a reader has set, in the page's fields, kept in the browser.
import { byId, keep, recall } from "./words.js";

const kFields = ["max-tokens", "temperature", "follow-up", "interval", "unchanged", "mirror", "overlay", "at-once"];

const isBox = (field) => field.type === "checkbox";

// Not all are kept: a field that was never touched has the page's default, which may depend on the model.
export function openSettings(onChange) {
  for (const id of kFields) {
    const field = byId(id), kept = recall("setting." + id);
    if (kept !== null && isBox(field)) field.checked = kept === "true";
    else if (kept !== null) field.value = kept;
    field.addEventListener("change", () => {
      if (!field.checkValidity()) field.value = field.defaultValue;
      keep("setting." + id, isBox(field) ? field.checked : field.value);
      onChange();
    });
  }
}

export function setDefault(id, value) {
  if (recall("setting." + id) !== null) return;
  if (isBox(byId(id))) byId(id).checked = value;
  else byId(id).value = byId(id).defaultValue = value;
}

export const number = (id) => Number(byId(id).value);
export const isOn = (id) => byId(id).checked;
