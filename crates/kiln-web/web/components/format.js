// Numbers, sizes and times for people, as in the command's report pages.

const THIN = "\u202f";
const PREFIXES = ["", "k", "M", "G", "T"];

const isNumber = value => typeof value === "number" && Number.isFinite(value);

/** `4.2 M`, `1 368`; a dash for a missing number. */
export function count(value) {
  if (!isNumber(value)) return "–";
  if (Math.abs(value) < 10000) return Math.round(value).toLocaleString("en").replace(/,/g, THIN);
  const power = Math.min(4, Math.floor(Math.log10(Math.abs(value) * 1.0005) / 3));
  return `${+(value / 1000 ** power).toPrecision(3)}${THIN}${PREFIXES[power]}`;
}

/** Three significant digits. */
export function plain(value) {
  if (!isNumber(value)) return "–";
  if (value !== 0 && Math.abs(value) < 1e-3) return value.toExponential(1);
  return Math.abs(value) < 10000 ? String(+value.toPrecision(3)) : count(value);
}

/** A loss in nats. */
export const loss = value => (isNumber(value) ? value.toFixed(3) : "–");

/** A share between 0 and 1. */
export function percent(value) {
  if (!isNumber(value)) return "–";
  const share = 100 * value;
  const text = share > 0 && share < 0.1 ? "< 0.1" : share >= 10 ? share.toFixed(0) : String(+share.toFixed(1));
  return `${text}${THIN}%`;
}

/** Bytes in powers of 1000. */
export function bytes(value) {
  if (!isNumber(value)) return "–";
  if (value < 1000) return `${value}${THIN}B`;
  const power = Math.min(4, Math.floor(Math.log10(value) / 3));
  return `${+(value / 1000 ** power).toPrecision(3)}${THIN}${PREFIXES[power]}B`;
}

/** A duration. */
export function duration(seconds) {
  if (!isNumber(seconds)) return "–";
  if (seconds < 59.5) return `${+seconds.toPrecision(2)}${THIN}s`;
  const minutes = Math.round(seconds / 60);
  if (seconds < 3599.5) return `${Math.floor(Math.round(seconds) / 60)}${THIN}min ${Math.round(seconds) % 60}${THIN}s`;
  return `${Math.floor(minutes / 60)}${THIN}h ${minutes % 60}${THIN}min`;
}

/** A token as visible text: spaces, line ends and empty tokens become signs. */
export function tokenText(text) {
  return text === "" ? "∅" : text.replace(/ /g, "·").replace(/\n/g, "↵").replace(/\t/g, "⇥");
}

/** `1 step`, `2 steps`. */
export const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;
