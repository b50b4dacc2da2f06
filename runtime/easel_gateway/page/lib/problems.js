// What went wrong in plain words, and what to do about it.

/** An answer that is no picture. `status`: HTTP's, or 0 if there was no answer at all. */
export class Problem extends Error {
  constructor({ status = 0, title, advice = "", said = "", retryAfter = null, detail = null }) {
    super(title);
    Object.assign(this, { status, title, advice, said, retryAfter, detail });
  }
}

/** The words of FastAPI's list, or of our `msg`. */
export function wordsOf(detail) {
  if (Array.isArray(detail)) return detail.map(field).join("; ");
  if (detail && typeof detail === "object") return detail.msg ?? "";
  return typeof detail === "string" ? detail : "";
}

function field(problem) {
  const name = (problem.loc ?? []).filter((part) => part !== "body").join(".");
  return name ? `${name}: ${problem.msg}` : problem.msg;
}

const SAID = {
  400: ["The picture or the request cannot be read", "Try another picture, or save it anew as PNG or JPEG."],
  401: ["A key is needed", "Enter the key that you were given, and press again."],
  402: ["The price is above what may be paid", "Raise the most you pay, or choose a smaller size."],
  403: ["This key may not do that", "Choose another model or a smaller picture, or ask for another key."],
  404: ["This is no longer there", "Choose another model, or make the picture again."],
  409: ["The same request is being worked on already", "Wait a moment and try again."],
  413: ["The picture is too large to be sent", "Choose a smaller size under Settings."],
  422: ["Something in the request does not fit", "Change what is named here."],
  429: ["Too many requests are waiting", "Wait a moment and try again."],
  500: ["The model failed at this picture", "Try a smaller size, or other settings."],
  502: ["The model went away while it worked", "Nothing was charged. Try again."],
  503: ["The model cannot be used at present", "Try again later, or choose another model."],
  504: ["It took too long", "Try a smaller size or fewer steps."],
};

/** The problem of an answer's `status` and `detail`. */
export function problem(status, detail, retryAfter = null) {
  const [title, advice] = SAID[status] ?? [`The gateway answered ${status}`, "Try again."];
  const said = wordsOf(detail);
  const wait = Number(retryAfter) || null;
  const advised = wait && [429, 503, 409].includes(status) ? `Try again in ${wait} s.` : advice;
  if (status === 402 && /quote/.test(said)) {
    return new Problem({ status, title: "The price has changed", advice: "Look at it and press again.", said, detail });
  }
  return new Problem({ status, title, advice: advised, said, retryAfter: wait, detail });
}

/** No answer came. */
export function unreachable() {
  return new Problem({
    title: "The gateway cannot be reached",
    advice: "See if you are connected, and try again.",
  });
}
