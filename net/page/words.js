// The words of a page in its reader's language, for the pages of server and camera, the prompts that
// both offer, and what a page keeps in the browser. A browser may refuse to keep anything.
export const byId = (id) => document.getElementById(id);

export function recall(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

export function keep(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch { /* it is known until the page is left */ }
}

export const presets = {
  en: [
    { name: "Caption", prompt: "Describe the image." },
    { name: "Count", prompt: "How many things are there?" },
    { name: "Read text", prompt: "What does the text say?" },
    { name: "Main object", prompt: "What is the main object?" },
    { name: "Details", prompt: "Describe the image in detail: what is in it, where, and in which colours." },
    { name: "Safety", prompt: "Is anything in the picture dangerous? Say what it is, or that nothing is." },
    { name: "Alt text", prompt: "Write an alternative text of one sentence for a reader who cannot see the picture." },
    { name: "JSON", prompt: "List the things in the picture as JSON:\n[{\"name\": \"...\", \"count\": 1, \"colour\": \"...\"}]" },
  ],
  zh: [
    { name: "描述", prompt: "用简短的语言描述图片内容" },
    { name: "计数", prompt: "图中有几个物体？" },
    { name: "读文字", prompt: "图中写着什么？" },
    { name: "主要物体", prompt: "图片里最主要的东西是什么？" },
    { name: "详细", prompt: "详细描述图片：有什么，在哪里，是什么颜色。" },
    { name: "安全", prompt: "图片里有危险吗？说出危险是什么，没有就说没有。" },
    { name: "替代文字", prompt: "为看不见图片的读者写一句替代文字。" },
    { name: "JSON", prompt: "用 JSON 列出图片里的物体：\n[{\"name\": \"...\", \"count\": 1, \"colour\": \"...\"}]" },
  ],
};

export let language = recall("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");

export function switchLanguage() {
  language = language === "en" ? "zh" : "en";
  keep("language", language);
}

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// `use` is called when a suggestion has become the prompt.
export function showWords(texts, use, suggestions = presets[language]) {
  const text = (key) => texts[language][key];
  document.documentElement.lang = language;
  for (const e of document.querySelectorAll("[data-text]")) e.textContent = text(e.dataset.text);
  for (const e of document.querySelectorAll("[data-label]")) e.setAttribute("aria-label", text(e.dataset.label));
  for (const e of document.querySelectorAll("[data-title]")) e.title = text(e.dataset.title);
  byId("language").textContent = language === "en" ? "中文" : "English";
  byId("language").lang = language === "en" ? "zh" : "en";
  byId("presets").replaceChildren(...suggestions.map(({ name, prompt }) => element("button", {
    type: "button", textContent: name, title: prompt,
    onclick: () => { byId("prompt").value = prompt; use(); },
  })));
}
