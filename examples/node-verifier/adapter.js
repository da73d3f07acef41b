#!/usr/bin/env node
// JSON Lines on stdin and stdout.  vectors/README.md, "The harness" and "The operations".

import { createInterface } from "node:readline";

import { Trust } from "./chain.js";
import { Refused } from "./der.js";
import { verify as verifyDual } from "./dual.js";
import { open } from "./sealed.js";
import { verify } from "./signed.js";
import { SUITES } from "./suites.js";

const octets = (text) => Buffer.from(text, "hex");
const shown = (value) => Buffer.from(value).toString("hex");
const mapped = (value, how) => Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, how(inner)]));

/** What verification needs to know besides the object. */
function trusting(input, now) {
  const { suite, kind, brand, policy } = input;
  const extra = (input.extra ?? []).map(octets);
  const lists = mapped(input.trust, (list) => list.map(octets));
  const trust = new Trust(suite, lists, extra, policy?.require_bci ?? true);
  return { trust, kind, brand, extra, at: Date.parse(now) };
}

/** Outputs, and the values on the way to them. */
const OPS = {
  "cms.verify"(input, now) {
    const { content, signer, steps } = verify(octets(input.signed), {
      ...trusting(input, now),
      contentType: input.content_type,
      content: input.content === undefined ? undefined : octets(input.content),
    });
    return [{ content: shown(content), signer_thumbprint: shown(signer.thumbprint) }, steps];
  },

  "cms.open"(input) {
    const keys = mapped(input.keys, octets);
    const { content, steps } = open(octets(input.sealed), input.suite, keys, octets(input.context));
    return [{ content: shown(content) }, steps];
  },

  "dual.verify"(input, now) {
    const parts = input.parts.map(({ type, ...part }) => ({ type, ...mapped(part, octets) }));
    const view = { parts, digests: mapped(input.digests, octets), signature: octets(input.signature) };
    const { digests, steps } = verifyDual(view, trusting(input, now));
    return [{ digests: mapped(digests, shown) }, steps];
  },

  "chain.validate"(input, now) {
    const { trust, ...how } = trusting(input, now);
    const leaf = trust.validate(octets(input.certificate), how);
    return [{ party_id: leaf.party, thumbprint: shown(leaf.thumbprint) }, { signed_part: leaf.tbs }];
  },
};

function answer({ id, op, now, input }) {
  if (op === "hello") {
    const ops = Object.keys(OPS);
    return { name: "setproto-node-verifier", version: "1.0.0", suites: Object.keys(SUITES), features: [], ops };
  }
  if (!(op in OPS) || !(input.suite in SUITES)) return { id, result: "unsupported" };
  try {
    const [outputs, steps] = OPS[op](input, now);
    return { id, result: "valid", outputs, intermediate: mapped(steps, shown) };
  } catch (problem) {
    if (!(problem instanceof Refused)) throw problem; // a fault of this program is to be seen
    return { id, result: "invalid", reason: problem.reason };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(answer(JSON.parse(line)))}\n`);
}
