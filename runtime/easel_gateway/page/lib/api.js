// The gateway's HTTP interface, as this page uses it.
import { events } from "./events.js";
import { key } from "./key.js";
import { problem, Problem, unreachable } from "./problems.js";

const at = (path) => new URL(path, document.baseURI);

async function ask(path, options = {}) {
  const headers = new Headers(options.headers);
  if (key()) headers.set("Authorization", `Bearer ${key()}`);
  let answer;
  try {
    answer = await fetch(at(path), { ...options, headers, credentials: "omit", redirect: "error" });
  } catch (error) {
    throw error.name === "AbortError" ? error : unreachable();
  }
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  throw problem(answer.status, said.detail, answer.headers.get("Retry-After"));
}

export async function models(signal) {
  return (await (await ask("models", { signal })).json()).models;
}

/** How every model is doing, for an operator. */
export async function status(signal) {
  try {
    return await (await ask("status", { signal })).json();
  } catch (error) {
    if (error.status !== 403) throw error;
    const advice = "Enter a key whose policy has admin.";
    throw new Problem({ status: 403, title: "This view is not for every key", advice, said: error.said });
  }
}

export async function quote(asked, signal) {
  const headers = { "Content-Type": "application/json" };
  return (await ask("quote", { method: "POST", headers, body: JSON.stringify(asked), signal })).json();
}

/** The events of one edit, the last of them `result`: {images, easel}; whatever else it comes to is thrown. */
export async function* edit(form, headers, signal) {
  const accepted = { Accept: "text/event-stream", ...headers };
  const answer = await ask("image-to-image", { method: "POST", body: form, headers: accepted, signal });
  let ended = false;
  try {
    for await (const { event, data } of events(answer.body)) {
      if (event === "error") throw problem(data.status, data.detail, data.retry_after);
      ended ||= event === "result";
      yield { event, data };
    }
  } catch (error) {
    throw error instanceof Problem || error.name === "AbortError" ? error : unreachable();
  }
  if (!ended && !signal?.aborted) throw unreachable();
}

/**
 * The file of one image of an answer.
 *
 * Its address may name another host: one that only others see, or a bucket. The gateway has it under the same last two
 * parts of the path, and this page asks nobody else.
 */
export async function image({ url, b64_json }, signal) {
  if (b64_json)
    return new Blob([Uint8Array.from(atob(b64_json), (letter) => letter.charCodeAt(0))], { type: "image/png" });
  const parts = new URL(url, document.baseURI).pathname.split("/").slice(-2);
  return (await ask(`stream/${parts.join("/")}`, { signal })).blob();
}
