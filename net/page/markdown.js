// Minimal Markdown as DOM nodes: paragraphs, line breaks, headings, lists, emphasis and code. Text of a model is only
// ever text of a node, so that nothing in it becomes markup.
import { element } from "./words.js";

const kFence = /^\s*```/;
const kItem = /^\s*(?:[-*+•]|(\d{1,9})[.)])\s+(.*)$/;
const kHeading = /^#{1,6}\s+(.*)$/;
const kInline = /(`+)(.+?)\1|\*\*(\S(?:.*?\S)?)\*\*|(^|[^\w*])\*([^\s*](?:[^*]*[^\s*])?)\*(?![\w*])/;

function inline(text) {
  const nodes = [];
  for (let rest = text; rest !== "";) {
    const found = kInline.exec(rest);
    if (!found) {
      nodes.push(rest);
      break;
    }
    const [whole, , code, strong, before = "", emphasis] = found;
    nodes.push(rest.slice(0, found.index) + before);
    if (code !== undefined) nodes.push(element("code", { textContent: code }));
    else if (strong !== undefined) nodes.push(element("strong", {}, ...inline(strong)));
    else nodes.push(element("em", {}, ...inline(emphasis)));
    rest = rest.slice(found.index + whole.length);
  }
  return nodes;
}

function paragraph(lines) {
  const made = element("p");
  lines.forEach((line, i) => {
    if (i > 0) made.append(element("br"));
    made.append(...inline(line));
  });
  return made;
}

export function toNodes(text) {
  const nodes = [];
  let lines = [], list = null, code = null;
  const endParagraph = () => {
    if (lines.length > 0) nodes.push(paragraph(lines));
    lines = [];
  };
  for (const line of text.split("\n")) {
    if (code !== null) {
      if (kFence.test(line)) code = null;
      else code.append(code.hasChildNodes() ? "\n" + line : line);
      continue;
    }
    const item = kItem.exec(line), heading = kHeading.exec(line);
    if (!item) list = null;
    if (kFence.test(line)) {
      endParagraph();
      code = element("code");
      nodes.push(element("pre", { tabIndex: 0 }, code));
    } else if (item) {
      endParagraph();
      const kind = item[1] === undefined ? "UL" : "OL";
      if (list?.tagName !== kind) {
        list = element(kind);
        if (kind === "OL") list.start = Number(item[1]);
        nodes.push(list);
      }
      list.append(element("li", {}, ...inline(item[2])));
    } else if (heading) {
      endParagraph();
      nodes.push(element("p", {}, element("strong", {}, ...inline(heading[1]))));
    } else if (line.trim() === "") {
      endParagraph();
    } else {
      lines.push(line);
    }
  }
  endParagraph();
  return nodes;
}
