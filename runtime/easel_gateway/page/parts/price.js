import { html } from "../lib/html.js";
import { exactPrice, plainMoney } from "../lib/money.js";
import { count } from "../lib/words.js";

/** What the request will cost: rounded for people, and exactly. */
export function Price({ quote, picture }) {
  const { value, problem } = quote;
  let head = "–";
  let rest = picture ? "Asking for the price" : "The price is known once there is a picture.";
  if (problem) rest = problem.said || problem.title;
  if (value) {
    head = plainMoney(value.amount, value.currency);
    const sum = `${count(value.pixels)} pixels at ${exactPrice(value.price)}`;
    const exact = `${value.amount} ${value.currency}`;
    rest = html`Exactly <span class="exact" data-testid="exact-price">${exact}</span>, for ${sum}`;
  }
  return html`
    <div class="quote" data-problem=${Boolean(problem)}>
      <p class="row spread"><span class="label">Price</span> <span class="amount" aria-live="polite">${head}</span></p>
      <p class="help">${rest}</p>
    </div>
  `;
}
