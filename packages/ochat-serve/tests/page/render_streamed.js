// Shows each text once streamed in pieces and once whole; gives both, and what was seen on the way.
const [texts, done] = arguments;
// Time stands still: every piece is shown at once, however slow the machine is.
performance.now = () => 0;
const pause = (ms) => new Promise((go) => setTimeout(go, ms));
import("/page/render/answer.js").then(async ({ AnswerView }) => {
  const results = {};
  const show = async (text, pieces) => {
    const element = document.createElement("div");
    document.querySelector("main").append(element);
    const view = new AnswerView(element);
    const seen = new Set();
    let first = null;
    let kept = true;
    for (const piece of pieces) {
      view.update(text.slice(0, piece));
      element.querySelectorAll(":scope > *").forEach((node) => seen.add(node.localName));
      // What stands two blocks above the end is final.
      if (element.children.length > 2) first ??= element.firstElementChild;
      kept &&= first === null || first === element.firstElementChild;
      await pause(0);
    }
    view.update(text);
    await view.finish();
    element.remove();
    return { html: element.innerHTML, text: element.textContent, seen: [...seen], kept };
  };
  for (const [name, text] of Object.entries(texts)) {
    const step = Math.max(1, Math.floor(text.length / 120));
    const pieces = [];
    for (let end = 1; end < text.length; end += step) pieces.push(end);
    results[name] = { streamed: await show(text, pieces), whole: await show(text, []) };
  }
  done(results);
}).catch((error) => done({ broke: error.stack }));
