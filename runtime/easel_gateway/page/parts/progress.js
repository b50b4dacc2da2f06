import { html } from "../lib/html.js";
import { useNow } from "../lib/hooks.js";
import { plural, seconds } from "../lib/words.js";

/** What happens, without numbers that change all the time: it is read aloud. */
function phase(job) {
  switch (job.phase) {
    case "queued":
      return job.ahead ? `${plural(job.ahead, "request")} before yours` : "Your request is next";
    case "waking":
    case "starting":
      return "The model is starting";
    case "painting":
      return "Painting";
    default:
      return "Waiting for the result";
  }
}

/** The numbers, and what a start waits for. */
function detail(job, now) {
  if (job.phase === "painting") {
    const which = job.images > 1 ? `picture ${job.image} of ${job.images}, ` : "";
    return `${which}step ${job.step} of ${job.steps}`;
  }
  if (job.phase !== "starting") return "";
  const rest = job.total - passed(job, now);
  return [rest >= 1 ? `about ${seconds(Math.round(rest))} left` : "", job.reason].filter(Boolean).join(", ");
}

const passed = (job, now) => (now - job.started) / 1000;

/** The share that is done; null: nobody knows. */
function share(job, now) {
  if (job.phase === "painting") return job.done;
  const known = job.phase === "starting" && job.total > passed(job, now);
  return known ? passed(job, now) / job.total : null;
}

export function Progress({ job, stop }) {
  const now = useNow(true);
  const done = share(job, now);
  const percent = done === null ? null : Math.round(Math.max(0, done) * 100);
  const more = detail(job, now);
  return html`
    <div class="progress">
      <div class="row spread">
        <p class="phase"><span role="status">${phase(job)}</span> <span class="detail">${more}</span></p>
        <p class="clock">${seconds(Math.max(0, Math.floor((now - job.begun) / 1000)))}</p>
      </div>
      <div class="bar" role="progressbar" aria-label="Progress" aria-valuemin="0" aria-valuemax="100"
        aria-valuenow=${percent} aria-valuetext=${more || phase(job)} data-known=${percent !== null}
        style=${{ "--done": `${percent ?? 0}%` }}></div>
      <button class="button small" type="button" onClick=${stop}>Stop</button>
    </div>
  `;
}
