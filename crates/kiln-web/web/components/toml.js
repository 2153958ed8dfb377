// Reader of TOML, for the values of a recipe that the form shows. The worker is the judge of a recipe: what this reader
// does not understand throws, and the form then shows no values.

const BARE = /[A-Za-z0-9_-]+/y;
const SCALAR = /[^\s,\]}#]+/y;
const ESCAPES = { b: "\b", t: "\t", n: "\n", f: "\f", r: "\r", e: "\u001b", '"': '"', "\\": "\\" };

/** The table of a TOML document. */
export function parseToml(text) {
  return new Reader(text).document();
}

class Reader {
  constructor(text) {
    this.text = text;
    this.at = 0;
  }

  document() {
    const root = {};
    let table = root;
    for (this.skip(true); this.at < this.text.length; this.skip(true)) {
      if (this.text[this.at] === "[") table = this.header(root);
      else this.assignment(table);
    }
    return root;
  }

  header(root) {
    const isList = this.text.startsWith("[[", this.at);
    this.at += isList ? 2 : 1;
    const path = this.key();
    this.expect(isList ? "]]" : "]");
    const last = path.pop();
    const parent = path.reduce(descend, root);
    if (!isList) return descend(parent, last);
    parent[last] = [...(parent[last] ?? []), {}];
    return parent[last].at(-1);
  }

  assignment(table) {
    const path = this.key();
    this.expect("=");
    const last = path.pop();
    path.reduce(descend, table)[last] = this.value();
  }

  key() {
    const path = [];
    do {
      this.skip(false);
      path.push('"\''.includes(this.text[this.at]) ? this.string() : this.match(BARE));
      this.skip(false);
    } while (this.take("."));
    return path;
  }

  value() {
    this.skip(true);
    const first = this.text[this.at];
    if (first === '"' || first === "'") return this.string();
    if (first === "[") return this.list();
    if (first === "{") return this.inlineTable();
    return scalar(this.match(SCALAR));
  }

  list() {
    const items = [];
    this.at += 1;
    for (this.skip(true); !this.take("]"); this.skip(true)) {
      items.push(this.value());
      this.skip(true);
      this.take(",");
    }
    return items;
  }

  inlineTable() {
    const table = {};
    this.at += 1;
    for (this.skip(true); !this.take("}"); this.skip(true)) {
      this.assignment(table);
      this.skip(true);
      this.take(",");
    }
    return table;
  }

  string() {
    const quote = this.text[this.at];
    const isLong = this.text.startsWith(quote.repeat(3), this.at);
    const end = isLong ? quote.repeat(3) : quote;
    this.at += end.length;
    if (isLong) this.take("\n");
    let result = "";
    while (!this.take(end)) {
      if (this.at >= this.text.length) throw new SyntaxError("a text has no end");
      result += quote === '"' && this.text[this.at] === "\\" ? this.escape() : this.text[this.at++];
    }
    return result;
  }

  escape() {
    const sign = this.text[this.at + 1];
    const digits = { u: 4, U: 8, x: 2 }[sign] ?? 0;
    const code = this.text.slice(this.at + 2, this.at + 2 + digits);
    this.at += 2 + digits;
    if (digits > 0) return String.fromCodePoint(parseInt(code, 16));
    if (sign === "\n") this.skip(true);
    return ESCAPES[sign] ?? "";
  }

  /** Skips blanks, and with `lines` also line ends and comments. */
  skip(lines) {
    const blank = lines ? /(?:\s|#[^\n]*)*/y : /[ \t]*/y;
    blank.lastIndex = this.at;
    this.at += blank.exec(this.text)[0].length;
  }

  take(sign) {
    const found = this.text.startsWith(sign, this.at);
    if (found) this.at += sign.length;
    return found;
  }

  expect(sign) {
    this.skip(false);
    if (!this.take(sign)) throw new SyntaxError(`expected \`${sign}\` at character ${this.at}`);
  }

  match(pattern) {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (!found) throw new SyntaxError(`unexpected text at character ${this.at}`);
    this.at += found[0].length;
    return found[0];
  }
}

/** The table below a key; of a list of tables the last one. */
function descend(table, key) {
  if (!Object.hasOwn(table, key)) table[key] = {};
  return Array.isArray(table[key]) ? table[key].at(-1) : table[key];
}

function scalar(text) {
  if (text === "true" || text === "false") return text === "true";
  const digits = text.replace(/_/g, "");
  if (/^[+-]?(inf|nan)$/.test(digits)) return digits.includes("nan") ? NaN : digits.startsWith("-") ? -Infinity : Infinity;
  const number = Number(digits);
  return Number.isNaN(number) ? text : number;
}
