// Sealed objects.  vectors/README.md, "Sealed objects".

import { createDecipheriv, createPrivateKey, createPublicKey, diffieHellman, hkdfSync } from "node:crypto";
import { constants, privateDecrypt } from "node:crypto";

import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";

import { subjectKeyIdentifier } from "./certificates.js";
import { Refused, hex, only, setOf, tlv } from "./der.js";
import { sha256 } from "./suites.js";

const WRAP = hex("300b 060960864801650304012d");
const X963 = tlv(0x30, hex("06062b8104010b01"), WRAP);
const ORIGINATORS = { p256: hex("3009 06072a8648ce3d0201"), ed25519: hex("3005 06032b656e") };
const HKDF_AGREEMENT = tlv(0x30, hex("060b2a864886f70d0109100313"), WRAP);
const HKDF_KEM = hex("300d 060b2a864886f70d010910031c");
const ML_KEM = hex("300b 0609608648016503040402");
const BITS = hex("a206 0404 00000100");
const FIELD = 2n ** 255n - 19n;

class NotForThisKey extends Error {}

const demand = (condition) => {
  if (!condition) throw new NotForThisKey();
};
const user = (context) => (context.length ? tlv(0xa0, tlv(0x04, context)) : Buffer.alloc(0));
const hkdf = (secret, info) => Buffer.from(hkdfSync("sha256", secret, Buffer.alloc(0), info, 32));

function unwrap(kek, wrapped) {
  demand(wrapped.length === 40);
  const cipher = createDecipheriv("id-aes256-wrap", kek, Buffer.alloc(8, 0xa6));
  return Buffer.concat([cipher.update(wrapped), cipher.final()]);
}

function agreed(suite, key, point) {
  const privateKey = createPrivateKey({ key, format: "der", type: "pkcs8" });
  let head = hex("302a 3005 06032b656e 032100");
  if (suite === "p256") {
    demand(point.length === 65 && point[0] === 4);
    head = hex("3059 3013 06072a8648ce3d0201 06082a8648ce3d030107 034200");
  } else {
    demand(point.length === 32 && BigInt(`0x${Buffer.from(point).reverse().toString("hex")}`) < FIELD);
  }
  const publicKey = createPublicKey({ key: Buffer.concat([head, point]), format: "der", type: "spki" });
  const secret = diffieHellman({ privateKey, publicKey });
  demand(secret.some((octet) => octet !== 0));
  return secret;
}

/** KeyAgreeRecipientInfo: p256 and ed25519. */
function agreement(suite, info, key, identifier, context, steps) {
  demand(info.tag === 0xa1);
  const reader = info.inside;
  demand(reader.integer() === 3n);
  const outer = reader.take(0xa0).inside;
  const originator = outer.take(0xa1).inside;
  outer.end();
  demand(originator.take(0x30).whole.equals(ORIGINATORS[suite]));
  const point = originator.bits();
  originator.end();
  const ukm = reader.optional(0xa1)?.inside;
  demand((ukm?.octetString() ?? Buffer.alloc(0)).equals(context));
  ukm?.end();
  demand(reader.take(0x30).whole.equals(suite === "p256" ? X963 : HKDF_AGREEMENT));
  const recipients = reader.sequence();
  reader.end();
  const recipient = recipients.sequence();
  recipients.end();
  const rid = recipient.take(0xa0).inside;
  demand(rid.octetString().equals(identifier));
  rid.end();
  const wrapped = recipient.octetString();
  recipient.end();
  const secret = agreed(suite, key, point);
  const shared = tlv(0x30, WRAP, user(context), BITS);
  const kek = suite === "p256" ? sha256(secret, hex("00000001"), shared) : hkdf(secret, shared);
  Object.assign(steps, { shared_secret: secret, kdf_info: shared, kek });
  return unwrap(kek, wrapped);
}

/** RSAES-OAEP with the context as its label, and its two spellings. */
function oaep(context) {
  const source = tlv(0x30, hex("06092a864886f70d010109"), tlv(0x04, context));
  const label = context.length ? tlv(0xa2, source) : Buffer.alloc(0);
  return ["300d06096086480165030402010500", "300b0609608648016503040201"].map((digest) => {
    const mgf1 = tlv(0x30, hex("06092a864886f70d010108"), hex(digest));
    return tlv(0x30, hex("06092a864886f70d010107"), tlv(0x30, tlv(0xa0, hex(digest)), tlv(0xa1, mgf1), label));
  });
}

/** KeyTransRecipientInfo: rsa3072. */
function transport(info, key, identifier, context, steps) {
  demand(info.tag === 0x30);
  const reader = info.inside;
  demand(reader.integer() === 2n);
  demand(reader.take(0x80).content.equals(identifier));
  const algorithm = reader.take(0x30).whole;
  demand(oaep(context).some((spelling) => spelling.equals(algorithm)));
  const encrypted = reader.octetString();
  reader.end();
  steps.encryption_algorithm = algorithm;
  return privateDecrypt(
    {
      key: createPrivateKey({ key, format: "der", type: "pkcs8" }),
      padding: constants.RSA_PKCS1_OAEP_PADDING,
      oaepHash: "sha256",
      ...(context.length ? { oaepLabel: context } : {}),
    },
    encrypted,
  );
}

/** The seed in a PKCS #8 key of ML-KEM. */
function seed(key) {
  const reader = only(key, 0x30).inside;
  demand(reader.integer() === 0n && reader.take(0x30).whole.equals(ML_KEM));
  const { content } = only(reader.octetString(), 0x80);
  reader.end();
  demand(content.length === 64);
  return content;
}

/** KEMRecipientInfo: mldsa65. */
function encapsulation(info, key, identifier, context, steps) {
  demand(info.tag === 0xa4);
  const outer = info.inside;
  demand(outer.oid() === "1.2.840.113549.1.9.16.13.3");
  const reader = outer.sequence();
  outer.end();
  demand(reader.integer() === 0n);
  demand(reader.take(0x80).content.equals(identifier));
  demand(reader.take(0x30).whole.equals(ML_KEM));
  const ciphertext = reader.octetString();
  demand(reader.take(0x30).whole.equals(HKDF_KEM));
  demand(reader.integer() === 32n);
  const ukm = reader.optional(0xa0)?.inside;
  demand((ukm?.octetString() ?? Buffer.alloc(0)).equals(context));
  ukm?.end();
  demand(reader.take(0x30).whole.equals(WRAP));
  const wrapped = reader.octetString();
  reader.end();
  demand(ciphertext.length === 1088);
  const { secretKey } = ml_kem768.keygen(seed(key));
  const secret = Buffer.from(ml_kem768.decapsulate(ciphertext, secretKey));
  const other = tlv(0x30, WRAP, hex("020120"), user(context));
  const kek = hkdf(secret, other);
  Object.assign(steps, { shared_secret: secret, kdf_info: other, kek });
  return unwrap(kek, wrapped);
}

function opened(octets, suite, { private_key: key, certificate }, context) {
  const identifier = subjectKeyIdentifier(certificate);
  const outer = only(octets, 0x30).inside;
  demand(outer.oid() === "1.2.840.113549.1.9.16.1.23");
  const wrapped = outer.take(0xa0).inside;
  outer.end();
  const data = wrapped.sequence();
  wrapped.end();
  demand(data.integer() === 0n);
  const recipients = setOf(data.take(0x31).content);
  demand(recipients.length === 1);
  const encrypted = data.sequence();
  const mac = data.octetString();
  data.end();
  demand(encrypted.oid() === "1.2.840.113549.1.7.1");
  const algorithm = encrypted.sequence();
  demand(algorithm.oid() === "2.16.840.1.101.3.4.1.46");
  const parameters = algorithm.sequence();
  algorithm.end();
  const nonce = parameters.octetString();
  demand(parameters.integer() === 16n && nonce.length === 12 && mac.length === 16);
  parameters.end();
  const ciphertext = encrypted.take(0x80).content;
  encrypted.end();

  const [info] = recipients;
  const steps = { nonce, recipient_info: info.whole };
  let contentKey;
  if (suite === "rsa3072") contentKey = transport(info, key, identifier, context, steps);
  else if (suite === "mldsa65") contentKey = encapsulation(info, key, identifier, context, steps);
  else contentKey = agreement(suite, info, key, identifier, context, steps);
  demand(contentKey.length === 32);
  const cipher = createDecipheriv("aes-256-gcm", contentKey, nonce).setAuthTag(mac);
  const content = Buffer.concat([cipher.update(ciphertext), cipher.final()]);
  return { content, steps: { ...steps, content_key: contentKey } };
}

/** The content, if it was sealed to this key in this context, and the steps to it; one refusal for everything else. */
export function open(octets, suite, keys, context) {
  try {
    return opened(octets, suite, keys, context);
  } catch {
    throw new Refused("decryptionFailure");
  }
}
