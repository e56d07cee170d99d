// The status page: asks the server every two seconds how it is, while somebody looks.

import { byId, h } from "../ui/dom.js";
import { amount, duration, line, table, tile } from "./drawing.js";
import { History } from "./history.js";
import { quantile } from "./metrics.js";

const EVERY_MS = 2_000;
const SHORTEST_SECONDS = 60; // how far the lines reach back at least
const KEY = "ochat-key"; // where the chat page keeps it
const LATENCIES = [
  ["First token", "first_token_seconds"],
  ["Between tokens", "per_token_seconds"],
  ["Whole answer", "request_seconds"],
];
const SHARES = [0.5, 0.9, 0.99];

const history = new History();
let timer = 0;
let asking = false;

const storedKey = () => sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY) ?? "";

function become(state, words) {
  const element = byId("state");
  element.dataset.state = state;
  if (element.textContent !== words) element.textContent = words;
}

function complain(text) {
  const element = byId("trouble");
  element.hidden = !text;
  if (element.textContent !== text) element.textContent = text;
}

function showNow() {
  const { last } = history;
  const width = Math.max(SHORTEST_SECONDS, history.span);
  const graph = (points) => line(points, width);
  const tokens = history.rates("tokens");
  const requests = history.rates("requests");
  const rate = (points) => points[points.length - 1][1];
  byId("tiles").replaceChildren(
    tile({ title: "Answering", value: String(last.answering), unit: last.answering === 1 ? "request" : "requests",
      note: "tokens are being sent", graph: graph(history.values("answering")) }),
    tile({ title: "Waiting", value: String(last.waiting), unit: last.waiting === 1 ? "request" : "requests",
      note: "admitted, no token yet", graph: graph(history.values("waiting")) }),
    tile({ title: "Generated", value: amount(rate(tokens)), unit: "tokens/s",
      note: "counted when an answer ends", graph: graph(tokens) }),
    tile({ title: "Requests", value: amount(rate(requests) * 60), unit: "a minute",
      note: `${amount(history.gained("failed"))} refused or failed while watched`, graph: graph(requests) }),
    tile({ title: "Tokens since the start", value: amount(last.tokens), note: `from ${amount(last.prompt)} of prompts` }),
    tile({ title: "Up for", value: duration(last.uptime), note: `watched for ${duration(history.span)}` }),
  );
}

/** Fill an element anew only where what it shows changed: a selection in it stays otherwise. */
function fill(id, shown, make) {
  const element = byId(id);
  const key = JSON.stringify(shown);
  if (element.shown === key) return;
  element.shown = key;
  element.replaceChildren(...make());
}

function showLatency() {
  const heads = ["Time of", "#Median, lately", "#90 %", "#99 %", "#Median, since start", "#90 %", "#99 %"];
  const rows = LATENCIES.map(([title, name]) => {
    const { all, recent } = history.histograms(name);
    return [title, ...[recent, all].flatMap((each) => SHARES.map((share) => duration(quantile(each, share))))];
  });
  fill("latency", rows, () => [table(heads, rows)]);
}

/** Errors of one kind as one row, the newest kind first. */
function grouped(errors) {
  const groups = new Map();
  for (const error of errors) {
    const key = JSON.stringify([error.path, error.status, error.code, error.key]);
    const group = groups.get(key);
    if (group) group.count += 1;
    else groups.set(key, { ...error, count: 1 });
  }
  return [...groups.values()];
}

function showErrors(errors) {
  const row = ({ time, path, status, code, key, seconds, count }) => [
    new Date(time * 1000).toLocaleTimeString(), String(count), String(status || "–"),
    { text: code ?? "–", class: "code" }, { text: path, class: "wide code" }, key || "–", duration(seconds)];
  const rows = grouped(errors).map(row);
  fill("errors", rows, () => [rows.length
    ? table(["Last at", "#Times", "#Status", "Code", "Path", "Key", "#Took"], rows)
    : h("p.nothing", {}, "None since the start.")]);
}

function showRequests() {
  const paths = new Map();
  for (const { labels, value } of history.last.metrics.get("requests_total") ?? []) {
    const counts = paths.get(labels.path) ?? { good: 0, refused: 0, failed: 0 };
    const status = Number(labels.status);
    counts[status >= 500 ? "failed" : status >= 400 || status === 0 ? "refused" : "good"] += value;
    paths.set(labels.path, counts);
  }
  const outcomes = (history.last.metrics.get("answers_total") ?? [])
    .map(({ labels, value }) => `${labels.outcome} ${amount(value)}`);
  const rows = [...paths].map(([path, { good, refused, failed }]) =>
    [{ text: path, class: "wide code" }, ...[good, refused, failed].map((count) => count.toLocaleString("en"))]);
  fill("requests", [rows, outcomes], () => [
    rows.length ? table(["Path", "#Answered", "#Refused (4xx)", "#Failed (5xx)"], rows) : h("p.nothing", {}, "None yet."),
    ...(outcomes.length ? [h("p.nothing", {}, `Answers ended by: ${outcomes.join(", ")}.`)] : [])]);
}

function showModel(model) {
  const facts = [
    ["Name", model.name], ["Also as", model.names.slice(1).join(", ") || "–"], ["Template", model.template],
    ["Fingerprint", model.fingerprint], ["Engine", model.engine], ["Context", `${model.max_model_len.toLocaleString("en")} tokens`]];
  fill("facts", facts, () => facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

function show(told) {
  history.add(told, performance.now() / 1000);
  const draining = (history.last.metrics.get("draining") ?? [])[0]?.value === 1;
  become(draining ? "draining" : "serving", draining ? "taking no new requests" : `serving ${told.model.name}`);
  complain("");
  byId("key-form").hidden = true;
  byId("report").hidden = false;
  showNow();
  showLatency();
  showErrors(told.errors);
  showRequests();
  showModel(told.model);
}

function askForKey(wrong) {
  become("key", "closed");
  complain(wrong ? "The server does not know this key." : "");
  byId("report").hidden = true;
  byId("key-form").hidden = false;
}

async function ask() {
  const key = storedKey();
  const response = await fetch("status.json", {
    cache: "no-store", headers: key ? { authorization: `Bearer ${key}` } : {} });
  if (response.status === 401) return askForKey(key !== "");
  if (!response.ok) throw new Error(`The server answered with status ${response.status}.`);
  return show(await response.json());
}

async function look() {
  clearTimeout(timer);
  if (asking || document.hidden) return;
  asking = true;
  try {
    await ask();
  } catch (error) {
    become("away", "not reached");
    complain(error instanceof TypeError ? "The server cannot be reached. What is below is as it was last seen." : error.message);
  }
  asking = false;
  // A form that is being filled in is not asked about again.
  if (byId("key-form").hidden) timer = setTimeout(look, EVERY_MS);
}

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.removeItem(KEY);
  localStorage.removeItem(KEY);
  (byId("remember").checked ? localStorage : sessionStorage).setItem(KEY, byId("key").value.trim());
  look();
});
document.addEventListener("visibilitychange", look);
look();
