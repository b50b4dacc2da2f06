// Before the first paint, so that nothing flashes: the theme that was chosen here, else the system's.
(() => {
  try {
    const chosen = localStorage.getItem("easel-theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // Storage is switched off: the system's theme it is.
  }
})();
