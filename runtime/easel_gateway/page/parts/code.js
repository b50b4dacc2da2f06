import { html, useEffect, useId, useState } from "../lib/html.js";
import { curl, livepeer, requests } from "../lib/snippets.js";
import { Icon } from "./icons.js";

const KINDS = [
  { name: "curl", text: curl },
  { name: "Python", text: requests },
  { name: "livepeer-ai", text: livepeer },
];

/** The request as code, to be copied. */
export function Code({ fields, file = "picture.png", maxPrice }) {
  const [kind, setKind] = useState(0);
  const [copied, setCopied] = useState("");
  const id = useId();
  const text = KINDS[kind].text(fields, file, maxPrice);
  useEffect(() => setCopied(""), [text]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setCopied("Copied");
    } catch {
      setCopied("Select the text and copy it: this browser does not let pages do so");
    }
  };
  const keys = (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const next = (kind + by + KINDS.length) % KINDS.length;
    setKind(next);
    document.getElementById(`${id}-${next}`).focus();
  };
  return html`
    <section class="panel code" aria-labelledby=${`${id}-title`}>
      <div class="row spread wrap">
        <h2 id=${`${id}-title`}>The same by code</h2>
        <div class="tabs" role="tablist" aria-label="Language" onKeyDown=${keys}>
          ${KINDS.map(
            ({ name }, place) => html`<button key=${name} id=${`${id}-${place}`} type="button" role="tab"
            aria-selected=${place === kind} aria-controls=${`${id}-text`} tabindex=${place === kind ? 0 : -1}
            onClick=${() => setKind(place)}>${name}</button>`,
          )}
        </div>
      </div>
      <div class="sheet" id=${`${id}-text`} role="tabpanel" aria-labelledby=${`${id}-${kind}`}>
        <pre tabindex="0" aria-label=${`The request, ${KINDS[kind].name}`}><code>${text}</code></pre>
        <button class="button small" type="button" onClick=${copy}>
          <${Icon} name=${copied === "Copied" ? "check" : "copy"} />Copy
        </button>
      </div>
      <p class="said" role="status">${copied}</p>
    </section>
  `;
}
