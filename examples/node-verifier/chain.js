// Chains of certificates, revocation, and roots that follow each other.  vectors/README.md, "Certificates".

import { bci, certificate, crl, crlPlace } from "./certificates.js";
import { Refused } from "./der.js";
import { SUITES, verifies } from "./suites.js";

const MAX_CHAINS = 8;
const MAX_DEPTH = 5;
const MAX_EXTRA = 16;

const refuse = (reason, detail) => {
  throw new Refused(reason, detail);
};
const signedBy = (signed, issuer) =>
  signed.suite === issuer.suite && verifies(issuer.suite, issuer.key, signed.tbs, signed.signature);
const issuersOf = (chain) => [...chain.slice(1), chain[chain.length - 1]];
const isIssuer = (candidate, signed) => candidate.subject.equals(signed.issuer) && candidate.ski.equals(signed.aki);
const keyPlace = ({ subject, keyDigest }) => `${subject.toString("hex")}:${keyDigest}`;

/** What one party trusts and knows: roots, certificates of CAs, CRLs, BrandCRLIdentifiers; octets, all of them. */
export class Trust {
  constructor(suite, { roots, certificates = [], crls = [], bcis = [] }, extra, requireBCI) {
    this.suite = SUITES[suite];
    this.requireBCI = requireBCI;
    this.roots = roots.map(certificate);
    this.known = certificates.map(certificate);
    const isRoot = ({ kind }) => kind.name === "root";
    const isCA = (read) => read.kind.use === "issue" && !isRoot(read);
    const all = [...this.roots, ...this.known];
    if (!this.roots.every(isRoot) || !this.known.every(isCA) || all.some((read) => read.suite !== this.suite)) {
      refuse("invalidCertificate", "not a root, or not the certificate of a CA");
    }
    this.crls = new Map();
    this.bcis = new Map();
    for (const der of crls) this.add(this.crls, crl(der), extra);
    for (const der of bcis) this.add(this.bcis, bci(der), extra);
  }

  /** Take in CRLs and a BrandCRLIdentifier that came with an object; those of strangers are left aside. */
  learn(crls, brandList, extra) {
    const lists = [...crls.map((der) => [this.crls, crl(der)]), ...brandList.map((der) => [this.bcis, bci(der)])];
    for (const [store, read] of lists) {
      try {
        this.add(store, read, extra);
      } catch (problem) {
        if (problem.reason !== "missingCertificate") throw problem;
      }
    }
  }

  add(store, read, extra) {
    const wanted = store === this.bcis ? (item) => item.kind.name === "brand CA" : (item) => item.kind.use === "issue";
    const named = this.anchored(read, extra).filter(wanted);
    if (!named.length) refuse("missingCertificate", "issuer of a list");
    const signer = named.find((item) => signedBy(read, item)) ?? refuse("invalidCertificate", "signature of a list");
    if (store === this.bcis && read.brand !== signer.brand) refuse("invalidCertificate", "list of another brand");
    const held = store.get(keyPlace(signer));
    if (held && read.number === held.read.number && !read.tbs.equals(held.read.tbs)) {
      refuse("invalidCertificate", "two lists with one number");
    }
    if (!held || read.number > held.read.number) store.set(keyPlace(signer), { read, signer });
  }

  /** The certificates of an issuer to which a trusted root leads by signatures, whatever the time. */
  anchored(signed, extra) {
    const known = this.candidates(extra);
    const named = [...this.roots, ...known].filter((candidate) => isIssuer(candidate, signed));
    let refusal = new Refused("missingCertificate", "issuer of a list");
    let first = true;
    const found = [];
    for (const chain of this.chainsOf(named, known, -Infinity)) {
      try {
        this.rules(chain);
        this.signatures(chain);
        found.push(chain[0]);
      } catch (problem) {
        if (!(problem instanceof Refused)) throw problem;
        if (first) refusal = problem;
        first = false;
      }
    }
    if (!found.length) throw refusal;
    return found;
  }

  /** Certificates to build chains from; a root that follows a trusted one is trusted from now on. */
  candidates(extra) {
    const large = extra.some(({ length }) => length > 64 * 1024);
    if (large || extra.length > MAX_EXTRA) refuse("invalidCertificate", "too many or too large");
    const known = [...this.known];
    let roots = [];
    for (const der of extra) {
      if ([...this.known, ...this.roots].some((item) => item.der.equals(der))) continue;
      const read = certificate(der);
      (read.kind.name === "root" ? roots : known).push(read);
    }
    for (let adopted = true; adopted; ) {
      const next = roots.find((root) => this.follows(root));
      adopted = next !== undefined;
      if (adopted) this.roots.push(next);
      roots = roots.filter((root) => root !== next);
    }
    return known;
  }

  follows(root) {
    return (
      root.suite === this.suite &&
      this.roots.some(({ next }) => next.toString("hex") === root.keyDigest) &&
      !this.roots.some(({ keyDigest }) => keyDigest === root.keyDigest) &&
      signedBy(root, root)
    );
  }

  *chains(below, known, at) {
    const top = below[below.length - 1];
    if (top.kind.name === "root") {
      if (this.roots.some(({ der }) => der.equals(top.der))) yield below;
      return;
    }
    const issuers = [...this.roots, ...known].filter((candidate) => isIssuer(candidate, top));
    if (below.length >= MAX_DEPTH) {
      if (issuers.length) yield below;
      return;
    }
    const inForce = ({ notBefore, notAfter }) => notBefore <= at && at <= notAfter;
    issuers.sort((a, b) => inForce(b) - inForce(a));
    for (const issuer of issuers) yield* this.chains([...below, issuer], known, at);
  }

  *chainsOf(certificates, known, at) {
    let count = 0;
    for (const item of certificates) {
      for (const chain of this.chains([item], known, at)) {
        if (count++ >= MAX_CHAINS) return;
        yield chain;
      }
    }
  }

  /** What must hold between the members of a chain, but for signatures and times. */
  rules(chain) {
    const invalid = (detail) => refuse("invalidCertificate", detail);
    if (chain[chain.length - 1].kind.name !== "root") invalid("too long");
    for (const item of chain) {
      if (item.suite !== this.suite) invalid("suites are mixed");
      if (item.kind.name !== "root" && item.brand !== chain[0].brand) invalid("brands are mixed");
    }
    for (let i = 1; i < chain.length; i++) {
      if (!chain[i - 1].kind.issuers.includes(chain[i].kind.name)) invalid("issued by another kind");
    }
  }

  signatures(chain) {
    for (let i = 1; i < chain.length; i++) {
      if (!signedBy(chain[i - 1], chain[i])) refuse("invalidCertificate", "signature of a certificate");
    }
  }

  /** Signatures, path lengths, dates, revocation; the CRLs used. */
  verify(chain, at) {
    const root = chain[chain.length - 1];
    if (!signedBy(root, root)) refuse("invalidCertificate", "signature of a root");
    this.signatures(chain);
    chain.forEach((item, depth) => {
      if (depth > 0 && BigInt(depth - 1) > item.pathLength) refuse("invalidCertificate", "path length");
    });
    for (const item of chain) {
      if (at < item.notBefore) refuse("invalidCertificate", "not yet valid");
      if (at > item.notAfter) refuse("expiredCertificate");
    }
    const lists = issuersOf(chain).map((issuer) => this.crls.get(keyPlace(issuer)));
    if (lists.includes(undefined)) refuse("missingCertificate", "CRL");
    chain.forEach((item, index) => {
      const { read } = lists[index];
      if (at < read.thisUpdate || at > read.nextUpdate) refuse("missingCertificate", "CRL not current");
      if (read.revoked.has(item.serial)) refuse("revokedCertificate");
    });
    return lists.map(({ read }) => read);
  }

  /** The brand's list names the CRL of every issuer, and none that was used is older. */
  manifest(chain, crls, known, at) {
    const current = [...this.bcis.values()].filter(({ read, signer }) => {
      const inForce = read.notBefore <= at && at <= read.notAfter;
      return read.brand === chain[0].brand && inForce && this.speaks(signer, chain, known, at);
    });
    if (!current.length) refuse("missingCertificate", "BrandCRLIdentifier");
    for (const used of crls) {
      const place = crlPlace(used.issuer, used.aki);
      const numbers = current.map(({ read }) => read.crls.get(place)).filter((number) => number !== undefined);
      if (!numbers.length || numbers.some((number) => used.number < number)) refuse("missingCertificate", "older CRL");
    }
  }

  /** Whether a brand CA's key may speak for the brand now. */
  speaks(signer, chain, known, at) {
    const isSigner = (item) => keyPlace(item) === keyPlace(signer) && item.kind === signer.kind;
    if (chain.some(isSigner)) return true;
    for (const own of this.chainsOf([signer, ...known].filter(isSigner), known, at)) {
      try {
        this.rules(own);
        this.verify(own, at);
        return true;
      } catch (problem) {
        if (!(problem instanceof Refused)) throw problem;
      }
    }
    return false;
  }

  /** The certificate, if it is a valid one of this kind and brand now.  Refused otherwise. */
  validate(der, { kind, brand, at, extra }) {
    const leaf = certificate(der);
    if (leaf.suite !== this.suite || leaf.kind.name !== kind) refuse("invalidCertificate", "another suite or kind");
    if (brand !== (kind === "root" ? "" : leaf.brand)) refuse("invalidCertificate", "another brand");
    if (leaf.kind.use === "sign") {
      if (at > leaf.period[1]) refuse("expiredCertificate", "private key usage period");
      if (at < leaf.period[0]) refuse("invalidCertificate", "private key usage period");
    }
    const known = this.candidates(extra);
    let refusal;
    for (const chain of this.chainsOf([leaf], known, at)) {
      try {
        this.rules(chain);
        const crls = this.verify(chain, at);
        if (this.requireBCI && kind !== "root") this.manifest(chain, crls, known, at);
        return leaf;
      } catch (problem) {
        if (!(problem instanceof Refused)) throw problem;
        refusal ??= problem;
      }
    }
    throw refusal ?? new Refused("missingCertificate", "no chain");
  }
}
