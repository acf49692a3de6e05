// The words of a page in the language of its reader, for the pages of server and camera, and the
// prompts that both offer.
export const byId = (id) => document.getElementById(id);

export const presets = {
  en: ["Describe the image.", "What is the main object?", "What does the text say?", "How many things are there?"],
  zh: ["用简短的语言描述图片内容", "图片里最主要的东西是什么？", "图中写着什么？", "图中有几个物体？"],
};

export let language = localStorage.getItem("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");

export function switchLanguage() {
  language = language === "en" ? "zh" : "en";
  localStorage.setItem("language", language);
}

// `ask` is called when a suggestion has become the prompt.
export function showWords(texts, ask) {
  const text = (key) => texts[language][key];
  document.documentElement.lang = language;
  for (const e of document.querySelectorAll("[data-text]")) e.textContent = text(e.dataset.text);
  for (const e of document.querySelectorAll("[data-label]")) e.setAttribute("aria-label", text(e.dataset.label));
  byId("language").textContent = language === "en" ? "中文" : "English";
  byId("language").lang = language === "en" ? "zh" : "en";
  byId("presets").replaceChildren(...presets[language].map((prompt) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = prompt;
    button.onclick = () => { byId("prompt").value = prompt; ask(); };
    return button;
  }));
}
