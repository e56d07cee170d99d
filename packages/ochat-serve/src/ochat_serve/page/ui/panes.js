// The two side panes: beside the conversation on a wide window, over it on a narrow one.

import { inBrowser } from "../data/remember.js";
import { byId, icon } from "./dom.js";

const NARROW = matchMedia("(max-width: 62rem)");
const LIST_SHOWN = "ochat-list";

export class Panes {
  constructor() {
    this.sidebar = byId("sidebar");
    this.settings = byId("settings");
    byId("show-sidebar").append(icon("menu"));
    byId("hide-sidebar").append(icon("left"));
    byId("toggle-settings").append(icon("settings"));
    byId("show-sidebar").addEventListener("click", () => this.showList(true));
    byId("hide-sidebar").addEventListener("click", () => this.showList(false));
    byId("toggle-settings").addEventListener("click", () => this.showSettings(this.settings.hidden));
    byId("scrim").addEventListener("click", () => this.closeOver());
    NARROW.addEventListener("change", () => this.#arrange());
    this.#arrange();
  }

  #arrange() {
    this.sidebar.hidden = NARROW.matches || inBrowser.get(LIST_SHOWN) === "no";
    if (NARROW.matches) this.settings.hidden = true;
    this.#settle();
  }

  get listShown() {
    return !this.sidebar.hidden;
  }

  showList(shown, focus = true) {
    this.sidebar.hidden = !shown;
    if (NARROW.matches && shown) this.settings.hidden = true;
    if (!NARROW.matches) inBrowser.set(LIST_SHOWN, shown ? "yes" : "no");
    this.#settle();
    if (focus) byId(shown ? "hide-sidebar" : "show-sidebar").focus();
  }

  showSettings(shown) {
    this.settings.hidden = !shown;
    if (NARROW.matches && shown) this.sidebar.hidden = true;
    this.#settle();
    if (shown) this.settings.querySelector("button")?.focus();
    else byId("toggle-settings").focus();
  }

  /** Close what lies over the conversation; false where nothing does. */
  closeOver() {
    if (!NARROW.matches || (this.sidebar.hidden && this.settings.hidden)) return false;
    if (!this.settings.hidden) this.showSettings(false);
    else this.showList(false);
    return true;
  }

  #settle() {
    const over = NARROW.matches && (!this.sidebar.hidden || !this.settings.hidden);
    byId("scrim").hidden = !over;
    // What is covered can be reached neither by Tab nor by a screen reader.
    byId("middle").inert = over;
    byId("show-sidebar").hidden = !this.sidebar.hidden;
    byId("toggle-settings").setAttribute("aria-expanded", String(!this.settings.hidden));
    byId("show-sidebar").setAttribute("aria-expanded", String(!this.sidebar.hidden));
  }
}
