// Numbers as people read them.

const grouped = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const count = (number) => grouped.format(number);
export const compact = (number) => short.format(number);
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/** Seconds: "0.8 s", "12 s", "2 min 5 s", "1 h 3 min". */
export function seconds(number) {
  if (number < 9.95) return `${Number(number.toFixed(1))} s`;
  const whole = Math.round(number);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return whole % 60 ? `${minutes} min ${whole % 60} s` : `${minutes} min`;
  return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
}

export function ago(moment, now = Date.now()) {
  const passed = Math.max(0, (now - moment) / 1000);
  if (passed < 5) return "just now";
  if (passed < 60) return `${Math.floor(passed)} s ago`;
  if (passed < 3600) return `${Math.floor(passed / 60)} min ago`;
  if (passed < 86400) return `${Math.floor(passed / 3600)} h ago`;
  return new Date(moment).toLocaleDateString("en", { day: "numeric", month: "short" });
}

export function bytes(number) {
  if (number < 1000) return plural(number, "byte");
  return number < 1e6 ? `${Math.round(number / 1000)} kB` : `${(number / 1e6).toFixed(1)} MB`;
}
