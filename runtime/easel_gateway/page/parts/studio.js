import { html } from "../lib/html.js";
import { useStudio } from "../lib/editing.js";
import { Code } from "./code.js";
import { Form } from "./form.js";
import { Notice } from "./notice.js";
import { Past } from "./past.js";
import { Facts } from "./result.js";
import { Stage } from "./stage.js";

export function Studio({ askKey }) {
  const studio = useStudio(askKey);
  const { catalogue, model, sizing, asked, work, past, chosen } = studio;
  const { result, problem } = work;
  const show = async (edit) => {
    await studio.showAgain(edit);
    scrollTo({ top: 0, behavior: "smooth" });
  };
  return html`
    <div class="studio">
      <div class="left">
        ${problem && html`<${Trouble} problem=${problem} askKey=${askKey} />`}
        <${Stage} sizing=${sizing} work=${work} chosen=${chosen} choose=${studio.setChosen} />
        ${result && html`<${Facts} result=${result} image=${result.images[chosen]} />`}
        <p class="unseen" role="status">${result ? "The result is there." : ""}</p>
      </div>
      <div class="right">
        ${model ? html`<${Form} studio=${studio} />` : html`<${Nothing} catalogue=${catalogue} />`}
      </div>
      <div class="below">
        ${model && html`<${Code} fields=${asked.fields} file=${sizing.picture?.name} maxPrice=${asked.maxPrice} />`}
        <${Past} edits=${past.edits} show=${show} forget=${past.forget} clear=${past.clear} />
      </div>
    </div>
  `;
}

function Trouble({ problem, askKey }) {
  const enter = () => askKey();
  return html`<${Notice} problem=${problem}>
    ${problem.status === 401 && html`<button class="button small" type="button" onClick=${enter}>Enter a key</button>`}
  <//>`;
}

function Nothing({ catalogue }) {
  if (catalogue.problem) return html`<${Notice} problem=${catalogue.problem} />`;
  if (!catalogue.value) return html`<p class="help" role="status">Asking which models there are…</p>`;
  return html`<div class="panel">
    <h2>There is no model yet</h2>
    <p class="help">It appears here as soon as the gateway knows an ImageModel.</p>
  </div>`;
}
