import { html, useRef } from "../lib/html.js";
import { suggestions } from "../lib/suggestions.js";
import { Icon } from "./icons.js";
import { Models } from "./models.js";
import { Price } from "./price.js";
import { Settings } from "./settings.js";

const MOST_PROMPT = 4000;
const HARD = ["failed", "paused"];

/** What speaks against pressing the button; empty: nothing. */
function obstacle(model, { picture, size }, prompt) {
  if (model.state === "failed") return `${model.id} cannot start: ${model.reason || "no reason is known"}`;
  if (model.state === "paused") return `${model.id} is paused.`;
  if (!picture) return "Choose a picture first.";
  if (!size) return "The picture is too large for this model.";
  return prompt.trim() ? "" : "Say what should change.";
}

/** Everything that is sent beside the picture, and the button that sends it. */
export function Form({ studio }) {
  const { models, model, choose, sizing, asked, quote, work } = studio;
  const busy = Boolean(work.job);
  const against = obstacle(model, sizing, asked.prompt);
  const submit = (event) => {
    event.preventDefault();
    if (!against && !busy) studio.run();
  };
  return html`
    <form class="form" onSubmit=${submit} aria-label="Edit" novalidate>
      <${Instruction} modelId=${model.id} asked=${asked} submit=${submit} />
      <${Models} models=${models} chosen=${model.id} choose=${choose} />
      <${Settings} studio=${studio} />
      <div class="submit">
        <${Price} quote=${quote} picture=${sizing.picture} />
        <button class="button strong large" type="submit" disabled=${busy} aria-disabled=${Boolean(against)}
          aria-describedby=${against ? "obstacle" : null}>${busy ? "Painting…" : "Edit the picture"}</button>
        ${against && html`<p class="obstacle" id="obstacle" data-hard=${HARD.includes(model.state)}>
          ${model.state === "failed" && html`<${Icon} name="warning" />`}<span>${against}</span></p>`}
      </div>
    </form>
  `;
}

function Instruction({ modelId, asked, submit }) {
  const words = useRef(null);
  const keys = (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event);
  };
  const suggest = (text) => {
    asked.say(text);
    words.current.focus({ preventScroll: true });
  };
  const said = asked.prompt.trim();
  const chip = (text) => html`<button class="chip" key=${text} type="button" aria-pressed=${said === text}
    onClick=${() => suggest(text)}>${text}</button>`;
  return html`
    <div class="instruction">
      <label for="prompt">Instruction</label>
      <textarea id="prompt" ref=${words} rows="2" maxlength=${MOST_PROMPT} value=${asked.prompt}
        placeholder="What should change?" onKeyDown=${keys}
        onInput=${(event) => asked.say(event.target.value)}></textarea>
      <div class="chips" role="group" aria-label="Suggestions">${suggestions(modelId).map(chip)}</div>
    </div>
  `;
}
