// Money without floats: amounts come as exact decimals, and are rounded only where a person reads them.

const DIGITS = 3;

/** A decimal such as "1.9073484e-08" as {digits, scale}: digits / 10^scale. */
function decimal(text) {
  const [, whole, part = "", power = "0"] = /^(\d+)(?:\.(\d+))?(?:[eE]([-+]?\d+))?$/.exec(text);
  const scale = part.length - Number(power);
  const digits = BigInt(whole + part);
  return scale < 0 ? { digits: digits * 10n ** BigInt(-scale), scale: 0 } : { digits, scale };
}

/** `text` in words for people: "0.00125 USD". Two places at least, three digits that count where it is less than 1. */
export function plainMoney(text, currency) {
  const amount = decimal(text);
  const { digits, scale } = amount;
  if (digits === 0n) return `0 ${currency}`;
  const zeros = Math.max(0, scale - String(digits).length);
  const places = scale < String(digits).length ? 2 : zeros + DIGITS;
  const rounded = round(amount, places);
  return `${trimmed(rounded, places)} ${currency}`;
}

/** What `pixels` (a whole number) cost at a price {amount, currency, per_pixels}, in words for people. */
export function plainPrice(price, pixels) {
  const { digits, scale } = decimal(price.amount);
  const times = digits * BigInt(pixels) * 10n ** 20n;
  return plainMoney(spelled(times / BigInt(price.per_pixels), scale + 20), price.currency);
}

/** A price as the server writes it: "1.9073484e-08 USD per pixel". */
export function exactPrice(price) {
  return `${price.amount} ${price.currency} per ${price.per_pixels === 1 ? "pixel" : `${price.per_pixels} pixels`}`;
}

/** Sums of {amount, currency}, one for each currency; exact. */
export function added(amounts) {
  const sums = new Map();
  for (const { amount, currency } of amounts) {
    const one = decimal(amount);
    const other = sums.get(currency) ?? { digits: 0n, scale: 0 };
    const scale = Math.max(one.scale, other.scale);
    const digits = raised(one, scale) + raised(other, scale);
    sums.set(currency, { digits, scale });
  }
  return [...sums].map(([currency, { digits, scale }]) => ({ amount: spelled(digits, scale), currency }));
}

const raised = ({ digits, scale }, wanted) => digits * 10n ** BigInt(wanted - scale);

function round({ digits, scale }, places) {
  if (scale <= places) return digits * 10n ** BigInt(places - scale);
  const unit = 10n ** BigInt(scale - places);
  return (digits + unit / 2n) / unit;
}

function spelled(digits, scale) {
  const text = String(digits).padStart(scale + 1, "0");
  return scale ? `${text.slice(0, -scale)}.${text.slice(-scale)}` : text;
}

function trimmed(digits, places) {
  const [whole, part = ""] = spelled(digits, places).split(".");
  return `${whole}.${part.replace(/0+$/, "").padEnd(2, "0")}`;
}
