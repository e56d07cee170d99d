// The prompt library: a dialog to keep it, and what a chosen prompt asks for before it is used.

import { newId } from "../data/ids.js";
import { openDialog } from "./dialog.js";
import { h, iconButton } from "./dom.js";
import { toast } from "./toast.js";

/** @typedef {import("../data/types.js").Prompt} Prompt */

const VARIABLE = /\{\{\s*([^{}]+?)\s*\}\}/g;

/** The names between double braces, each once. @param {string} content */
export function variablesOf(content) {
  return [...new Set([...content.matchAll(VARIABLE)].map(([, name]) => name))];
}

/** @param {string} content @param {Record<string, string>} values */
export function filledIn(content, values) {
  return content.replace(VARIABLE, (whole, name) => values[name] ?? whole);
}

/** The text of a prompt; asks for its variables. @param {Prompt} prompt @returns {Promise<string|undefined>} */
export function useOf(prompt) {
  const names = variablesOf(prompt.content);
  if (!names.length) return Promise.resolve(prompt.content);
  return openDialog(prompt.name, (close) => {
    const fields = names.map((name, index) => (
      h("textarea", { rows: 2, dir: "auto", autofocus: index === 0, "data-name": name })));
    return [h("form", { method: "dialog", onsubmit: (event) => {
      event.preventDefault();
      close(filledIn(prompt.content, Object.fromEntries(fields.map((each) => [each.dataset.name, each.value]))));
    } },
    ...names.map((name, index) => h("label.field", {}, h("span", { dir: "auto" }, name), fields[index])),
    h("div.dialog-actions", {}, h("button.primary", { type: "submit" }, "Insert")))];
  });
}

/** The prompts whose name holds what was typed; names that begin with it first. */
export function matching(prompts, typed) {
  const wanted = typed.toLocaleLowerCase();
  const rank = ({ name }) => (name.toLocaleLowerCase().startsWith(wanted) ? 0 : 1);
  return prompts.filter(({ name }) => name.toLocaleLowerCase().includes(wanted))
    .sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name));
}

/** @param {import("../data/library.js").Library} library @param {(prompt: Prompt) => void} use */
export function openPrompts(library, use) {
  return openDialog("Prompts", (close) => {
    const list = h("ul.prompt-list");
    const show = () => {
      const prompts = matching([...library.prompts.values()], "");
      list.replaceChildren(...prompts.map((prompt) => row(library, prompt, show, () => {
        close();
        use(prompt);
      })));
      if (!prompts.length) {
        list.append(h("li.nothing", {}, "No prompts yet. Keep texts here that you use often, then write / and their name."));
      }
    };
    show();
    return [
      h("p.hint", {}, "Words in double braces, such as {{language}}, are asked for when the prompt is used."),
      list,
      h("div.dialog-actions", {}, h("button.primary", { type: "button", onclick: async () => {
        await editPrompt(library, { id: newId(), name: "", description: "", content: "" });
        show();
      } }, "New prompt")),
    ];
  }, { wide: true });
}

function row(library, prompt, show, use) {
  const { id, name, description, content } = prompt;
  return h("li", {},
    h("button.prompt", { type: "button", onclick: use },
      h("strong", { dir: "auto" }, name), h("span", { dir: "auto" }, description || content.slice(0, 120))),
    iconButton("edit", `Edit ${name}`, async () => {
      await editPrompt(library, prompt);
      show();
    }),
    iconButton("remove", `Delete ${name}`, async () => {
      await library.write([{ store: "prompts", remove: id }]);
      show();
      toast("Prompt deleted", { label: "Undo", run: () => library.save("prompts", prompt) });
    }));
}

/** @param {Prompt} prompt */
function editPrompt(library, prompt) {
  return openDialog(prompt.name ? "Edit the prompt" : "New prompt", (close) => {
    const name = h("input", { dir: "auto", autofocus: true, required: true, maxlength: 80 });
    const description = h("input", { dir: "auto", maxlength: 200 });
    const content = h("textarea", { dir: "auto", rows: 8, required: true });
    name.value = prompt.name;
    description.value = prompt.description;
    content.value = prompt.content;
    return [h("form", { method: "dialog", onsubmit: async (event) => {
      event.preventDefault();
      await library.save("prompts", { id: prompt.id, name: name.value.trim(), description: description.value.trim(), content: content.value });
      close();
    } },
    h("label.field", {}, h("span", {}, "Name"), name),
    h("label.field", {}, h("span", {}, "Description (may stay empty)"), description),
    h("label.field", {}, h("span", {}, "Text"), content),
    h("div.dialog-actions", {},
      h("button.quiet", { type: "button", onclick: () => close() }, "Cancel"),
      h("button.primary", { type: "submit" }, "Save")))];
  });
}
