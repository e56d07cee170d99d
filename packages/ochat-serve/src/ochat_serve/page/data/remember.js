// Small texts that outlive a reload: in this tab, or in this browser.
// Where the browser refuses both, they live as long as the page.

class Remembered {
  /** @param {() => Storage} storage Asking for it may already be refused. */
  constructor(storage) {
    this.fallback = new Map();
    try {
      this.storage = storage();
    } catch {
      this.storage = null;
    }
  }

  /** @param {string} name @returns {string|null} */
  get(name) {
    return this.storage?.getItem(name) ?? this.fallback.get(name) ?? null;
  }

  /** @param {string} name @param {string} value "" forgets it. */
  set(name, value) {
    this.fallback.delete(name);
    try {
      if (value) this.storage?.setItem(name, value);
      else this.storage?.removeItem(name);
    } catch {
      this.fallback.set(name, value); // full
    }
    if (!this.storage && value) this.fallback.set(name, value);
  }
}

export const inTab = new Remembered(() => sessionStorage);
export const inBrowser = new Remembered(() => localStorage);
