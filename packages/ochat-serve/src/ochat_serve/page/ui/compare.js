// Asking two at once: which condition and which model stand on each side.

import { conditionOf } from "../chat/request.js";
import { fillSelect } from "./composer.js";
import { conditionChoices } from "./conditions.js";
import { byId, h, icon } from "./dom.js";

/** @param {import("../chat/chat.js").Chat} chat @param {import("./composer.js").Composer} composer */
export function installCompare(chat, composer) {
  const toggle = byId("toggle-compare");
  const bar = byId("compare");
  toggle.append(icon("compare"));

  const turn = (on) => {
    chat.comparison = on ? startingSides(chat) : null;
    toggle.setAttribute("aria-pressed", String(on));
    bar.hidden = !on;
    if (on) bar.replaceChildren(...sidesOf(chat), h("span.hint", {}, "The next question is asked of both."));
    composer.refresh();
  };
  toggle.addEventListener("click", () => turn(chat.comparison === null));
  const available = () => {
    const conditions = chat.connection.models.length
      ? conditionChoices(chat.connection.models[0].condition).names : [];
    toggle.hidden = conditions.length < 2 && chat.connection.choices().length < 2;
    if (toggle.hidden && chat.comparison) turn(false);
  };
  chat.connection.addEventListener("change", available);
  available();
}

/** What is set now against the first other condition, or else the first other model. */
function startingSides(chat) {
  const { connection, settings } = chat;
  const model = connection.model(settings.model);
  const here = { model: model.id, condition: conditionOf({ model, settings }) };
  const condition = conditionChoices(model.condition).names.find((name) => name !== here.condition);
  const other = connection.choices().find((each) => each.id !== model.id);
  return [here, condition ? { ...here, condition } : { ...here, model: other?.id ?? model.id }];
}

function sidesOf(chat) {
  const models = chat.connection.choices();
  const { names } = conditionChoices(models[0].condition);
  return chat.comparison.map((side, index) => {
    const name = index === 0 ? "First" : "Second";
    const pick = (field, options) => {
      const select = h("select", {
        "aria-label": `${name} ${field}`,
        onchange: (event) => { side[field] = event.target.value; },
      });
      fillSelect(select, [...new Set([...options, side[field]])].map((each) => [each, each]), side[field]);
      return h("span.pick", {}, select);
    };
    return h("div.side", {}, h("span.side-name", {}, name),
      names.length > 0 && pick("condition", names),
      models.length > 1 && pick("model", models.map(({ id }) => id)));
  });
}
