// The caller's key: for this tab alone, never in an address.
const NAME = "easel-key";
let kept = "";

export function key() {
  try {
    return sessionStorage.getItem(NAME) ?? kept;
  } catch {
    return kept;
  }
}

export function keepKey(text) {
  kept = text;
  try {
    if (text) sessionStorage.setItem(NAME, text);
    else sessionStorage.removeItem(NAME);
  } catch {
    // Storage is switched off: it is known until the page is left.
  }
}
