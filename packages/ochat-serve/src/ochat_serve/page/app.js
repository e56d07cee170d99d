// The page: one conversation, its settings, and an answer as it arrives.
// What a model or a person wrote enters the document as text only (textContent), never as markup.

import { fetchModel, ServerError, streamChat } from "./stream.js";

const byId = (id) => document.getElementById(id);
const input = byId("input");
const messages = byId("messages");
let conversation = []; // {role, content}, as it is sent; a new chat is a new array
let model = null;
let running = null; // AbortController of the answer being received

function notify(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
}

function explain(error) {
  if (error instanceof ServerError) return error.message;
  return "The server cannot be reached; is it still running?";
}

// The server's model, and what may be chosen with it.

async function connect() {
  const label = byId("model");
  try {
    model = await fetchModel(byId("api-key").value);
    label.textContent = model.id;
    label.classList.remove("offline");
    showConditions(model.condition);
    byId("system").disabled = !model.system_allowed;
    byId("max-tokens").max = model.max_model_len;
    notify("");
  } catch (error) {
    model = null;
    label.textContent = "not connected";
    label.classList.add("offline");
    notify(explain(error));
  }
  refresh();
}

function showConditions({ default: preferred, allowed }) {
  const select = byId("condition-select");
  const text = byId("condition-text");
  select.replaceChildren(...allowed.map((name) => new Option(name, name)));
  select.value = preferred;
  text.placeholder = preferred;
  select.hidden = allowed.length === 0;
  text.hidden = allowed.length > 0;
  byId("condition-label").hidden = allowed.length === 0 && !preferred;
}

function chosenCondition() {
  const { default: preferred, allowed } = model.condition;
  const chosen = allowed.length ? byId("condition-select").value : byId("condition-text").value;
  return chosen.trim() || preferred;
}

// Messages on the page.

function addMessage(role, text, tag = "") {
  byId("welcome").hidden = true;
  const article = byId("message-template").content.cloneNode(true).firstElementChild;
  article.classList.add(role);
  article.querySelector(".who").textContent = role === "user" ? "You" : "Assistant";
  article.querySelector(".text").textContent = text;
  article.querySelector(".tag").textContent = tag;
  article.querySelector(".tag").hidden = !tag;
  messages.append(article);
  messages.scrollTop = messages.scrollHeight;
  return article;
}

function atBottom() {
  return messages.scrollHeight - messages.scrollTop - messages.clientHeight < 60;
}

function appendText(article, text) {
  const follow = atBottom();
  // A node a chunk, not a growing string: the cost of a chunk stays the same in a long answer.
  article.querySelector(".text").append(document.createTextNode(text));
  if (follow) messages.scrollTop = messages.scrollHeight;
}

function describe({ usage, reason, started, first }) {
  const facts = [];
  if (usage) {
    const seconds = (performance.now() - first) / 1000;
    const tokens = usage.completion_tokens;
    facts.push(`${tokens} tokens`);
    if (tokens > 1 && seconds > 0) facts.push(`${((tokens - 1) / seconds).toFixed(1)} tokens/s`);
    facts.push(`first after ${((first - started) / 1000).toFixed(2)} s`);
  }
  if (reason === "length") facts.push("ended at the length limit");
  if (reason === "stopped") facts.push("stopped");
  return facts.join(" · ");
}

// One question and its answer.

function request(turns, condition) {
  const system = byId("system").value;
  const longest = byId("max-tokens").valueAsNumber;
  return {
    model: model.id,
    messages: [...(system ? [{ role: "system", content: system }] : []), ...turns],
    condition,
    temperature: byId("temperature").valueAsNumber,
    ...(Number.isInteger(longest) && longest > 0 ? { max_tokens: longest } : {}),
  };
}

async function receive(article, turns, condition) {
  const result = { usage: null, reason: "", started: performance.now(), first: 0, text: "" };
  const body = request(turns, condition);
  running = new AbortController();
  refresh();
  try {
    for await (const chunk of streamChat(body, byId("api-key").value, running.signal)) {
      const [choice] = chunk.choices;
      if (chunk.usage) result.usage = chunk.usage;
      if (!choice) continue;
      result.first ||= performance.now();
      result.reason = choice.finish_reason ?? result.reason;
      const text = choice.delta.content ?? "";
      result.text += text;
      if (text) appendText(article, text);
    }
  } catch (error) {
    if (error.name !== "AbortError") throw Object.assign(error, { partial: result.text });
    result.reason = "stopped";
  } finally {
    running = null;
  }
  return result;
}

async function ask(question) {
  notify("");
  const condition = chosenCondition();
  const turns = conversation;
  const asked = addMessage("user", question);
  turns.push({ role: "user", content: question });
  const article = addMessage("assistant", "", condition);
  article.classList.add("streaming");
  try {
    const result = await receive(article, turns, condition);
    turns.push({ role: "assistant", content: result.text });
    article.querySelector(".facts").textContent = describe(result);
  } catch (error) {
    // The question goes back to where it can be sent again.
    notify(explain(error));
    turns.pop();
    asked.remove();
    if (!error.partial) article.remove();
    input.value = question;
    byId("welcome").hidden = messages.querySelector(".message") !== null;
  }
  article.classList.remove("streaming");
  refresh();
  input.focus();
}

// Controls.

function refresh() {
  byId("send").disabled = !model || running !== null || !input.value.trim();
  byId("send").hidden = running !== null;
  byId("stop").hidden = running === null;
  input.style.height = "auto";
  input.style.height = `${input.scrollHeight}px`;
}

function submit() {
  const question = input.value;
  if (!model || running || !question.trim()) return;
  input.value = "";
  refresh();
  ask(question);
}

byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
byId("settings-form").addEventListener("submit", (event) => event.preventDefault());
input.addEventListener("input", refresh);
input.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    submit();
  }
});
byId("stop").addEventListener("click", () => running?.abort());
byId("new-chat").addEventListener("click", () => {
  running?.abort();
  conversation = [];
  for (const article of messages.querySelectorAll(".message")) article.remove();
  byId("welcome").hidden = false;
  notify("");
  input.focus();
});
byId("toggle-settings").addEventListener("click", () => {
  const panel = byId("settings");
  panel.hidden = !panel.hidden;
  byId("toggle-settings").setAttribute("aria-expanded", String(!panel.hidden));
});
byId("temperature").addEventListener("input", (event) => {
  byId("temperature-shown").textContent = event.target.valueAsNumber.toFixed(1);
});
byId("api-key").addEventListener("change", (event) => {
  sessionStorage.setItem("ochat-key", event.target.value);
  connect();
});
for (const button of document.querySelectorAll(".suggestions button")) {
  button.addEventListener("click", () => {
    input.value = button.textContent;
    refresh();
    input.focus();
  });
}

byId("api-key").value = sessionStorage.getItem("ochat-key") ?? "";
connect();
