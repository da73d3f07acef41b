// The profile of certificates, CRLs and BrandCRLIdentifiers.  vectors/README.md, "Certificates".

import { Reader, Refused, all, hex, integer, oid, only, sequences, setOf, time, utf8 } from "./der.js";
import { publicKey, sha256, signedShape, suiteOf } from "./suites.js";

const refuse = (detail) => {
  throw new Refused("invalidCertificate", detail);
};

/** Whatever is wrong with the octets of a certificate makes it an invalid certificate. */
function reading(read) {
  try {
    return read();
  } catch (problem) {
    if (problem instanceof Refused) throw new Refused("invalidCertificate", problem.message);
    throw problem;
  }
}

// --- kinds -----------------------------------------------------------------------------------------

const kinds = new Map();
const kind = (name, use, bit, issuers, more = {}) =>
  kinds.set(name, { name, use, bit, issuers, units: [1, 1], ...more });
const SUPERIOR = ["brand CA", "geo-political CA"];
kind("root", "issue", 8, ["root"], { length: 3, units: [0, 0], needs: ["2.23.42.7.0"] });
kind("brand CA", "issue", 7, ["root"], { length: 2 });
kind("geo-political CA", "issue", 6, ["brand CA"], { length: 1 });
kind("brand CA message signature", "sign", 7, ["root"]);
kind("geo-political CA message signature", "sign", 6, ["brand CA"]);
for (const [name, bit] of [["cardholder CA", 3], ["merchant CA", 4], ["gateway CA", 5]]) {
  kind(name, "issue", bit, SUPERIOR, { length: 0 });
  kind(`${name} message signature`, "sign", bit, SUPERIOR);
  kind(`${name} key exchange`, "exchange", bit, SUPERIOR, { may: bit === 3 ? ["2.23.42.7.4"] : [] });
}
const named = { commonName: true };
kind("cardholder signature", "sign", 0, ["cardholder CA"], { ...named, units: [1, 2] });
kind("merchant signature", "sign", 1, ["merchant CA"], { ...named, needs: ["2.23.42.7.2"] });
kind("merchant key exchange", "exchange", 1, ["merchant CA"], { ...named, needs: ["2.23.42.7.2"] });
kind("gateway signature", "sign", 2, ["gateway CA"], named);
kind("gateway key exchange", "exchange", 2, ["gateway CA"], {
  ...named,
  needs: ["2.23.42.7.3"],
  may: ["2.23.42.7.4"],
});

/** Bits of keyUsage by use; for key exchange they depend on the suite. */
const USAGE = { issue: [5, 6], sign: [0] };
const EXCHANGE_USAGE = { p256: [4], ed25519: [4], rsa3072: [2, 3], mldsa65: [2] };

// --- names -----------------------------------------------------------------------------------------

const ATTRIBUTES = ["2.5.4.6", "2.5.4.10", "2.5.4.11", "2.5.4.3"];
const SURROGATE = /[\ud800-\udfff]/;
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]|[^\P{Z} ]/u;

/** The relative names of a Name: for each its attributes, as type and text. */
const relativeNames = (whole) =>
  all(only(whole, 0x30).content).map((relative) => {
    const attributes = relative.tag === 0x31 ? setOf(relative.content) : [];
    if (!attributes.length) refuse("a relative name without a value");
    return sequences(relative.content).map((reader) => {
      const type = reader.oid();
      const { tag, content } = reader.take();
      reader.end();
      const text = utf8(content);
      if (tag !== 0x0c && (tag !== 0x13 || !/^[A-Za-z0-9 '()+,./:=?-]*$/.test(text))) refuse("text in a name");
      if (type === "2.5.4.6" && text.length !== 2) refuse("country");
      return [type, text];
    });
  });

function name(whole) {
  const found = { "2.5.4.6": [], "2.5.4.10": [], "2.5.4.11": [], "2.5.4.3": [] };
  let place = 0;
  for (const attributes of relativeNames(whole)) {
    if (attributes.length !== 1) refuse("a relative name has one value");
    const [[type, text]] = attributes;
    const index = ATTRIBUTES.indexOf(type);
    if (index < place) refuse("not a SET name");
    place = index;
    found[type].push(text);
  }
  const parts = ATTRIBUTES.map((type) => found[type]);
  const [[country, ...moreCountries], [organization, ...more], units, [commonName, ...others]] = parts;
  if (moreCountries.length || more.length || others.length || units.length > 2) refuse("too many parts of a name");
  if (!/^[A-Z]{2}$/.test(country ?? "") || organization === undefined) refuse("country and organization");
  const texts = [[organization, 40], ...[...units, commonName ?? "-"].map((text) => [text, 64])];
  for (const [text, limit] of texts) {
    const size = [...text].length;
    if (size < 1 || size > limit || UNPRINTABLE.test(text) || text.trim() !== text) refuse("a part of a name");
  }
  if (commonName !== undefined && Buffer.byteLength(commonName) > 64) refuse("a part of a name");
  return { organization, units, commonName };
}

// --- extensions ------------------------------------------------------------------------------------

/** The numbers of the bits that are set in a named BIT STRING; DER has no zeros at its end. */
function namedBits(octets) {
  const { content } = only(octets, 0x03);
  const unused = content[0];
  const last = content[content.length - 1];
  if (content.length < 2 || unused > 7 || !(last & (1 << unused)) || last & ((1 << unused) - 1)) refuse("named bits");
  const set = [];
  for (let bit = 0; bit < (content.length - 1) * 8; bit++) {
    if (content[1 + (bit >> 3)] & (0x80 >> (bit & 7))) set.push(bit);
  }
  return set;
}

const same = (a, b) => a.length === b.length && a.every((item, index) => item === b[index]);

function basicConstraints(octets) {
  const reader = only(octets, 0x30).inside;
  const ca = reader.flag();
  const length = reader.more ? reader.integer() : undefined;
  reader.end();
  return { ca, length };
}

function authorityKey(octets) {
  const reader = only(octets, 0x30).inside;
  const { content } = reader.take(0x80);
  reader.end();
  return content;
}

function keyPeriod(octets) {
  const reader = only(octets, 0x30).inside;
  const ends = [0x80, 0x81].map((tag) => time({ tag: 0x18, content: reader.take(tag).content }));
  reader.end();
  return ends;
}

const ROOT_KEY = hex("020100 300b0609608648016503040201 3007 0605 672a030000");

/** SHA-256 of the key of the root that is to follow. */
function hashedRootKey(octets) {
  const outer = only(octets, 0x30).inside;
  const { content } = outer.take(0x30);
  outer.end();
  const reader = new Reader(content.subarray(ROOT_KEY.length));
  if (!content.subarray(0, ROOT_KEY.length).equals(ROOT_KEY)) refuse("hashedRootKey");
  const digest = reader.octetString();
  reader.end();
  return digest.length === 32 ? digest : refuse("hashedRootKey");
}

/** SETString: VisibleString whenever that suffices, else BMPString, which ends with the first plane. */
function setString({ tag, content }, limit) {
  let text;
  if (tag === 0x1a && content.every((octet) => octet < 0x80)) text = content.toString("latin1");
  else if (tag === 0x1e && content.length % 2 === 0) text = Buffer.from(content).swap16().toString("utf16le");
  const ascii = /^[\x00-\x7f]*$/.test(text ?? "");
  if (text === undefined || ascii !== (tag === 0x1a)) refuse("SETString");
  if (text.length < 1 || text.length > limit || UNPRINTABLE.test(text) || SURROGATE.test(text)) refuse("SETString");
  return text;
}

function merchantData(octets) {
  const reader = only(octets, 0x30).inside;
  const merID = setString(reader.take(), 30);
  const bin = reader.take(0x12).content.toString("latin1");
  const names = sequences(reader.take(0x30).content);
  const country = reader.integer();
  const flag = reader.take(0x01).content; // FALSE, and the default is TRUE: always written
  reader.end();
  if (!/^\d{6}$/.test(bin) || names.length < 1 || names.length > 16) refuse("merchantData");
  if (country < 1n || country > 999n) refuse("merCountry");
  if (flag.length !== 1 || flag[0] !== 0) refuse("a merchant is given no card numbers");
  for (const fields of names) {
    if (!/^[\x00-\x7f]*$/.test(setString(fields.take(), 35))) refuse("language");
    setString(fields.take(), 50);
    setString(fields.take(), 50);
    for (const [tag, limit] of [[0xa0, 50], [0xa1, 14]]) {
      const inner = fields.optional(tag)?.inside;
      if (inner) {
        setString(inner.take(), limit);
        inner.end();
      }
    }
    setString(fields.take(), 50);
    fields.end();
  }
  return merID;
}

function cardCertRequired(octets) {
  const { content } = only(octets, 0x01);
  if (content.length !== 1 || ![0, 0xff].includes(content[0])) refuse("cardCertRequired");
}

function tunneling(octets) {
  const reader = only(octets, 0x30).inside;
  const off = reader.optional(0x01); // DEFAULT TRUE: only FALSE is written
  if (off && (off.content.length !== 1 || off.content[0] !== 0)) refuse("tunneling");
  const algorithms = all(reader.take(0x30).content);
  reader.end();
  for (const { tag, content } of algorithms) if (tag !== 0x06 || !oid(content)) refuse("tunneling");
  if (algorithms.length < 1 || algorithms.length > 16) refuse("tunneling");
}

const CRITICAL = {
  "2.5.29.15": true,
  "2.5.29.19": true,
  "2.5.29.32": true,
  "2.5.29.14": false,
  "2.5.29.35": false,
  "2.5.29.16": false,
  "2.23.42.7.0": true,
  "2.23.42.7.1": true,
  "2.23.42.7.2": false,
  "2.23.42.7.3": false,
  "2.23.42.7.4": false,
};
const RESTRICTING = ["2.5.29.37", "2.5.29.30", "2.5.29.36", "2.5.29.33", "2.5.29.54"];

function extensionsOf(element) {
  const found = new Map();
  for (const reader of sequences(element.content)) {
    const type = reader.oid();
    const critical = reader.flag();
    const value = reader.octetString();
    reader.end();
    if (found.has(type)) refuse("an extension twice");
    found.set(type, { critical, value });
  }
  return found;
}

// --- certificates ----------------------------------------------------------------------------------

const MAX_CERTIFICATE = 64 * 1024;

/** A certificate taken apart, without a look at its profile. */
function parse(der) {
  const shape = signedShape(der, MAX_CERTIFICATE);
  const { fields } = shape;
  if (!fields.take(0xa0).content.equals(hex("020102"))) refuse("version 3");
  const serial = fields.integer();
  const inner = fields.take(0x30).whole;
  const issuer = fields.take(0x30).whole;
  const validity = fields.sequence();
  const notBefore = time(validity.take());
  const notAfter = time(validity.take());
  validity.end();
  const subject = fields.take(0x30).whole;
  const spki = fields.take(0x30).whole;
  const extensions = extensionsOf(only(fields.take(0xa3).content, 0x30));
  fields.end();
  return { ...shape, serial, inner, issuer, notBefore, notAfter, subject, spki, extensions };
}

/** The subjectKeyIdentifier, by which signers and recipients are named. */
export const subjectKeyIdentifier = (der) =>
  reading(() => {
    const extension = parse(der).extensions.get("2.5.29.14") ?? refuse("no subjectKeyIdentifier");
    return only(extension.value, 0x04).content;
  });

/** A certificate that fulfils the profile of its kind.  Whether it is genuine is for chain.js to say. */
export const certificate = (der) => reading(() => checked(parse(der)));

function checked(read) {
  const { extensions } = read;
  const suite = suiteOf(read.outer, read.inner);
  const subjectName = name(read.subject);
  name(read.issuer);
  if (read.serial <= 0n || read.serial >= 1n << 159n) refuse("serial number");
  if (read.notBefore >= read.notAfter) refuse("validity");
  for (const [type, { critical }] of extensions) {
    if (RESTRICTING.includes(type) || (critical && !(type in CRITICAL))) refuse(`extension ${type}`);
    if (type in CRITICAL && CRITICAL[type] !== critical) refuse(`criticality of ${type}`);
  }
  const value = (type) => extensions.get(type)?.value ?? refuse(`${type} missing`);

  const bits = namedBits(value("2.23.42.7.1"));
  const usage = namedBits(value("2.5.29.15"));
  const basic = basicConstraints(value("2.5.29.19"));
  const use = basic.ca ? "issue" : usage.includes(0) ? "sign" : "exchange";
  const profile = [...kinds.values()].find((item) => item.use === use && same(bits, [item.bit]));
  if (!profile) refuse("no such kind");
  if (!same(usage, use === "exchange" ? EXCHANGE_USAGE[suite.name] : USAGE[use])) refuse("keyUsage");
  const { length } = profile;
  if (length !== undefined && !(basic.length >= 0n && basic.length <= BigInt(length))) refuse("path length");
  const key = publicKey(read.spki, use === "exchange" ? suite.opens : suite.signs);

  const policies = sequences(only(value("2.5.29.32"), 0x30).content).map((reader) => {
    const policy = reader.oid();
    reader.optional(0x30); // qualifiers
    reader.end();
    return policy;
  });
  if (!policies.includes("2.23.42.5.0")) refuse("policy");
  const ski = only(value("2.5.29.14"), 0x04).content;
  const aki = authorityKey(value("2.5.29.35"));
  if (ski.length < 1 || ski.length > 64) refuse("subjectKeyIdentifier");
  const root = profile.name === "root";
  if (read.subject.equals(read.issuer) !== root || (root && !ski.equals(aki))) refuse("only a root issues itself");

  const { units, commonName } = subjectName;
  const [fewest, most] = profile.units;
  if (units.length < fewest || units.length > most || (profile.commonName && !commonName)) refuse("name of this kind");
  if (profile.name === "cardholder signature") {
    const octets = Buffer.from(commonName, "base64");
    if (octets.length < 20 || octets.length > 32 || octets.toString("base64") !== commonName) refuse("cardholder id");
  }
  const priv = [...extensions.keys()].filter((type) => type.startsWith("2.23.42.7.") && type !== "2.23.42.7.1");
  const { needs = [], may = [] } = profile;
  if (needs.some((type) => !priv.includes(type))) refuse("private extension missing");
  if (priv.some((type) => type in CRITICAL && ![...needs, ...may].includes(type))) refuse("private extension");
  const read1 = (type, how) => (extensions.has(type) ? how(extensions.get(type).value) : undefined);
  const next = read1("2.23.42.7.0", hashedRootKey);
  const merID = read1("2.23.42.7.2", merchantData);
  read1("2.23.42.7.3", cardCertRequired);
  read1("2.23.42.7.4", tunneling);

  const period = read1("2.5.29.16", keyPeriod);
  if ((period !== undefined) !== (use === "sign")) refuse("privateKeyUsagePeriod");
  if (period && !(read.notBefore <= period[0] && period[0] < period[1] && period[1] <= read.notAfter)) {
    refuse("privateKeyUsagePeriod");
  }
  return {
    ...read,
    suite,
    kind: profile,
    key,
    keyDigest: sha256(read.spki).toString("hex"),
    pathLength: basic.length,
    ski,
    aki,
    next,
    period: period ?? [read.notBefore, read.notAfter],
    brand: subjectName.organization,
    party: merID ?? commonName ?? (units.join(" ") || subjectName.organization),
  };
}

// --- CRLs and BrandCRLIdentifiers ------------------------------------------------------------------

const smallNumber = (number) => (number >= 0n && number < 1n << 159n ? number : refuse("number"));

/** A CRL of the profile.  Its signature is not checked here. */
export const crl = (der) =>
  reading(() => {
    const shape = signedShape(der, 8 << 20);
    const { fields } = shape;
    if (fields.integer() !== 1n) refuse("version 2");
    const inner = fields.take(0x30).whole;
    const issuer = fields.take(0x30).whole;
    relativeNames(issuer);
    const thisUpdate = time(fields.take());
    const nextUpdate = time(fields.take());
    const revoked = new Set();
    for (const reader of fields.peek() === 0x30 ? sequences(fields.take().content) : []) {
      revoked.add(reader.integer());
      time(reader.take());
      for (const [type, { critical, value }] of reader.more ? extensionsOf(reader.take(0x30)) : []) {
        const reason = integer(only(value, 0x0a).content);
        if (type !== "2.5.29.21" || critical || reason === 8n) refuse("entry of a CRL");
      }
      reader.end();
    }
    const extensions = extensionsOf(only(fields.take(0xa0).content, 0x30));
    fields.end();
    const number = extensions.get("2.5.29.20");
    const aki = extensions.get("2.5.29.35");
    if (!number || !aki || extensions.size !== 2 || number.critical || aki.critical) refuse("extensions of a CRL");
    if (thisUpdate >= nextUpdate) refuse("times of a CRL");
    return {
      ...shape,
      suite: suiteOf(shape.outer, inner),
      issuer,
      aki: authorityKey(aki.value),
      number: smallNumber(integer(only(number.value, 0x02).content)),
      thisUpdate,
      nextUpdate,
      revoked,
    };
  });

/** A BrandCRLIdentifier.  Its signature is not checked here. */
export const bci = (der) =>
  reading(() => {
    const shape = signedShape(der, 64 * 1024);
    const { fields } = shape;
    if (fields.integer() !== 2n) refuse("version 2");
    const inner = fields.take(0x30).whole;
    const issuer = fields.take(0x30).whole;
    const keyIdentifier = (octets) => (octets.length >= 1 && octets.length <= 64 ? octets : refuse("key identifier"));
    const aki = keyIdentifier(fields.octetString());
    const number = smallNumber(fields.integer());
    const brand = utf8(fields.take(0x0c).content);
    const [notBefore, notAfter] = [time(fields.take(0x18)), time(fields.take(0x18))];
    const crls = new Map();
    const list = sequences(fields.take(0x30).content);
    fields.end();
    for (const reader of list) {
      const place = crlPlace(reader.take(0x30).whole, keyIdentifier(reader.octetString()));
      if (crls.has(place)) refuse("an issuer twice");
      crls.set(place, smallNumber(reader.integer()));
      reader.end();
    }
    if (crls.size < 1 || crls.size > 4096 || notBefore >= notAfter) refuse("BrandCRLIdentifier");
    if (brand.length < 1 || [...brand].length > 40 || UNPRINTABLE.test(brand)) refuse("brand");
    return { ...shape, suite: suiteOf(shape.outer, inner), issuer, aki, number, brand, notBefore, notAfter, crls };
  });

/** Where a BrandCRLIdentifier has the number of an issuer's CRL. */
export const crlPlace = (issuer, aki) => issuer.toString("hex") + aki.toString("hex");
