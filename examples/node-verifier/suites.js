// The four suites: which keys, which signatures, which digests.  vectors/README.md, "Suites".

import { constants, createHash, createPublicKey, verify as verifySignature } from "node:crypto";

import { ml_dsa65 } from "@noble/post-quantum/ml-dsa.js";

import { Reader, Refused, hex, only } from "./der.js";

const EC = hex("3013 06072a8648ce3d0201 06082a8648ce3d030107");
const RSA = hex("300d 06092a864886f70d010101 0500");
const ED25519 = hex("3005 06032b6570");
const X25519 = hex("3005 06032b656e");
const ML_DSA = hex("300b 0609608648016503040312");
const ML_KEM = hex("300b 0609608648016503040402");
const SHA256 = hex("300b 0609608648016503040201");
const SHA512 = hex("300b 0609608648016503040203");
const PSS = hex(
  "3041 06092a864886f70d01010a 3034 a00f 300d06096086480165030402010500" +
    "a11c 301a 06092a864886f70d010108 300d06096086480165030402010500 a203 020120",
);
const PSS_BARE = hex(
  "303d 06092a864886f70d01010a 3030 a00d 300b0609608648016503040201" +
    "a11a 3018 06092a864886f70d010108 300b0609608648016503040201 a203 020120",
);

/** Algorithms as whole identifiers; `signatures[0]` is that of certificates, all are read in a SignerInfo. */
export const SUITES = {
  p256: { digest: SHA256, hash: "sha256", signatures: [hex("300a 06082a8648ce3d040302")], signs: EC, opens: EC },
  rsa3072: { digest: SHA256, hash: "sha256", signatures: [PSS, PSS_BARE], signs: RSA, opens: RSA },
  ed25519: { digest: SHA512, hash: "sha512", signatures: [ED25519], signs: ED25519, opens: X25519 },
  mldsa65: { digest: SHA512, hash: "sha512", signatures: [ML_DSA], signs: ML_DSA, opens: ML_KEM },
};
for (const [name, suite] of Object.entries(SUITES)) suite.name = name;

export const sha256 = (...parts) => hash("sha256", ...parts);

export function hash(name, ...parts) {
  const made = createHash(name);
  for (const part of parts) made.update(part);
  return made.digest();
}

/** A public key by its SubjectPublicKeyInfo, of the algorithm and size that are asked for.  Refused otherwise. */
export function publicKey(spki, algorithm) {
  const refused = new Refused("invalidCertificate", "not a key of the suite");
  const reader = only(spki, 0x30).inside;
  if (!reader.take(0x30).whole.equals(algorithm)) throw refused;
  const raw = reader.bits();
  reader.end();
  if (algorithm === ML_DSA || algorithm === ML_KEM) {
    if (raw.length !== (algorithm === ML_DSA ? 1952 : 1184)) throw refused;
    return { spki, raw };
  }
  let key;
  try {
    key = createPublicKey({ key: spki, format: "der", type: "spki" });
  } catch {
    throw refused;
  }
  if (algorithm === RSA) {
    const { modulusLength: size, publicExponent } = key.asymmetricKeyDetails;
    if (size < 3072 || size > 4096 || publicExponent !== 65537n) throw refused;
  }
  return { spki, raw, key };
}

const REMEMBERED = new Map();

/** Whether `signature` over `data` is one of `key`, in the algorithm of the suite. */
export function verifies(suite, key, data, signature) {
  const place = hash("sha256", suite.name, key.spki, hash("sha256", data), signature).toString("hex");
  if (!REMEMBERED.has(place)) {
    if (REMEMBERED.size > 10_000) REMEMBERED.clear();
    REMEMBERED.set(place, computed(suite, key, data, signature));
  }
  return REMEMBERED.get(place);
}

function computed(suite, { key, raw }, data, signature) {
  try {
    if (suite.name === "p256") return verifySignature("sha256", data, { key, dsaEncoding: "der" }, signature);
    if (suite.name === "ed25519") return verifySignature(null, data, key, signature);
    if (suite.name === "mldsa65") return ml_dsa65.verify(signature, data, raw);
    const padding = constants.RSA_PKCS1_PSS_PADDING;
    return verifySignature("sha256", data, { key, padding, saltLength: 32 }, signature);
  } catch {
    return false; // of the wrong length, for one
  }
}

/** SEQUENCE { to be signed, algorithm, BIT STRING }: certificates, CRLs and BrandCRLIdentifiers. */
export function signedShape(octets, limit) {
  if (octets.length > limit) throw new Refused("invalidCertificate", "too large");
  const reader = new Reader(octets).sequence();
  only(octets, 0x30);
  const tbs = reader.take(0x30);
  const outer = reader.take(0x30).whole;
  const signature = reader.bits();
  reader.end();
  return { der: octets, tbs: tbs.whole, fields: tbs.inside, outer, signature, thumbprint: sha256(tbs.whole) };
}

/** The suite whose signature algorithm this is, inside and outside. */
export function suiteOf(outer, inner) {
  const suite = Object.values(SUITES).find(({ signatures }) => signatures[0].equals(outer));
  if (!suite || !outer.equals(inner)) throw new Refused("invalidCertificate", "signature algorithm");
  return suite;
}
