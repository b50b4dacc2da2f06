import { html, useEffect, useRef, useState } from "../lib/html.js";
import { useDocument, useObjectUrl } from "../lib/hooks.js";
import { ACCEPTED, pictureIn, SAMPLE } from "../lib/pictures.js";
import { count } from "../lib/words.js";
import { Icon } from "./icons.js";
import { Progress } from "./progress.js";
import { ResultPicture, ResultTools } from "./result.js";

/** Where the picture is chosen, dropped, pasted, watched while it is painted, and compared with the result. */
export function Stage({ sizing, work, chosen, choose }) {
  const section = useRef(null);
  const busy = Boolean(work.job);
  const over = useDropped(sizing.open);
  // Where the form is below the picture, the button is far from what happens now.
  useEffect(() => void (busy && section.current.scrollIntoView({ block: "nearest" })), [busy]);
  const content = sizing.picture ? Filled : Empty;
  return html`
    <section class="stage" ref=${section} aria-label="Picture" data-over=${over} data-busy=${busy}>
      <${content} sizing=${sizing} work=${work} chosen=${chosen} choose=${choose} />
    </section>
  `;
}

/** Takes what is dropped or pasted anywhere on the page; true while something is held over it. */
function useDropped(open) {
  const [over, setOver] = useState(false);
  const depth = useRef(0);
  const entered = (by) => {
    depth.current = Math.max(0, depth.current + by);
    setOver(depth.current > 0);
  };
  const hasFile = (event) => event.dataTransfer?.types.includes("Files");
  const take = (event, transfer) => {
    const file = pictureIn(transfer);
    if (!file) return;
    event.preventDefault();
    open(file);
  };
  useDocument("dragenter", (event) => hasFile(event) && entered(1));
  useDocument("dragleave", (event) => hasFile(event) && entered(-1));
  useDocument("dragover", (event) => hasFile(event) && event.preventDefault());
  useDocument("drop", (event) => {
    if (!hasFile(event)) return;
    entered(-depth.current);
    take(event, event.dataTransfer);
  });
  useDocument("paste", (event) => take(event, event.clipboardData));
  return over;
}

function Empty({ sizing }) {
  return html`
    <div class="empty">
      <div class="frame"><${Icon} name="upload" /></div>
      <h1>Drop a picture here</h1>
      <p>or paste it, or choose one from this device.</p>
      <div class="row">
        <${Choose} open=${sizing.open} label="Choose a picture" kind="strong" />
        <button class="button" type="button" onClick=${sizing.sample}>
          <img src=${SAMPLE} alt="" />Try the sample</button>
      </div>
    </div>
  `;
}

function Filled({ sizing, work, chosen, choose }) {
  const { picture, size } = sizing;
  const { result, job } = work;
  const { width, height } = size ?? picture;
  const whole = size?.side ? ` of ${count(picture.width)} × ${count(picture.height)}` : "";
  return html`
    <div class="canvas">
      ${result ? html`<${ResultPicture} result=${result} chosen=${chosen} />` : html`<${Plain} picture=${picture} />`}
      ${job && html`<${Progress} job=${job} stop=${work.stop} />`}
    </div>
    ${result && html`<${ResultTools} result=${result} chosen=${chosen} choose=${choose} edit=${sizing.open} />`}
    <div class="caption row spread">
      <p class="what">
        <span class="file">${picture.name}</span>
        <span class="size">${count(width)} × ${count(height)}${whole}</span>
      </p>
      <div class="row">
        <${Choose} open=${sizing.open} label="Another picture" kind="small" />
        <button class="button small" type="button" onClick=${sizing.remove}>Remove</button>
      </div>
    </div>
  `;
}

function Plain({ picture }) {
  const url = useObjectUrl(picture.blob);
  return html`<div class="plain" style=${{ "--ratio": picture.width / picture.height }}>
    ${url && html`<img class="picture" src=${url} alt=${`Your picture, ${picture.name}`} />`}
  </div>`;
}

function Choose({ open, label, kind }) {
  const chosen = (event) => {
    const [file] = event.target.files;
    event.target.value = ""; // so that the same file can be chosen again
    if (file) open(file);
  };
  return html`<label class=${`button ${kind} choose`}>
    <input type="file" accept=${ACCEPTED} onChange=${chosen} />${label}
  </label>`;
}
