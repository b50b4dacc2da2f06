import { html, useEffect, useRef, useState } from "../lib/html.js";
import { keepKey, key } from "../lib/key.js";

/** Asks for the caller's key. `done(true)` once one was entered, `done(false)` otherwise. */
export function KeyDialog({ why, done }) {
  const dialog = useRef(null);
  const [text, setText] = useState("");
  const known = key();
  useEffect(() => dialog.current.showModal(), []);
  const enter = (event) => {
    event.preventDefault();
    if (!text.trim()) return;
    keepKey(text.trim());
    done(true);
  };
  const forget = () => {
    keepKey("");
    done(false);
  };
  return html`
    <dialog class="dialog" ref=${dialog} aria-labelledby="key-title" onCancel=${() => done(false)}>
      <form onSubmit=${enter}>
        <h2 id="key-title">Your key</h2>
        ${why && html`<p class="why" role="alert">${why}</p>`}
        <p class="help" id="key-help">
          ${known ? "A key is in use in this tab. " : ""}
          It is kept until this tab is closed, and sent to this gateway alone.
        </p>
        <label for="key-text">Key</label>
        <input id="key-text" type="password" autocomplete="off" spellcheck="false" placeholder="easel_…" autofocus
          aria-describedby="key-help" value=${text} onInput=${(event) => setText(event.target.value)} />
        <div class="row end">
          ${known && html`<button class="button" type="button" onClick=${forget}>Forget it</button>`}
          <button class="button" type="button" onClick=${() => done(false)}>Cancel</button>
          <button class="button strong" type="submit" disabled=${!text.trim()}>Use this key</button>
        </div>
      </form>
    </dialog>
  `;
}
