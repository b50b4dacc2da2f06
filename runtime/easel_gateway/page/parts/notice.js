import { html } from "../lib/html.js";
import { Icon } from "./icons.js";

/** A problem in plain words, what to do, and what the gateway said. */
export function Notice({ problem, children }) {
  return html`
    <div class="notice" role="alert">
      <${Icon} name="warning" />
      <div>
        <p class="title">${problem.title}</p>
        ${problem.advice && html`<p>${problem.advice}</p>`}
        ${problem.said && html`<p class="said">${problem.said}</p>`}
        ${children}
      </div>
    </div>
  `;
}
