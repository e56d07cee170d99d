// Tiles, lines and tables, made of what they are told.

import { h } from "../ui/dom.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 100;
const HEIGHT = 24;

/**
 * A line through points of time and value, on a ground from zero to the largest.
 * @param {[number, number][]} points @param {number} seconds The width, in time.
 */
export function line(points, seconds) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("class", "line");
  svg.setAttribute("aria-hidden", "true"); // the number above it says where it ends
  const end = points[points.length - 1][0];
  const top = Math.max(1e-9, ...points.map(([, value]) => value));
  const places = points.map(([at, value]) => [
    WIDTH - ((end - at) / seconds) * WIDTH, HEIGHT - 1 - (value / top) * (HEIGHT - 3)]);
  const path = places.map(([x, y]) => `${x.toFixed(2)},${y.toFixed(2)}`).join(" ");
  for (const [name, shape] of [
    ["polygon", `${places[0][0].toFixed(2)},${HEIGHT} ${path} ${WIDTH},${HEIGHT}`], ["polyline", path]]) {
    const element = document.createElementNS(SVG, name);
    element.setAttribute("points", shape);
    svg.append(element);
  }
  return svg;
}

/** @param {{title: string, value: string, unit?: string, note?: string, graph?: Element|null}} tile */
export function tile({ title, value, unit = "", note = "", graph = null }) {
  return h("div.tile", {}, h("h3", {}, title),
    h("div.value", {}, value, unit && h("span.unit", {}, unit)),
    h("div.note", {}, note), graph);
}

/**
 * @param {string[]} heads A head that begins with # is of numbers.
 * @param {(string|{text: string, class: string})[][]} rows The first cell of each names it.
 */
export function table(heads, rows) {
  const numeric = heads.map((head) => head.startsWith("#"));
  const cell = (content, index) => {
    const { text, class: extra } = typeof content === "string" ? { text: content, class: "" } : content;
    const attributes = { class: `${numeric[index] ? "number" : ""} ${extra}`.trim() || null, title: extra ? text : null };
    return index === 0 ? h("th", { scope: "row", ...attributes }, text) : h("td", attributes, text);
  };
  return h("table", {},
    h("thead", {}, h("tr", {}, ...heads.map((head, index) =>
      h("th", { scope: "col", class: numeric[index] ? "number" : null }, head.replace("#", ""))))),
    h("tbody", {}, ...rows.map((row) => h("tr", {}, ...row.map(cell)))));
}

/** Seconds for people: 240 ms, 3.2 s, 5 min, 2 h 10 min, 3 d 4 h. */
export function duration(seconds) {
  if (seconds === null) return "–";
  if (seconds === Infinity) return "over 5 min";
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const [minutes, hours, days] = [seconds / 60, seconds / 3_600, seconds / 86_400].map(Math.floor);
  if (hours < 1) return `${minutes} min`;
  return days < 1 ? `${hours} h ${minutes % 60} min` : `${days} d ${hours % 24} h`;
}

/** A number with few digits. */
export function amount(value) {
  if (Number.isInteger(value) || value >= 100) return Math.round(value).toLocaleString("en");
  return value.toFixed(value < 10 ? 1 : 0);
}
