// Dark, light, or as the system has it. A classic script in the head: it runs before anything is
// painted, so that no page flashes in the wrong colours.

(() => {
  const KEY = "ochat-theme";
  const apply = (theme) => {
    if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
  };
  let chosen = "auto";
  try {
    chosen = localStorage.getItem(KEY) ?? "auto";
  } catch {
    // Storage is refused here: as the system has it.
  }
  apply(chosen);
  globalThis.ochatTheme = {
    get: () => chosen,
    set: (theme) => {
      chosen = theme;
      apply(theme);
      try {
        localStorage.setItem(KEY, theme);
      } catch {
        // Until the next reload, then.
      }
    },
  };
  addEventListener("storage", (event) => {
    if (event.key === KEY) apply(chosen = event.newValue ?? "auto");
  });
})();
