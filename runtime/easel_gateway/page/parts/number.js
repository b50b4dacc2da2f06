import { html, useId } from "../lib/html.js";

/** A slider with a field beside it. `value` undefined: the preset applies, which may be the model's own (null). */
export function NumberField({ label, help, step, least, most, top, preset, value, change }) {
  const id = useId();
  const shown = value ?? preset;
  const typed = (event) => {
    const number = Number.parseFloat(event.target.value);
    change(Number.isNaN(number) ? undefined : Math.min(most, Math.max(least, number)));
  };
  const reset = html`<button class="link" type="button" aria-label=${`Reset ${label.toLowerCase()}`}
    onClick=${() => change(undefined)}>Reset</button>`;
  return html`
    <div class="number" data-touched=${value !== undefined}>
      <label for=${id}>${label}</label>
      <input class="digits" type="number" inputmode="decimal" aria-label=${`${label}, as a number`} min=${least}
        max=${most} step=${step < 1 ? "any" : step} value=${shown ?? ""} placeholder="auto" onChange=${typed} />
      <input id=${id} type="range" min=${least} max=${top} step=${step} value=${shown ?? least}
        aria-describedby=${`${id}-help`} aria-valuetext=${shown === null ? "the model's own" : null}
        onInput=${(event) => change(Number(event.target.value))} />
      <p class="help" id=${`${id}-help`}>${help} ${value !== undefined && reset}</p>
    </div>
  `;
}
