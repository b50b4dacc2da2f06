import { html, useCallback, useEffect, useState } from "../lib/html.js";
import { Icon, Mark } from "./icons.js";
import { KeyDialog } from "./key.js";
import { Operate } from "./operate.js";
import { Studio } from "./studio.js";

const OPERATE = "#/operate";

export function App() {
  const [place, setPlace] = useState(location.hash);
  const [asking, setAsking] = useState(null);
  useEffect(() => {
    const moved = () => setPlace(location.hash);
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  const operating = place === OPERATE;
  useEffect(() => {
    document.title = operating ? "Operate – Easel" : "Easel";
  }, [operating]);
  /** Shows the dialog; true once a key was entered. */
  const askKey = useCallback((why = "") => new Promise((answer) => setAsking({ why, answer })), []);
  const answered = (given) => {
    asking?.answer(given);
    setAsking(null);
  };
  return html`
    <a class="skip" href="#main" onClick=${toMain}>To the content</a>
    <header class="top">
      <a class="brand" href="#/"><${Mark} />Easel</a>
      <nav aria-label="Views">
        <a href="#/" aria-current=${operating ? null : "page"}>Edit</a>
        <a href=${OPERATE} aria-current=${operating ? "page" : null}>Operate</a>
      </nav>
      <div class="tools">
        <a class="quiet wide" href="docs">API</a>
        <button class="quiet square" type="button" onClick=${() => askKey()} aria-label="Key" title="Key">
          <${Icon} name="key" />
        </button>
        <${Theme} />
      </div>
    </header>
    <main id="main" tabindex="-1">
      <div hidden=${operating}><${Studio} askKey=${askKey} /></div>
      ${operating && html`<${Operate} askKey=${askKey} />`}
    </main>
    ${asking && html`<${KeyDialog} why=${asking.why} done=${answered} />`}
  `;
}

function toMain(event) {
  event.preventDefault(); // the address after # is the view's
  document.getElementById("main").focus();
}

function Theme() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const [theme, setTheme] = useState(document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light"));
  const other = theme === "dark" ? "light" : "dark";
  const change = () => {
    document.documentElement.dataset.theme = other;
    setTheme(other);
    try {
      localStorage.setItem("easel-theme", other);
    } catch {
      // It holds until the page is left.
    }
  };
  const label = `Change to ${other} colours`;
  return html`<button class="quiet square" type="button" onClick=${change} aria-label=${label} title=${label}>
    <${Icon} name=${other === "dark" ? "moon" : "sun"} />
  </button>`;
}
