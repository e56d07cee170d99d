"use strict";
// Everything of the run is put in as text, never as markup.
const MOST_SHOWN = 3000;
const byId = (name) => document.getElementById(name);

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined && text !== null) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function show(run) {
  const state = { status: null, group: "", words: "", chosen: null, shown: [] };
  const percent = (share) => (100 * share).toFixed(1) + " %";
  byId("title").textContent = run.title;
  const figures = run.figures;
  byId("figures").textContent = figures.accuracy === null ? "nothing graded"
    : `${percent(figures.accuracy)} right of ${figures.n} ` +
      `(95 % interval ${percent(figures.interval[0])} to ${percent(figures.interval[1])})`;

  for (const item of run.items) {
    item.text = [item.id, item.group, item.rule, item.extracted, item.prompt,
      (item.response || []).join("")].join("\n").toLowerCase();
  }

  function filters() {
    const counts = new Map(run.statuses.map((status) => [status, 0]));
    for (const item of run.items) counts.set(item.status, counts.get(item.status) + 1);
    const choices = [[null, "all", run.items.length],
      ...[...counts].map(([status, count]) => [status, status, count])];
    byId("filters").replaceChildren(...choices.map(([status, name, count]) => {
      const button = element("button", `${name} ${count}`, status || "");
      button.type = "button";
      button.dataset.status = name;
      button.setAttribute("aria-pressed", String(state.status === status));
      button.onclick = () => { state.status = status; draw(); };
      return button;
    }));
  }

  function rows() {
    const words = state.words.toLowerCase().split(/\s+/).filter(Boolean);
    state.shown = run.items.filter((item) =>
      (state.status === null || item.status === state.status) &&
      (state.group === "" || item.group === state.group) &&
      words.every((word) => item.text.includes(word)));
    const list = state.shown.slice(0, MOST_SHOWN).map((item) => {
      const button = element("button");
      button.type = "button";
      const about = element("span", item.id);
      about.append(element("small", item.redacted ? "gated" : item.prompt));
      button.append(element("span", item.status, `status ${item.status}`), about);
      button.onclick = () => choose(item);
      item.button = button;
      return button;
    });
    if (state.shown.length > MOST_SHOWN) {
      list.push(element("p", `${state.shown.length - MOST_SHOWN} more: search, or choose a group`));
    }
    byId("list").replaceChildren(...(list.length ? list : [element("p", "nothing fits")]));
  }

  function choose(item) {
    state.chosen = item;
    for (const other of byId("list").querySelectorAll("[aria-current]")) {
      other.removeAttribute("aria-current");
    }
    if (item && item.button) item.button.setAttribute("aria-current", "true");
    byId("detail").replaceChildren(...(item ? detail(item) : []));
    byId("detail").scrollTop = 0;
  }

  function detail(item) {
    const list = element("dl");
    const tell = (name, value, className) => {
      if (value === null || value === undefined || value === "") return;
      list.append(element("dt", name), element("dd", value, className));
    };
    tell("verdict", item.status, `status ${item.status}`);
    tell("rule", item.rule, "rule");
    tell("extracted", item.extracted, "extracted");
    tell("right answer", (item.label || []).join(" or "));
    tell("question", `${item.id} (${item.group})`);
    tell("ended by", item.finish);
    const parts = [list];
    if (item.redacted) {
      parts.push(element("p", "The owners of this item ask not to show it: prompt, answer and " +
        "label are not in this file."));
      return parts;
    }
    const add = (title, content) => parts.push(element("h2", title), content);
    const response = element("pre", null, "response");
    if (item.response) {
      const [before, marked, after] = item.response;
      response.append(before);
      if (marked) response.append(element("mark", marked));
      response.append(after);
    } else {
      response.textContent = item.error || "no answer";
    }
    add("Answer of the model", response);
    if (item.reasoning) add("Reasoning", element("pre", item.reasoning));
    add("Prompt", element("pre", item.prompt, "prompt"));
    if ((item.options || []).length) add("Options", element("pre", item.options.join("\n")));
    return parts;
  }

  function draw() {
    filters();
    rows();
    choose(state.shown.includes(state.chosen) ? state.chosen : state.shown[0] || null);
  }

  const groups = [...new Set(run.items.map((item) => item.group))];
  byId("group").replaceChildren(new Option("all groups", ""),
    ...groups.map((group) => new Option(group, group)));
  byId("group").onchange = (event) => { state.group = event.target.value; draw(); };
  byId("search").oninput = (event) => { state.words = event.target.value; draw(); };
  byId("theme").onclick = () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  };
  document.onkeydown = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || ["INPUT", "SELECT"].includes(event.target.tagName)) return;
    event.preventDefault();
    const next = state.shown[state.shown.indexOf(state.chosen) + step];
    if (next) { choose(next); if (next.button) next.button.scrollIntoView({ block: "nearest" }); }
  };
  draw();
}
