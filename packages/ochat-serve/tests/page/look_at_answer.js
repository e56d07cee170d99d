const [text, done] = arguments;
const allowed = {
  A: ["href", "target", "rel", "title"], B: [], BLOCKQUOTE: ["dir"], BR: [],
  BUTTON: ["class", "type", "aria-live"], CODE: ["title"], DEL: [],
  DIV: ["class", "tabindex", "role", "aria-label", "data-formula", "data-set", "dir"], EM: [],
  FIGCAPTION: [], FIGURE: ["class", "dir", "data-language"], H3: ["dir"], H4: ["dir"], H5: ["dir"],
  H6: ["dir"], HR: [], I: [], INPUT: ["type", "disabled", "checked", "aria-label"], INS: [], KBD: [],
  LI: ["class"], MARK: [], OL: ["dir", "start"], P: ["dir"], S: [], STRONG: [], SUB: [], SUP: [],
  PRE: ["tabindex", "role", "aria-label", "class", "dir"], TABLE: ["dir"], TBODY: [], THEAD: [],
  SPAN: ["class", "data-formula", "data-set", "dir", "tabindex"], TD: ["class"], TH: ["class"],
  TR: [], U: [], UL: ["dir"],
};
const patterns = {
  class: /^(code|copy|table|task|to-\w+|formula( \w+)?|formula-source|(hljs-[\w-]+|[\w-]+_)( [\w-]+_)*)$/,
  href: /^(https?:\/\/|mailto:)/,
  type: /^(button|checkbox)$/,
};
// Streams an attack into an answer of its own, in pieces and whole, and looks at what it made.
import("/page/render/answer.js").then(async ({ AnswerView }) => {
  const wrong = [];
  for (const step of [3, 1e9]) {
    const element = document.createElement("div");
    document.querySelector(".messages, main").append(element);
    const view = new AnswerView(element);
    const stride = step * (1 + (text.length >> 11)); // long texts in longer pieces
    for (let end = step; end < text.length; end += stride) view.update(text.slice(0, end));
    view.update(text);
    view.finish();
    await new Promise((go) => setTimeout(go, 30));
    for (const node of element.querySelectorAll("*")) {
      if (node.closest(".katex")) {
        const acts = node.matches("a, img, script, style, [id], [href], [src]");
        if (acts) wrong.push(`formula: ${node.outerHTML}`);
        continue;
      }
      const attributes = allowed[node.tagName];
      if (!attributes) wrong.push(`element: ${node.tagName}`);
      for (const { name, value } of node.attributes) {
        if (!attributes?.includes(name)) wrong.push(`attribute: ${node.tagName} ${name}=${value}`);
        const pattern = patterns[name];
        if (pattern && !pattern.test(value)) wrong.push(`${name}: ${value}`);
      }
    }
    const box = element.getBoundingClientRect();
    for (let x = 5; x < innerWidth; x += 40) for (let y = 5; y < innerHeight; y += 30) {
      const hit = document.elementFromPoint(x, y);
      if (!hit || !element.contains(hit)) continue;
      const across = x >= box.left - 1 && x <= box.right + 1;
      const inside = across && y >= box.top - 1 && y <= box.bottom + 1;
      if (!inside) wrong.push(`beyond its box: ${hit.outerHTML.slice(0, 80)}`);
    }
    element.remove();
  }
  if (window.pwned) wrong.push("it ran");
  done([...new Set(wrong)].slice(0, 8));
}).catch((error) => done([`broke: ${error.stack}`]));
