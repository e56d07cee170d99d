// The fields of the settings: each shows a value and tells when a person changed it.

import { h } from "./dom.js";

/** @param {(value: number) => void} changed */
export function slider(id, label, hint, min, max, step, value, changed) {
  const digits = step < 0.1 ? 2 : 1;
  const output = h("output", { for: id }, value.toFixed(digits));
  const range = h("input", { id, type: "range", min, max, step, "aria-describedby": `${id}-hint` });
  range.value = String(value);
  range.addEventListener("input", () => { output.textContent = range.valueAsNumber.toFixed(digits); });
  range.addEventListener("change", () => changed(range.valueAsNumber));
  return h("div.field", {}, h("label", { for: id }, label, output), range, h("p.hint", { id: `${id}-hint` }, hint));
}

/** A whole number, or nothing. @param {(value: number|null) => void} changed */
export function numberField(id, label, placeholder, value, limits, changed) {
  const field = h("input", { id, type: "number", step: 1, placeholder, ...limits, inputmode: "numeric" });
  field.value = value === null ? "" : String(value);
  field.addEventListener("change", () => {
    if (!field.checkValidity()) {
      field.reportValidity();
      return;
    }
    changed(Number.isNaN(field.valueAsNumber) ? null : field.valueAsNumber);
  });
  return h("div.field", {}, h("label", { for: id }, label), field);
}

/** Texts that end an answer, one a line; \n in a line is a line break. @param {(value: string[]) => void} changed */
export function stopField(value, changed) {
  const field = h("textarea", { id: "stop-texts", rows: 2, dir: "auto", spellcheck: "false" });
  field.value = value.map((each) => each.replaceAll("\n", "\\n")).join("\n");
  field.addEventListener("change", () => {
    changed(field.value.split("\n").filter(Boolean).map((each) => each.replaceAll("\\n", "\n")));
  });
  return h("div.field", {}, h("label", { for: "stop-texts" }, "Stop texts, one a line"), field);
}
