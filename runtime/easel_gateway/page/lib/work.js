// One edit from the press of the button to its pictures, as a state that the page shows.
import { useCallback, useRef, useState } from "./html.js";
import * as api from "./api.js";
import { keyFor } from "./once.js";
import { resized } from "./pictures.js";
import { Problem } from "./problems.js";

const SENDING = { phase: "sending", done: null };

/** The state after an event. `done`: the share of the steps that is over, null where it is not known. */
export function after(state, event, data, now) {
  switch (event) {
    case "accepted":
      return { ...state, phase: data.state === "ready" ? "accepted" : "waking" };
    case "queued":
      return { ...state, phase: "queued", ahead: data.ahead ?? 0 };
    case "starting":
      return { ...state, phase: "starting", reason: data.reason, ...forecast(state, data.seconds, now) };
    case "step": {
      const { image = 1, images = 1, step, steps } = data;
      const done = Math.min(1, ((image - 1) * steps + step) / (images * steps));
      return { ...state, phase: "painting", image, images, step, steps, done: Math.max(done, state.done ?? 0) };
    }
    default:
      return state;
  }
}

/** When the start began, and how many seconds it takes in all, as far as is known: `rest` is what is left of it. */
function forecast({ phase, started, total = null }, rest, now) {
  const since = phase === "starting" ? started : now;
  return { started: since, total: typeof rest === "number" ? (now - since) / 1000 + rest : total };
}

/** {job, result, problem, run, stop, show, fail}; `run` returns the result, or the problem that it is about a key. */
export function useWork() {
  const [job, setJob] = useState(null);
  const [outcome, setOutcome] = useState({ result: null, problem: null });
  const leaving = useRef(null);
  const lost = useRef(null); // the order whose answer did not come, and its key

  const run = useCallback(async (order) => {
    leaving.current?.abort();
    const own = (leaving.current = new AbortController());
    const begun = Date.now();
    const key = keyFor(order, lost.current);
    lost.current = null;
    setOutcome({ result: null, problem: null });
    setJob({ ...SENDING, begun });
    try {
      const tell = (event, data) => setJob((state) => state && after(state, event, data, Date.now()));
      const result = { ...(await made(order, key, own.signal, tell)), seconds: (Date.now() - begun) / 1000 };
      setOutcome({ result, problem: null });
      return result;
    } catch (error) {
      if (own.signal.aborted) return null;
      const problem =
        error instanceof Problem ? error : new Problem({ title: "Something went wrong", said: String(error) });
      if (!problem.status) lost.current = { order, key };
      setOutcome({ result: null, problem });
      return problem.status === 401 ? problem : null;
    } finally {
      if (leaving.current === own) setJob(null);
    }
  }, []);

  const stop = useCallback(() => {
    leaving.current?.abort();
    setJob(null);
  }, []);
  const show = useCallback((result) => setOutcome({ result, problem: null }), []);
  const fail = useCallback((problem) => setOutcome((last) => ({ ...last, problem })), []);
  return { job, ...outcome, run, stop, show, fail };
}

async function made(order, key, signal, tell) {
  const before = await resized(order.picture, order.size);
  const form = new FormData();
  for (const [name, value] of order.fields) form.append(name, value);
  form.append("image", before, order.picture.name); // last, so that all else is known while it arrives
  const headers = { ...order.headers, "Idempotency-Key": key };
  for await (const { event, data } of api.edit(form, headers, signal)) {
    if (event !== "result") {
      tell(event, data);
      continue;
    }
    const blobs = await Promise.all(data.images.map((image) => api.image(image, signal)));
    const images = data.images.map(({ seed, nsfw }, place) => ({ blob: blobs[place], seed, nsfw }));
    return { images, before, facts: data.easel ?? {}, ...order.about };
  }
  throw new Problem({ title: "The gateway gave no picture", advice: "Try again." });
}
