import { html, useEffect } from "../lib/html.js";
import * as api from "../lib/api.js";
import { useNow, usePolled } from "../lib/hooks.js";
import { added, exactPrice, plainMoney, plainPrice } from "../lib/money.js";
import { ago, bytes, compact, count, plural } from "../lib/words.js";
import { MEGAPIXEL, ModelName, State } from "./models.js";
import { Notice } from "./notice.js";

const LOOK = 2000;
const MOST_DECISIONS = 12;
const COLUMNS = ["Model", "State", "Replicas", "In flight", "Held", "Price", "Pixels today", "Money today"];

/** What whoever runs Easel wants to see at a glance, as of two seconds ago at most. */
export function Operate({ askKey }) {
  const { value, problem, at, again } = usePolled(api.status, LOOK);
  const now = useNow(true, 1000);
  const unknown = problem?.status === 401;
  const enter = async (why) => (await askKey(why)) && again();
  useEffect(() => void (unknown && enter("This view wants a key.")), [unknown]);
  const models = value?.models ?? [];
  const seen = problem && at ? `Last seen ${ago(at, now)}` : at ? "Live" : "Asking…";
  const another = html`<button class="button small" type="button" onClick=${() => enter()}>Enter a key</button>`;
  return html`
    <div class="operate">
      <div class="row spread wrap heading">
        <h1>Models</h1>
        <p class="live" data-stale=${Boolean(problem)}>${seen}</p>
      </div>
      ${problem && html`<${Notice} problem=${problem}>${[401, 403].includes(problem.status) && another}<//>`}
      ${value && html`<${Totals} status=${value} />`}
      ${value && !models.length && html`<p class="panel help">There is no model yet.</p>`}
      ${models.length > 0 && html`<${Table} models=${models} />`}
      ${value && html`<${Decisions} models=${models} now=${now} />`}
    </div>
  `;
}

function Totals({ status }) {
  const { models } = status;
  const held = status.held_bytes ? html`<small> ${bytes(status.held_bytes)}</small>` : "";
  const sum = (of) => models.reduce((total, model) => total + (of(model) ?? 0), 0);
  const ready = models.filter(({ state }) => state === "ready").length;
  const failed = models.filter(({ state }) => state === "failed").length;
  const pixels = sum(({ today }) => today?.pixels);
  const amounts = models.flatMap(({ today }) => today?.amounts ?? []);
  return html`
    <dl class="totals">
      <div><dt>Ready</dt><dd>${ready}<small> of ${models.length}</small></dd></div>
      <div data-bad=${failed > 0}><dt>Cannot start</dt><dd>${failed}</dd></div>
      <div><dt>Replicas</dt><dd>${count(sum((model) => model.ready_replicas))}</dd></div>
      <div><dt>In flight</dt><dd>${count(sum((model) => model.in_flight))}</dd></div>
      <div><dt>Held</dt><dd>${count(status.held_requests ?? 0)}${held}</dd></div>
      <div><dt>Pixels today</dt><dd title=${count(pixels)}>${compact(pixels)}</dd></div>
      <div><dt>Money today</dt><dd><${Money} amounts=${added(amounts)} /></dd></div>
    </dl>
  `;
}

function Table({ models }) {
  return html`
    <div class="table" role="region" aria-label="Every model" tabindex="0">
      <table>
        <thead><tr>${COLUMNS.map((name) => html`<th key=${name} scope="col">${name}</th>`)}</tr></thead>
        <tbody>${models.map((model) => html`<${Row} key=${model.id} model=${model} />`)}</tbody>
      </table>
    </div>
  `;
}

const given = (number) => (typeof number === "number" ? count(number) : "–");

function Row({ model }) {
  const { price, today } = model;
  const held = model.held_requests ? bytes(model.held_bytes) : null;
  return html`<tr>
    <th scope="row"><${ModelName} id=${model.id} /></th>
    <td data-name="State">
      <${State} model=${{ ...model, ready_replicas: 1 }} />
      ${model.reason && html`<p class="reason">${model.reason}</p>`}
    </td>
    <td data-name="Replicas">${count(model.ready_replicas)}</td>
    <td data-name="In flight">${given(model.in_flight)}</td>
    <td data-name="Held" title=${held}>${given(model.held_requests)}</td>
    <td data-name="Price" title=${exactPrice(price)}>
      <span>${plainPrice(price, MEGAPIXEL)}<span class="unit"> / MP</span></span>
    </td>
    <td data-name="Pixels today" title=${today && count(today.pixels)}>${today ? compact(today.pixels) : "–"}</td>
    <td data-name="Money today">${today ? html`<${Money} amounts=${today.amounts} />` : "–"}</td>
  </tr>`;
}

function Money({ amounts }) {
  if (!amounts.length) return "0";
  return amounts.map(({ amount, currency }) => html`<span key=${currency} title=${`${amount} ${currency}`}>
    ${plainMoney(amount, currency)}</span>`);
}

function Decisions({ models, now }) {
  const all = models.flatMap(({ id, scale_decisions: made = [] }) => made.map((each) => ({ ...each, id })));
  all.sort((one, other) => Date.parse(other.time) - Date.parse(one.time));
  const shown = all.slice(0, MOST_DECISIONS);
  return html`
    <section class="panel decisions" aria-labelledby="decisions-title">
      <h2 id="decisions-title">Scaling</h2>
      ${!shown.length && html`<p class="help">Nothing was scaled yet.</p>`}
      <ol>${shown.map((each) => html`<${Decision} key=${each.id + each.time} decision=${each} now=${now} />`)}</ol>
    </section>
  `;
}

function Decision({ decision, now }) {
  const { id, time, replicas, reason } = decision;
  return html`<li>
    <time datetime=${time} title=${new Date(time).toLocaleString("en")}>${ago(Date.parse(time), now)}</time>
    <p><${ModelName} id=${id} /> <span class="change">→ ${plural(replicas, "replica")}</span>
      <span class="reason">${reason}</span></p>
  </li>`;
}
