import { html } from "../lib/html.js";
import { checkIsOptional, numbers, takesNegative } from "../lib/controls.js";
import { count } from "../lib/words.js";
import { NumberField } from "./number.js";

const MOST_SEED = 4294967295;

/** Everything that has a default: what the model uses, and no more. */
export function Settings({ studio }) {
  const { model, sizing, asked, work, chosen } = studio;
  const { settings, change } = asked;
  const lastSeed = work.result?.images[chosen]?.seed;
  return html`
    <details class="settings">
      <summary>Settings</summary>
      <div class="fields">
        <${Images} most=${model.max_images} settings=${settings} change=${change} />
        <${Numbers} model=${model} settings=${settings} change=${change} />
        ${takesNegative(model) && html`<${Negative} settings=${settings} change=${change} />`}
        ${sizing.sizes.length > 1 && html`<${Size} sizing=${sizing} />`}
        <${Seed} settings=${settings} change=${change} last=${lastSeed} />
        <${MaxPrice} currency=${model.price.currency} settings=${settings} change=${change} />
        ${checkIsOptional(model) && html`<${Check} settings=${settings} change=${change} />`}
      </div>
    </details>
  `;
}

function Images({ most, settings, change }) {
  if (most < 2) return null;
  const set = (images) => change({ images: Math.min(most, Math.max(1, Math.round(images ?? 1))) });
  const bounds = { least: 1, most, top: most, step: 1, preset: 1 };
  return html`<${NumberField} label="Images" help="Each has its own seed, and its own price." ...${bounds}
    value=${settings.images === 1 ? undefined : settings.images} change=${set} />`;
}

function Numbers({ model, settings, change }) {
  return numbers(model).map((number) => {
    const set = (value) => change({ values: { ...settings.values, [number.name]: value } });
    return html`<${NumberField} key=${number.name} ...${number} value=${settings.values[number.name]} change=${set} />`;
  });
}

function Negative({ settings, change }) {
  return html`<div class="field">
    <label for="negative">Not wanted</label>
    <input id="negative" type="text" value=${settings.negative} placeholder="blurry, text"
      onInput=${(event) => change({ negative: event.target.value })} />
  </div>`;
}

function Size({ sizing }) {
  const { sizes, size, resize } = sizing;
  const option = ({ side, width, height }) => html`<option key=${side} value=${side} selected=${side === size.side}>
    ${count(width)} × ${count(height)}${side ? "" : ", as it is"}</option>`;
  return html`<div class="field">
    <label for="size">Size that is sent</label>
    <select id="size" value=${size.side} onChange=${(event) => resize(Number(event.target.value))}>
      ${sizes.map(option)}
    </select>
  </div>`;
}

function Seed({ settings, change, last }) {
  const repeat = html`<button class="button small" type="button" onClick=${() => change({ seed: String(last) })}>
    Use the last</button>`;
  return html`<div class="field">
    <label for="seed">Seed</label>
    <div class="joined">
      <input id="seed" type="text" inputmode="numeric" autocomplete="off" value=${settings.seed} placeholder="random"
        aria-describedby="seed-help" onInput=${(event) => change({ seed: seedOf(event.target.value) })} />
      ${last !== undefined && repeat}
    </div>
    <p class="help" id="seed-help">The same seed and settings paint the same result.</p>
  </div>`;
}

function seedOf(text) {
  const digits = text.replace(/\D/g, "").slice(0, 10);
  return digits && Number(digits) > MOST_SEED ? String(MOST_SEED) : digits;
}

function MaxPrice({ currency, settings, change }) {
  return html`<div class="field">
    <label for="max-price">The most you pay</label>
    <input id="max-price" type="text" autocomplete="off" spellcheck="false" value=${settings.maxPrice}
      placeholder=${`no limit, or such as 0.02 ${currency}`} aria-describedby="max-price-help"
      onInput=${(event) => change({ maxPrice: event.target.value })} />
    <p class="help" id="max-price-help">For one request. Above it nothing is painted, and nothing paid.</p>
  </div>`;
}

function Check({ settings, change }) {
  return html`<label class="toggle">
    <input type="checkbox" role="switch" checked=${settings.safetyCheck}
      onChange=${(event) => change({ safetyCheck: event.target.checked })} />
    <span>Check that results are safe for work</span>
  </label>`;
}
