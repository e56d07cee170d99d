// How much of the context is used, counted by the server's own tokenizer.

import { promptBody } from "../chat/request.js";
import { countTokens } from "../net/api.js";
import { byId, debounced, h } from "./dom.js";

const DELAY_MS = 350;
const NEARLY_FULL = 0.85;

/** @param {import("../chat/chat.js").Chat} chat @param {HTMLTextAreaElement} field */
export function installMeter(chat, field) {
  const meter = byId("meter");
  const bar = h("span.meter-bar", {}, h("span"));
  const label = h("span.meter-label");
  meter.append(bar, label);
  let running = new AbortController();

  const show = (count, most) => {
    const share = Math.min(1, count / most);
    meter.hidden = false;
    meter.dataset.level = count >= most ? "full" : share > NEARLY_FULL ? "high" : "fine";
    bar.firstElementChild.style.width = `${(share * 100).toFixed(1)}%`;
    label.textContent = `${count.toLocaleString("en")} / ${most.toLocaleString("en")}`;
    const left = Math.max(0, most - count).toLocaleString("en");
    meter.title = `${label.textContent} tokens of the context are used with this message; ${left} are left for the answer.`;
    meter.setAttribute("role", "meter");
    meter.setAttribute("aria-label", "Context used, in tokens");
    meter.setAttribute("aria-valuemin", "0");
    meter.setAttribute("aria-valuemax", String(most));
    meter.setAttribute("aria-valuenow", String(Math.min(count, most)));
    meter.setAttribute("aria-valuetext", meter.title);
  };

  const count = async () => {
    const model = chat.connection.model(chat.settings.model);
    if (!model || chat.connection.state !== "ready" || chat.running.length) return;
    const turns = field.value.trim()
      ? [...chat.answeredPath, { role: "user", content: field.value }]
      : chat.path.filter((each) => each.content);
    running.abort();
    if (!turns.length) {
      meter.hidden = true;
      return;
    }
    running = new AbortController();
    try {
      const body = promptBody({ model, settings: chat.settings }, turns);
      const { count: tokens, max_model_len: most } = await countTokens(body, chat.connection.key, running.signal);
      show(tokens, most);
    } catch (error) {
      if (error.name !== "AbortError") meter.hidden = true; // two questions in a row, say: no count
    }
  };
  const later = debounced(count, DELAY_MS);
  for (const name of ["input", "written"]) field.addEventListener(name, later);
  for (const name of ["open", "path", "runs", "settings"]) chat.addEventListener(name, later);
  chat.connection.addEventListener("change", later);
}
