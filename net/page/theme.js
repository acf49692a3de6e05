// Light or dark: as the system has it, unless the reader chooses.
import { byId, keep, recall } from "./words.js";

const kThemes = ["auto", "light", "dark"];
const kSymbols = { auto: "◐", light: "☀", dark: "☾" };
let theme = kThemes.includes(recall("theme")) ? recall("theme") : "auto";

export function showTheme(text) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  const button = byId("theme");
  button.textContent = kSymbols[theme];
  button.title = `${text("theme")}: ${text(theme)}`;
  button.setAttribute("aria-label", button.title);
}

export function switchTheme(text) {
  theme = kThemes[(kThemes.indexOf(theme) + 1) % kThemes.length];
  keep("theme", theme);
  showTheme(text);
}
