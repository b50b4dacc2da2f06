// State that several parts of the page share.
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "./html.js";
import * as api from "./api.js";

/** An address for `blob` as long as it is shown. */
export function useObjectUrl(blob) {
  const [url, setUrl] = useState(null);
  useLayoutEffect(() => {
    if (!blob) return setUrl(null);
    const made = URL.createObjectURL(blob);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [blob]);
  return url;
}

/** What `ask` (signal => promise) says, every `milliseconds` while the page is seen: {value, problem, at, again}. */
export function usePolled(ask, milliseconds) {
  const [state, setState] = useState({ value: null, problem: null, at: 0 });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const leaving = new AbortController();
    let timer = 0;
    const look = async () => {
      clearTimeout(timer);
      if (document.hidden) return;
      try {
        const value = await ask(leaving.signal);
        setState({ value, problem: null, at: Date.now() });
      } catch (problem) {
        if (leaving.signal.aborted) return;
        setState((last) => ({ ...last, problem }));
      }
      timer = setTimeout(look, milliseconds);
    };
    const seen = () => !document.hidden && look();
    document.addEventListener("visibilitychange", seen);
    look();
    return () => {
      leaving.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [ask, milliseconds, turn]);
  return { ...state, again: useCallback(() => setTurn((last) => last + 1), []) };
}

const TYPING = 150;
const EARLY = 5000;

/** The quote for what is about to be sent, asked for anew before it expires: {value, problem, again}. */
export function useQuote(modelId, generation, pixels, images) {
  const [state, setState] = useState({ value: null, problem: null });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    if (!modelId || !pixels) return setState({ value: null, problem: null });
    const leaving = new AbortController();
    let timer = setTimeout(look, TYPING);
    async function look() {
      try {
        const value = await api.quote({ model_id: modelId, pixels, images }, leaving.signal);
        setState({ value, problem: null });
        timer = setTimeout(look, Math.max(EARLY, Date.parse(value.valid_until) - Date.now() - EARLY));
      } catch (problem) {
        if (leaving.signal.aborted) return;
        setState({ value: null, problem });
        timer = setTimeout(look, EARLY);
      }
    }
    return () => {
      leaving.abort();
      clearTimeout(timer);
    };
  }, [modelId, generation, pixels, images, turn]);
  return { ...state, again: useCallback(() => setTurn((last) => last + 1), []) };
}

/** The time now, every `milliseconds` while `running`. */
export function useNow(running, milliseconds = 250) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (!running) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), milliseconds);
    return () => clearInterval(timer);
  }, [running, milliseconds]);
  return now;
}

/** `listener` for an event of the whole document, always the newest one. */
export function useDocument(name, listener) {
  const newest = useRef(listener);
  newest.current = listener;
  useEffect(() => {
    const heard = (event) => newest.current(event);
    document.addEventListener(name, heard);
    return () => document.removeEventListener(name, heard);
  }, [name]);
}
