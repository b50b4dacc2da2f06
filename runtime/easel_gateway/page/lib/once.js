// The key of a request (Idempotency-Key): who asks again because the answer was lost gets that answer, and pays once.

/** A key that nobody else has. */
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The key for `order`: that of the one whose answer was lost, `{order, key}` or null, if it asks for the same. */
export function keyFor(order, lost) {
  return lost && isSame(order, lost.order) ? lost.key : newKey();
}

function isSame(one, other) {
  const said = ({ size, fields }) => JSON.stringify([size, fields]);
  return one.picture === other.picture && said(one) === said(other);
}
