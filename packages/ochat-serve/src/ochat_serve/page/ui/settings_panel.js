// The settings: model, condition, system text, sampling, presets, key, appearance.

import { conditionOf } from "../chat/request.js";
import { newId } from "../data/ids.js";
import { defaultSettings } from "../data/settings.js";
import { keyForm } from "./banner.js";
import { ABOUT_CONDITIONS, conditionChoices, meaningOf } from "./conditions.js";
import { askText } from "./dialog.js";
import { byId, debounced, h, iconButton } from "./dom.js";
import { numberField, slider, stopField } from "./settings_fields.js";
import { toast } from "./toast.js";

const TYPING_MS = 300;

export class SettingsPanel {
  /** @param {import("../chat/chat.js").Chat} chat @param {() => void} close */
  constructor(chat, close) {
    this.chat = chat;
    this.panel = byId("settings");
    this.panel.append(
      h("header", {}, h("h2", {}, "Settings"), iconButton("close", "Close the settings", close)),
      this.body = h("div.settings-body"));
    chat.addEventListener("open", () => this.render());
    chat.connection.addEventListener("change", () => this.render());
    chat.library.addEventListener("change", () => this.#showPresets());
    chat.addEventListener("settings", () => this.#followed());
    this.changing = false;
    this.render();
  }

  async #change(change) {
    this.changing = true;
    try {
      await this.chat.change(change);
    } finally {
      this.changing = false;
    }
  }

  /** Settings changed elsewhere (the message field's selects, a preset). */
  #followed() {
    if (!this.changing) this.render();
  }

  render() {
    const focused = this.body.contains(document.activeElement) ? document.activeElement.id : "";
    const { settings, connection } = this.chat;
    const model = connection.model(settings.model);
    this.body.replaceChildren(
      this.#presets(),
      ...(model ? [this.#model(model), this.#condition(model), this.#system(model)] : []),
      this.#sampling(model),
      h("section", { "aria-label": "API key" }, h("h3", {}, "API key"), keyForm(connection, "settings-key"),
        h("p.hint", {}, "Kept in this tab, or in this browser if you say so; sent to this server only.")),
      this.#theme());
    if (focused) byId(focused)?.focus();
  }

  #presets() {
    this.presets = h("div.presets");
    this.#showPresets();
    return h("section", { "aria-label": "Presets" }, h("h3", {}, "Presets"), this.presets);
  }

  #showPresets() {
    const { library } = this.chat;
    const key = JSON.stringify([...library.presets.values()]);
    if (this.presets?.dataset.key === key) return; // something else in the library changed
    if (this.presets) this.presets.dataset.key = key;
    const rows = [...library.presets.values()].sort((a, b) => a.name.localeCompare(b.name)).map((preset) => (
      h("div.preset", {},
        h("button.quiet", { type: "button", dir: "auto", onclick: () => this.chat.change(preset.settings) }, preset.name),
        iconButton("remove", `Delete the preset ${preset.name}`, async () => {
          await library.write([{ store: "presets", remove: preset.id }]);
          toast("Preset deleted", { label: "Undo", run: () => library.save("presets", preset) });
        }))));
    this.presets?.replaceChildren(...rows,
      h("div.preset-actions", {},
        h("button.quiet", { type: "button", onclick: () => this.#savePreset() }, "Save these settings …"),
        h("button.quiet", { type: "button", onclick: () => this.chat.change(defaultSettings()) }, "Set back")));
  }

  async #savePreset() {
    const name = await askText("Save a preset", { label: "Name" });
    if (name) {
      await this.chat.library.save("presets", { id: newId(), name, settings: structuredClone(this.chat.settings) });
    }
  }

  #model(model) {
    const choices = this.chat.connection.choices();
    const select = h("select", { id: "settings-model", onchange: (event) => this.chat.change({ model: event.target.value }) },
      ...choices.map((each) => h("option", { value: each.id }, each.parent ? `${each.id} (adapter)` : each.id)));
    select.value = model.id;
    return h("section", { "aria-label": "Model" }, h("h3", {}, h("label", { for: "settings-model" }, "Model")), select,
      h("p.hint", {}, `Template ${model.template}; context of ${model.max_model_len.toLocaleString("en")} tokens.`));
  }

  #condition(model) {
    const { names, free } = conditionChoices(model.condition);
    if (!names.length) return h("section", {}, h("h3", {}, "Condition"), h("p.hint", {}, "This model's template has none."));
    const current = conditionOf({ model, settings: this.chat.settings });
    const all = [...new Set([...names, current])];
    return h("fieldset.conditions", {}, h("legend", {}, "Condition"), h("p.hint", {}, ABOUT_CONDITIONS),
      ...all.map((name, index) => {
        const radio = h("input", { type: "radio", name: "condition", value: name, id: `condition-${index}`,
          onchange: () => this.#change({ condition: name }) });
        radio.checked = name === current;
        return h("label.choice", {}, radio, h("span", {}, h("strong", { dir: "auto" }, name),
          name === model.condition.default && h("em", {}, " default"), h("span.hint", {}, meaningOf(name))));
      }),
      free && h("button.quiet", { type: "button", onclick: async () => {
        const typed = await askText("Another condition", { label: "Condition, as it was used in training", action: "Use" });
        if (typed) this.chat.change({ condition: typed });
      } }, "Another one …"));
  }

  #system(model) {
    const field = h("textarea", { id: "system", rows: 4, dir: "auto", placeholder: "How the assistant should behave" });
    field.value = this.chat.settings.system;
    field.disabled = !model.system_allowed;
    const save = () => this.#change({ system: field.value });
    field.addEventListener("input", debounced(save, TYPING_MS));
    field.addEventListener("change", save);
    return h("section", { "aria-label": "System text" }, h("h3", {}, h("label", { for: "system" }, "System text")), field,
      !model.system_allowed && h("p.hint", {}, "This model's template takes no system text."));
  }

  #sampling(model) {
    const { settings } = this.chat;
    const set = (name) => (value) => this.#change({ [name]: value });
    return h("section", { "aria-label": "Answers" }, h("h3", {}, "Answers"),
      slider("temperature", "Temperature", "0 takes the likeliest word each time; more is livelier.", 0, 2, 0.1, settings.temperature, set("temperature")),
      slider("top-p", "Top p", "Only the likeliest words that together have this share.", 0.05, 1, 0.05, settings.top_p, set("top_p")),
      numberField("max-tokens", "Longest answer, in tokens", "as long as fits", settings.max_tokens, { min: 1, max: model?.max_model_len }, set("max_tokens")),
      numberField("seed", "Seed", "a new one each time", settings.seed, {}, set("seed")),
      h("details", {}, h("summary", {}, "Penalties and stop texts"),
        slider("presence-penalty", "Presence penalty", "Against words that were used at all.", -2, 2, 0.1, settings.presence_penalty, set("presence_penalty")),
        slider("frequency-penalty", "Frequency penalty", "Against words that were used often.", -2, 2, 0.1, settings.frequency_penalty, set("frequency_penalty")),
        stopField(settings.stop, set("stop"))));
  }

  #theme() {
    const theme = globalThis.ochatTheme;
    const options = [["auto", "As the system"], ["light", "Light"], ["dark", "Dark"]];
    return h("fieldset.themes", {}, h("legend", {}, "Appearance"), ...options.map(([value, label]) => {
      const radio = h("input", { type: "radio", name: "theme", value, id: `theme-${value}`, onchange: () => theme.set(value) });
      radio.checked = theme.get() === value;
      return h("label.segment", {}, radio, h("span", {}, label));
    }));
  }
}
