// Signed objects.  vectors/README.md, "Signed objects".

import { subjectKeyIdentifier } from "./certificates.js";
import { Refused, encodeOID, only, sequences, setOf, tlv } from "./der.js";
import { hash, sha256, verifies } from "./suites.js";

const SIGNED_DATA = "1.2.840.113549.1.7.2";
const CONTENT_TYPE = "1.2.840.113549.1.9.3";
const MESSAGE_DIGEST = "1.2.840.113549.1.9.4";
const PROTECTION = "1.2.840.113549.1.9.52";
const SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.47";
const OTHERS = ["1.2.840.113549.1.9.5", "1.2.840.113549.1.9.15"];
const BRAND_CRL_IDENTIFIER = "2.25.137087056187701533922853352641590903349.0.110";

const refuse = (reason, detail) => {
  throw new Refused(reason, detail);
};

/** The one element of a SET OF. */
function single(content, what) {
  const items = setOf(content);
  if (items.length !== 1) refuse("decodingFailure", `one ${what}`);
  return items[0];
}

function revocation(content) {
  const items = setOf(content);
  const crls = items.filter(({ tag }) => tag === 0x30).map(({ whole }) => whole);
  const others = items.filter(({ tag }) => tag !== 0x30);
  if (!items.length || crls.length > 64 || others.length > 1) refuse("decodingFailure", "crls");
  const lists = others.map((other) => {
    if (other.tag !== 0xa1) refuse("decodingFailure", "crls");
    const reader = other.inside;
    const format = reader.oid();
    const { whole } = reader.take();
    reader.end();
    return format === BRAND_CRL_IDENTIFIER ? whole : refuse("decodingFailure", "format of revocation data");
  });
  return { crls, lists };
}

function parse(octets) {
  const info = only(octets, 0x30).inside;
  const type = info.oid();
  const wrapped = info.take(0xa0).inside;
  info.end();
  const data = wrapped.sequence();
  wrapped.end();
  const version = data.integer();
  const digestAlgorithm = single(data.take(0x31).content, "digest algorithm").whole;
  const encapsulated = data.sequence();
  const contentType = encapsulated.oid();
  const inner = encapsulated.optional(0xa0)?.inside;
  const content = inner?.octetString();
  inner?.end();
  encapsulated.end();
  const certificates = setOf(data.take(0xa0).content);
  if (certificates.length < 1 || certificates.length > 16 || certificates.some(({ tag }) => tag !== 0x30)) {
    refuse("decodingFailure", "certificates");
  }
  const lists = data.peek() === 0xa1 ? revocation(data.take().content) : { crls: [], lists: [] };
  const signer = only(single(data.take(0x31).content, "signer").whole, 0x30).inside;
  data.end();
  const read = {
    content,
    contentType,
    digestAlgorithm,
    certificates: certificates.map(({ whole }) => whole),
    revocation: lists,
    signerVersion: signer.integer(),
    sid: signer.take(0x80).content,
    signerDigest: signer.take().whole,
    attributes: signer.take(0xa0).content,
    algorithm: signer.take().whole,
    signature: signer.octetString(),
  };
  signer.end();
  if (type !== SIGNED_DATA || version !== (lists.lists.length ? 5n : 3n) || read.signerVersion !== 3n) {
    refuse("decodingFailure", "versions");
  }
  return read;
}

/** Each attribute known, once, with the value that it must have. */
function checkAttributes(octets, required) {
  const seen = new Set();
  setOf(octets);
  for (const reader of sequences(octets)) {
    const type = reader.oid();
    const value = single(reader.take(0x31).content, "value").whole;
    reader.end();
    if (seen.has(type)) refuse("signatureFailure", "an attribute twice");
    seen.add(type);
    if (required.has(type) ? !required.get(type).equals(value) : !OTHERS.includes(type)) {
      refuse("signatureFailure", `attribute ${type}`);
    }
  }
  if (!seen.has(CONTENT_TYPE) || !seen.has(MESSAGE_DIGEST)) refuse("signatureFailure", "mandatory attributes");
}

/** The content, the signer's certificate and the steps, once all is verified.  `lists`: CRLs may be enclosed. */
export function verify(octets, { trust, contentType, kind, brand, at, extra, content, lists = true }) {
  const read = parse(octets);
  const { suite } = trust;
  if (read.contentType !== contentType) refuse("signatureFailure", "another type");
  if ((read.content === undefined) === (content === undefined)) refuse("signatureFailure", "detached or not");
  const signed = content ?? read.content;

  const named = read.certificates.filter((der) => subjectKeyIdentifier(der).equals(read.sid));
  if (!named.length || named.some((der) => !der.equals(named[0]))) refuse("missingCertificate", "the signer's");
  const { crls, lists: brandLists } = read.revocation;
  if (!lists && crls.length + brandLists.length) refuse("decodingFailure", "revocation data in a dual signature");
  trust.learn(crls, brandLists, read.certificates);
  const signer = trust.validate(named[0], { kind, brand, at, extra: [...read.certificates, ...extra] });

  if (
    ![read.digestAlgorithm, read.signerDigest].every((algorithm) => algorithm.equals(suite.digest)) ||
    !suite.signatures.some((algorithm) => algorithm.equals(read.algorithm))
  ) {
    refuse("signatureFailure", "algorithms");
  }
  const others = read.certificates.filter((der) => !der.equals(named[0]));
  const hashes = [named[0], ...others].map((der) => tlv(0x30, tlv(0x04, sha256(der))));
  const digest = hash(suite.hash, signed);
  const required = new Map([
    [CONTENT_TYPE, encodeOID(contentType)],
    [MESSAGE_DIGEST, tlv(0x04, digest)],
    [PROTECTION, tlv(0x30, suite.digest, Buffer.from([0xa1]), read.algorithm.subarray(1))],
    [SIGNING_CERTIFICATE, tlv(0x30, tlv(0x30, ...hashes))],
  ]);
  try {
    checkAttributes(read.attributes, required);
  } catch (problem) {
    if (problem instanceof Refused) refuse("signatureFailure", problem.message);
    throw problem;
  }
  const attributes = tlv(0x31, read.attributes);
  if (!verifies(suite, signer.key, attributes, read.signature)) refuse("signatureFailure", "signature");
  const steps = { message_digest: digest, signed_attributes: attributes, signature: read.signature };
  return { content: signed, signer, steps };
}
