// DER (X.690): a strict reader, and the little of a writer that a verifier needs.

/** What an implementation says no with: a reason of vectors/README.md, section 6. */
export class Refused extends Error {
  constructor(reason, detail = reason) {
    super(detail);
    this.reason = reason;
  }
}

const broken = (detail) => new Refused("decodingFailure", detail);

/** One element: its tag (one octet, all there are here), its content, and the whole of it. */
export class Element {
  constructor(tag, content, whole) {
    this.tag = tag;
    this.content = content;
    this.whole = whole;
  }

  /** The elements inside, to be taken one after the other. */
  get inside() {
    if (!(this.tag & 0x20)) throw broken("primitive");
    return new Reader(this.content);
  }
}

/** Takes the elements of `octets` in turn; `end` insists that none is left. */
export class Reader {
  constructor(octets) {
    this.octets = octets;
    this.at = 0;
  }

  get more() {
    return this.at < this.octets.length;
  }

  peek() {
    return this.more ? this.octets[this.at] : undefined;
  }

  take(tag) {
    const { octets, at: start } = this;
    if (octets.length - start < 2) throw broken("ends early");
    const found = octets[start];
    if ((found & 0x1f) === 0x1f) throw broken("long tag");
    if (tag !== undefined && found !== tag) throw broken(`tag ${found.toString(16)} for ${tag.toString(16)}`);
    let length = octets[start + 1];
    let from = start + 2;
    if (length >= 0x80) {
      const size = length & 0x7f;
      if (size < 1 || size > 4 || octets.length - from < size) throw broken("length");
      length = octets.readUIntBE(from, size);
      from += size;
      if (length < 0x80 || length < 2 ** (8 * (size - 1))) throw broken("length in more octets than it needs");
    }
    if (octets.length - from < length) throw broken("ends early");
    this.at = from + length;
    return new Element(found, octets.subarray(from, this.at), octets.subarray(start, this.at));
  }

  optional(tag) {
    return this.peek() === tag ? this.take(tag) : undefined;
  }

  sequence() {
    return this.take(0x30).inside;
  }

  octetString() {
    return this.take(0x04).content;
  }

  integer() {
    return integer(this.take(0x02).content);
  }

  oid() {
    return oid(this.take(0x06).content);
  }

  /** BIT STRING of whole octets. */
  bits() {
    const { content } = this.take(0x03);
    if (content.length < 1 || content[0] !== 0) throw broken("bits");
    return content.subarray(1);
  }

  /** BOOLEAN DEFAULT FALSE. */
  flag() {
    const found = this.optional(0x01);
    if (found && (found.content.length !== 1 || found.content[0] !== 0xff)) throw broken("BOOLEAN");
    return found !== undefined;
  }

  end() {
    if (this.more) throw broken("more than expected");
  }

  rest() {
    const items = [];
    while (this.more) items.push(this.take());
    return items;
  }
}

/** The elements of SEQUENCE OF or SET OF content. */
export const all = (content) => new Reader(content).rest();

/** The SEQUENCEs in SEQUENCE OF content, to be read. */
export const sequences = (content) =>
  all(content).map(({ whole }) => new Reader(only(whole, 0x30).content));

/** The elements of a SET OF, which are in ascending order. */
export function setOf(content) {
  const items = all(content);
  for (let i = 1; i < items.length; i++) {
    if (Buffer.compare(items[i - 1].whole, items[i].whole) > 0) throw broken("SET OF out of order");
  }
  return items;
}

/** The one element that `octets` are. */
export function only(octets, tag) {
  const reader = new Reader(octets);
  const element = reader.take(tag);
  reader.end();
  return element;
}

export function integer(content) {
  if (content.length < 1) throw broken("INTEGER");
  if (content.length > 1 && (content[0] === 0x00 ? content[1] < 0x80 : content[0] === 0xff && content[1] >= 0x80)) {
    throw broken("INTEGER in more octets than it needs");
  }
  const value = BigInt(`0x${content.toString("hex")}`);
  return content[0] & 0x80 ? value - (1n << BigInt(8 * content.length)) : value;
}

export function oid(content) {
  const numbers = [];
  let number = 0n;
  let first = true;
  for (const octet of content) {
    if (first && octet === 0x80) throw broken("OBJECT IDENTIFIER");
    number = (number << 7n) | BigInt(octet & 0x7f);
    first = octet < 0x80;
    if (first) {
      numbers.push(number);
      number = 0n;
    }
  }
  if (!first || numbers.length === 0) throw broken("OBJECT IDENTIFIER");
  const arc = numbers[0] < 80n ? numbers[0] / 40n : 2n;
  return [arc, numbers[0] - arc * 40n, ...numbers.slice(1)].join(".");
}

/** UTCTime or GeneralizedTime, to the second, in UTC: milliseconds. */
export function time({ tag, content }) {
  let text = content.toString("latin1");
  if (tag === 0x17 && /^\d{12}Z$/.test(text)) text = (Number(text.slice(0, 2)) < 50 ? "20" : "19") + text;
  else if (tag !== 0x18 || !/^\d{14}Z$/.test(text)) throw broken("time");
  const [, ...parts] = text.match(/^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/);
  const [year, month, day, hour, minute, second] = parts.map(Number);
  const value = new Date(Date.UTC(year, month - 1, day, hour, minute, second));
  const [y, m, d, h, mi, s] = parts;
  if (value.toISOString() !== `${y}-${m}-${d}T${h}:${mi}:${s}.000Z`) throw broken("time");
  return value.getTime();
}

export function utf8(content) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(content);
  } catch {
    throw broken("UTF-8");
  }
}

/** Tag, length and content. */
export function tlv(tag, ...parts) {
  const content = Buffer.concat(parts);
  if (content.length < 0x80) return Buffer.concat([Buffer.from([tag, content.length]), content]);
  let digits = content.length.toString(16);
  if (digits.length % 2) digits = `0${digits}`;
  const length = Buffer.from(digits, "hex");
  return Buffer.concat([Buffer.from([tag, 0x80 | length.length]), length, content]);
}

export function encodeOID(dotted) {
  const [arc, second, ...others] = dotted.split(".").map(BigInt);
  const octets = [arc * 40n + second, ...others].flatMap((number) => {
    const septets = [Number(number & 0x7fn)];
    for (let left = number >> 7n; left > 0n; left >>= 7n) septets.unshift(Number(left & 0x7fn) | 0x80);
    return septets;
  });
  return tlv(0x06, Buffer.from(octets));
}

export const hex = (text) => Buffer.from(text.replaceAll(" ", ""), "hex");
