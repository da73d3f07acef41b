// The dual signature of a purchase.  vectors/README.md, "The dual signature".

import { Refused, encodeOID, tlv } from "./der.js";
import { verify as verifySigned } from "./signed.js";
import { sha256 } from "./suites.js";

const ARC = "2.25.137087056187701533922853352641590903349.0";
const FORM = `${ARC}.13`;
const PARTS = [`${ARC}.5`, `${ARC}.3`, `${ARC}.102`];

/** SHA-256 over the framing of a label and parts. */
export const digest = (label, ...parts) =>
  sha256(tlv(0x30, tlv(0x0c, Buffer.from(`setproto/2 ${label}`)), ...parts.map((part) => tlv(0x04, part))));

const partDigest = (suite, { type, content, salt }) =>
  digest("dual part", encodeOID(FORM), encodeOID(type), Buffer.from(suite), salt, content);

/** The digests of all parts and the steps, once the signature over them is verified.  Refused otherwise. */
export function verify({ parts, digests: hidden, signature }, how) {
  const refused = new Refused("signatureFailure", "the parts are not those of the form");
  const suite = how.trust.suite.name;
  if (!parts.length || parts.length + Object.keys(hidden).length !== PARTS.length) throw refused;
  if (parts.some(({ salt }) => salt.length < 16)) throw refused;
  const digests = { ...hidden };
  for (const part of parts) digests[part.type] = partDigest(suite, part);
  if (!PARTS.every((type) => type in digests)) throw refused;
  const listed = PARTS.map((type) => tlv(0x30, encodeOID(type), tlv(0x04, digests[type])));
  const content = tlv(0x30, tlv(0x02, Buffer.from([1])), tlv(0x0c, Buffer.from(suite)), tlv(0x30, ...listed));
  verifySigned(signature, { ...how, contentType: FORM, content, lists: false });
  const named = PARTS.map((type) => [`digest_${type.replaceAll(".", "_")}`, digests[type]]);
  return { digests, steps: { to_be_signed: content, ...Object.fromEntries(named) } };
}
