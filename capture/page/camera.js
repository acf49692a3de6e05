// The camera's page: which cameras there are, in their order, each a card of its own (card.js); the
// language and the theme, as on the server's page. The texts are in camera_texts.js.
import { Card } from "./card.js";
import { texts } from "./camera_texts.js";
import { showTheme, switchTheme } from "./theme.js";
import { byId, language, showWords, switchLanguage } from "./words.js";

const kRetry = 2000;   // ms
let cards = [];
let lostAt = 0;        // when the list could not be had for the first time

const text = (key) => texts[language][key];

function showLanguage() {
  showWords(texts);
  document.title = text("title");
  showTheme(text);
  for (const card of cards) card.showLanguage();
}

byId("language").onclick = () => {
  switchLanguage();
  showLanguage();
};
byId("theme").onclick = () => switchTheme(text);

async function begin() {
  try {
    const answer = await fetch("cameras.json");
    if (!answer.ok) throw new Error(answer.statusText);
    const list = await answer.json();
    const main = byId("cameras");
    main.className = list.length > 1 ? "grid" : "alone";
    cards = list.map((camera) => new Card(camera, text));
    for (const { element } of cards) element.querySelector(".past").open = list.length === 1;
    main.append(...cards.map((card) => card.element));
    byId("trouble").hidden = true;
    showLanguage();
  } catch {
    lostAt ||= performance.now();
    byId("trouble").textContent = text("pageLost")(Math.round((performance.now() - lostAt) / 1000));
    byId("trouble").hidden = false;
    setTimeout(begin, kRetry);
  }
}

showLanguage();
begin();
