import { html, useState } from "../lib/html.js";
import { Icon } from "./icons.js";

/** Two pictures of one size on each other, and a slider (keys, too) that says how much is seen of each. */
export function Compare({ before, after, width, height, alt }) {
  const [share, setShare] = useState(50);
  const style = { "--share": `${share}%`, "--ratio": width / height };
  return html`
    <div class="compare" style=${style}>
      <img class="picture" src=${after} alt=${alt} width=${width} height=${height} draggable=${false} />
      <img class="picture before" src=${before} alt="" width=${width} height=${height} draggable=${false} />
      <span class="tag left" aria-hidden="true" data-faint=${share < 12}>Before</span>
      <span class="tag right" aria-hidden="true" data-faint=${share > 88}>After</span>
      <input type="range" min="0" max="100" step="1" value=${share} aria-label="Before and after"
        aria-valuetext=${`${share} percent before, ${100 - share} percent after`}
        onInput=${(event) => setShare(Number(event.target.value))} />
      <span class="handle" aria-hidden="true"><span class="grip"><${Icon} name="edges" /></span></span>
    </div>
  `;
}
