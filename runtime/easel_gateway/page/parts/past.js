import { html, useState } from "../lib/html.js";
import { useObjectUrl } from "../lib/hooks.js";
import { ago, bytes } from "../lib/words.js";
import { Icon } from "./icons.js";

/** Earlier edits in this browser. */
export function Past({ edits, show, forget, clear }) {
  const [sure, setSure] = useState(false);
  if (!edits.length) return null;
  const size = edits.reduce(
    (sum, { before, images }) => images.reduce((more, { blob }) => more + blob.size, sum + before.size),
    0,
  );
  const empty = () => {
    setSure(false);
    clear();
  };
  return html`
    <section class="panel past" aria-labelledby="past-title">
      <div class="row spread wrap">
        <h2 id="past-title">Earlier, in this browser</h2>
        ${
          sure
            ? html`<div class="row"><span class="said">Delete all ${edits.length}?</span>
            <button class="button small" type="button" onClick=${() => setSure(false)}>No</button>
            <button class="button small strong" type="button" autofocus onClick=${empty}>Delete</button></div>`
            : html`<div class="row"><span class="said">${bytes(size)}</span>
            <button class="button small" type="button" onClick=${() => setSure(true)}>Clear</button></div>`
        }
      </div>
      <ul>${edits.map(
        (edit) =>
          html`<${Edit} key=${edit.id} edit=${edit} show=${() => show(edit)} forget=${() => forget(edit.id)} />`,
      )}</ul>
    </section>
  `;
}

function Edit({ edit, show, forget }) {
  const url = useObjectUrl(edit.images[0].blob);
  return html`<li>
    <button class="open" type="button" onClick=${show} aria-label=${`${edit.prompt}, ${ago(edit.at)}: show it again`}>
      ${url && html`<img src=${url} alt="" loading="lazy" />`}
      <span class="words">${edit.prompt}</span>
      <span class="when">${ago(edit.at)}${edit.images.length > 1 ? `, ${edit.images.length} images` : ""}</span>
    </button>
    <button class="quiet square forget" type="button" onClick=${forget} title="Delete"
      aria-label=${`Delete: ${edit.prompt}`}><${Icon} name="trash" /></button>
  </li>`;
}
