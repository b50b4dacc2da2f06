import { html, useEffect, useState } from "../lib/html.js";
import { useObjectUrl } from "../lib/hooks.js";
import { plainMoney } from "../lib/money.js";
import { save } from "../lib/pictures.js";
import { seconds } from "../lib/words.js";
import { Compare } from "./compare.js";
import { Icon } from "./icons.js";

/** The result on the picture that it was made of. */
export function ResultPicture({ result, chosen }) {
  const before = useObjectUrl(result.before);
  const after = useObjectUrl(result.images[chosen].blob);
  if (!before || !after) return null;
  const { width, height } = result;
  const alt = `Result: ${result.prompt}`;
  return html`<${Compare} before=${before} after=${after} width=${width} height=${height} alt=${alt} />`;
}

/** What can be done with it. */
export function ResultTools({ result, chosen, choose, edit }) {
  const image = result.images[chosen];
  const url = useObjectUrl(image.blob);
  const [copied, setCopied] = useState("");
  useEffect(() => setCopied(""), [image]);
  const copy = async () => {
    try {
      await navigator.clipboard.write([new ClipboardItem({ [image.blob.type]: image.blob })]);
      setCopied("Copied");
    } catch {
      setCopied("This browser does not let pages copy pictures");
    }
  };
  const file = `${result.name.replace(/\.[^.]*$/, "") || "picture"}-${image.seed}.png`;
  return html`
    <div class="result" role="group" aria-label="Result">
      ${result.images.length > 1 && html`<${Strip} images=${result.images} chosen=${chosen} choose=${choose} />`}
      <div class="row wrap">
        <button class="button strong" type="button" onClick=${() => save(url, file)}>
          <${Icon} name="download" />Download</button>
        <button class="button" type="button" onClick=${copy}><${Icon} name="copy" />Copy</button>
        <button class="button" type="button" onClick=${() => edit(image.blob, file)}>
          <${Icon} name="swap" />Go on with this</button>
        <span class="said" role="status">${copied}</span>
      </div>
    </div>
  `;
}

function Strip({ images, chosen, choose }) {
  return html`<div class="strip" role="group" aria-label="Images">
    ${images.map((image, place) => {
      const props = { image, label: `Image ${place + 1}`, current: place === chosen, choose: () => choose(place) };
      return html`<${Thumb} key=${place} ...${props} />`;
    })}
  </div>`;
}

function Thumb({ image, label, current, choose }) {
  const url = useObjectUrl(image.blob);
  return html`<button class="thumb" type="button" aria-pressed=${current} aria-label=${label} onClick=${choose}>
    ${url && html`<img src=${url} alt="" />`}
  </button>`;
}

/** What it was, what it cost, how long it took, and what the model made of the settings. */
export function Facts({ result, image }) {
  const { facts } = result;
  const [amount, currency = facts.currency ?? result.currency] = String(facts.amount ?? result.amount ?? "").split(" ");
  const waited = Number(facts.wait) >= 0.1 ? `, ${seconds(Number(facts.wait))} of it waiting` : "";
  const exact = html`<span class="exact" data-testid="exact-paid">${amount} ${currency}</span>`;
  return html`
    <dl class="facts">
      <${Fact} name="Instruction" value=${result.prompt} />
      <${Fact} name="Model" value=${result.model} />
      ${amount && html`<${Fact} name="Paid" value=${html`${plainMoney(amount, currency)} ${exact}`} />`}
      ${result.seconds && html`<${Fact} name="Time" value=${seconds(result.seconds) + waited} />`}
      <${Fact} name="Seed" value=${image.seed} kind="digits" />
      ${facts.charge && html`<${Fact} name="Charge" value=${facts.charge} kind="digits" />`}
      ${facts.adjusted && html`<${Fact} name="Moved into bounds" value=${listed(facts.adjusted)} />`}
      ${facts.ignored && html`<${Fact} name="Not used" value=${listed(facts.ignored)} />`}
      ${image.nsfw && html`<${Fact} name="Check" value="Perhaps not safe for work" kind="flagged" />`}
    </dl>
  `;
}

function Fact({ name, value, kind = null }) {
  return html`<div><dt>${name}</dt><dd class=${kind}>${value}</dd></div>`;
}

function listed(value) {
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return value.join(", ");
  return Object.entries(value).map(([name, number]) => `${name}=${number}`).join(", ");
}
