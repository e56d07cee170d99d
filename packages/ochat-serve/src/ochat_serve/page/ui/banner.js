// What stands in the way of chatting: no server, or a key that is asked for.

import { announce } from "./announce.js";
import { byId, h } from "./dom.js";

/** @param {import("../net/connection.js").Connection} connection */
export function installBanner(connection) {
  const banner = byId("banner");
  let shown = "connecting";
  connection.addEventListener("change", () => {
    const { state } = connection;
    if (state === "ready" && shown === "away") announce("The server is back.");
    if (state === "key") banner.replaceChildren(...askKey(connection));
    if (state === "away" && shown !== "away") banner.replaceChildren(...offerRetry(connection));
    banner.hidden = state === "ready" || state === "connecting";
    banner.classList.toggle("calm", state === "key");
    shown = state;
  });
}

function offerRetry(connection) {
  const stopping = connection.error?.status === 503;
  return [
    h("span", {}, stopping
      ? "The server is up but takes no requests now. "
      : "The server cannot be reached. ",
    "It is asked again until it answers; what you write is kept."),
    h("button.quiet", { type: "button", onclick: () => connection.retry() }, "Try now"),
  ];
}

/** A form for the key, also used in the settings. @param {import("../net/connection.js").Connection} connection */
export function keyForm(connection, id) {
  const field = h("input", {
    id, type: "password", autocomplete: "off", spellcheck: "false", placeholder: "API key" });
  field.value = connection.key;
  const remember = h("input", { type: "checkbox" });
  remember.checked = connection.keyRemembered;
  return h("form.key-form", {
    onsubmit: (event) => {
      event.preventDefault();
      connection.useKey(field.value.trim(), remember.checked);
    },
  },
  h("label", { for: id, class: "visually-hidden" }, "API key"), field,
  h("button.primary", { type: "submit" }, "Use"),
  h("label.check", {}, remember, "Remember in this browser"));
}

function askKey(connection) {
  const wrong = connection.key !== "";
  return [
    h("span", {}, wrong
      ? "The server did not accept this API key. Check it, or ask the operator for one."
      : "This server asks for an API key. It stays in this browser."),
    keyForm(connection, "banner-key"),
  ];
}
