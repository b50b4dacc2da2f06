import { html } from "../lib/html.js";
import { plainPrice } from "../lib/money.js";
import { plural, seconds } from "../lib/words.js";

export const MEGAPIXEL = 1_000_000;

/** A model's state in words. */
export function stateWords(model) {
  switch (model.state) {
    case "ready":
      return model.ready_replicas > 1 ? `Ready, ${plural(model.ready_replicas, "replica")}` : "Ready";
    case "cold":
      return model.start_seconds
        ? `Asleep, wakes in about ${seconds(model.start_seconds)}`
        : "Asleep, wakes when asked";
    case "starting":
      return model.start_seconds ? `Starting, about ${seconds(model.start_seconds)}` : "Starting";
    case "failed":
      return "Cannot start";
    case "paused":
      return "Paused";
    default:
      return model.state;
  }
}

export function State({ model }) {
  return html`<span class="state" data-state=${model.state}>${stateWords(model)}</span>`;
}

export function ModelName({ id }) {
  const cut = id.lastIndexOf("/") + 1;
  return html`<span class="model-name"><span class="owner">${id.slice(0, cut)}</span>${id.slice(cut)}</span>`;
}

/** The models to choose from; with a single one, that one. */
export function Models({ models, chosen, choose }) {
  return html`
    <fieldset class="models">
      <legend>Model</legend>
      <div class="list">
        ${models.map(
          (model) => html`
          <label class="model" key=${model.id} data-chosen=${model.id === chosen}>
            <input type="radio" name="model" value=${model.id} checked=${model.id === chosen}
              onChange=${() => choose(model.id)} />
            <${ModelName} id=${model.id} />
            <span class="price">${plainPrice(model.price, MEGAPIXEL)}<span class="unit"> / megapixel</span></span>
            <${State} model=${model} />
            ${model.reason && html`<span class="reason">${model.reason}</span>`}
          </label>`,
        )}
      </div>
    </fieldset>
  `;
}
