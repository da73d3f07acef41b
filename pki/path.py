"""Chain validation: RFC 5280 by OpenSSL, then the rules of SET, behind a cache.

OpenSSL is reached through pyOpenSSL, in this module only (docs/adr, architecture 3.8):
pyOpenSSL calls this part of itself "pending deprecation", so the engine must be
replaceable in one file.  ``cryptography.x509.verification`` cannot serve: it has no CRLs,
no Ed25519, and no private critical extensions.

Who checks what:

* this module builds the chain, from the certificate to a trusted root, and gives OpenSSL
  exactly that chain, that one root as the only anchor, and the one CRL of every issuer in
  it.  OpenSSL has nothing to choose;
* OpenSSL checks signatures, dates, CA bits, path lengths, key identifiers, and every
  certificate of the chain, the root included, against the CRL of its issuer;
* SET's certificates have private *critical* extensions, and OpenSSL's flag to ignore what it
  does not know is all or nothing.  So the flag is set, and ``check_certificate`` and
  ``check_crl`` refuse every extension, critical or restricting, that is not enforced here;
* ``_set_rules`` checks set-protocol.md section 6.6 over the whole chain.

Trust comes from the roots handed in, never from the operating system's (6.6).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import crypto

from pki.checking import CheckedCertificate, check_certificate
from pki.errors import CertificateError, ErrorCode
from pki.extensions import MerchantData
from pki.profiles import CA_KINDS, PROFILES, CertificateKind, Use, path_depth
from pki.revocation import CheckedCRL, CRLStore
from pki.signed import MAX_CERTIFICATE
from pki.suites import PublicKey, key_suite

__all__ = ["MAX_EXTRA", "PathValidator", "ValidatedCertificate"]

MAX_EXTRA = 16
"""How many certificates may come along with a message."""
_MAX_POOL = 4096  # CA certificates known to one validator
_MAX_CHAINS = 8  # chains tried before giving up: a renewed CA makes two, an attacker as many as he likes
_CACHE_SIZE = 4096

_X509_SOURCE = "RFC 5280 section 6.1.3"
_SET_SOURCE = "set-protocol.md section 6.6 rule "

# OpenSSL's X509_V_ERR_* numbers (x509_vfy.h), where a code other than invalidCertificate is due.
_OPENSSL: dict[int, tuple[ErrorCode, str]] = {
    2: ("missingCertificate", "issuer certificate missing"),
    3: ("missingCertificate", "CRL missing"),
    9: ("invalidCertificate", "not yet valid"),
    10: ("expiredCertificate", "expired"),
    11: ("missingCertificate", "CRL not yet valid"),
    12: ("missingCertificate", "CRL expired"),
    20: ("missingCertificate", "issuer certificate missing"),
    23: ("revokedCertificate", "revoked"),
    33: ("missingCertificate", "issuer of the CRL missing"),
}
# X509_STRICT: no allowances for certificates that break RFC 5280.
_FLAGS = (
    crypto.X509StoreFlags.CRL_CHECK
    | crypto.X509StoreFlags.CRL_CHECK_ALL
    | crypto.X509StoreFlags.X509_STRICT
    | crypto.X509StoreFlags.IGNORE_CRITICAL
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidatedCertificate:
    """A certificate that was genuine, in force and unrevoked at the time it was validated for.

    Only ``PathValidator.validate`` makes these.

    * ``suite``: the name of its suite.  ``brand``: organizationName, "" for the root.
    * ``party_id``: a merchant's merID; the commonName of a cardholder or gateway; of a CA the
      commonName, or if it has none the organizationalUnitName (the root: organizationName).
    * ``public_key``: parsed once.  ``thumbprint``: SHA-256 over the signed part, 32 octets (SET 4.3).
    * ``chain``: DER of the CA certificates from its issuer up to, not including, the root.
    * times are aware, in UTC, both ends included; the ``private_key_*`` ones are those of the
      certificate where the kind has no privateKeyUsagePeriod.
    """

    der: bytes = field(repr=False)
    certificate: x509.Certificate = field(repr=False)
    kind: CertificateKind
    suite: str
    brand: str
    party_id: str
    public_key: PublicKey = field(repr=False)
    subject_key_identifier: bytes
    thumbprint: bytes
    chain: tuple[bytes, ...] = field(repr=False)
    merchant_data: MerchantData | None
    not_before: datetime
    not_after: datetime
    private_key_not_before: datetime
    private_key_not_after: datetime


class _Entry(NamedTuple):
    generation: int
    start: datetime
    end: datetime
    value: ValidatedCertificate


class PathValidator:
    """Validates certificates of one suite under the given roots.

    Certificates given to ``add_certificate`` are *known*, not trusted: each chain is verified from
    its root.  They stay, up to 4096 of them, so add what comes from configuration or has been
    validated before; what arrives with a message goes into ``extra``.
    """

    # The cache.  A hit skips everything: parsing, chain building, OpenSSL, the SET rules.  It may,
    # because all of that depends on nothing but
    #   - the certificate, to the octet, the kind and the brand: they are the key;
    #   - the trust anchors and the suite: they never change in the life of a validator, and every
    #     validator has a cache of its own;
    #   - the CRLs: an entry is dead as soon as the store's generation is another;
    #   - the time: an entry holds only within [start, end), the intersection of the validity of
    #     every certificate of the chain (root included), of every CRL consulted, and of the
    #     leaf's private key usage period.  At the edges the full validation decides.
    # The pool and ``extra`` can only add chains, never take one away.  Failures are not cached: a
    # CRL or a CA certificate that arrives later may cure them, and they would let strangers fill
    # the memory.  When there are too many entries, the one not used for the longest time goes.

    def __init__(self, roots: Iterable[x509.Certificate], *, suite: str) -> None:
        """ValueError if ``roots`` is empty; CertificateError if one is not a root of ``suite``."""
        self._suite = key_suite(suite)
        self._roots = tuple(check_certificate(root.public_bytes(Encoding.DER)) for root in roots)
        self._root_ders = frozenset(root.der for root in self._roots)
        if not self._roots:
            raise ValueError("no trusted root: nothing could ever be valid")
        for root in self._roots:
            if root.kind is not CertificateKind.ROOT:
                raise root.error("invalidCertificate", "not a root certificate", _SET_SOURCE + "1")
            if root.suite is not self._suite:
                raise root.error("invalidCertificate", f"not of suite {suite}", "architecture section 3.3")
        self._pool: dict[bytes, CheckedCertificate] = {}
        self._crls = CRLStore()
        self._openssl: dict[bytes, crypto.X509] = {}
        self._cache: OrderedDict[tuple[bytes, CertificateKind, str], _Entry] = OrderedDict()

    def __repr__(self) -> str:
        return f"<PathValidator suite {self._suite.name}, {len(self._roots)} roots, {len(self._pool)} CAs>"

    @property
    def generation(self) -> int:
        """Grows with every new CRL; conclusions drawn under another value are stale."""
        return self._crls.generation

    def add_certificate(self, der: bytes) -> None:
        """Make a CA certificate known.  CertificateError if it breaks its profile, is no CA's, or is a
        root: a root is trusted by being handed to the constructor, and in no other way."""
        certificate = check_certificate(der)
        if certificate.kind not in CA_KINDS or certificate.kind is CertificateKind.ROOT:
            raise certificate.error("invalidCertificate", "not the certificate of a subordinate CA", _SET_SOURCE + "6")
        self._require_suite(certificate)
        if len(self._pool) >= _MAX_POOL and der not in self._pool:
            raise certificate.error("invalidCertificate", "too many CA certificates", "pki/path.py")
        self._pool[der] = certificate

    def add_intermediates(self, ders: Iterable[bytes]) -> None:
        """``add_certificate`` for each."""
        for der in ders:
            self.add_certificate(der)

    def add_crl(self, crl_der: bytes) -> None:
        """Take in a CRL; its issuer must be a root or known through ``add_certificate``.

        An older CRL than the one held changes nothing.  CertificateError as in ``CRLStore.add``.
        """
        self._crls.add(crl_der, [*self._roots, *self._pool.values()])

    def validate(
        self, der: bytes, *, kind: CertificateKind, brand: str, at: datetime, extra: Sequence[bytes] = ()
    ) -> ValidatedCertificate:
        """The certificate ``der``, if at the aware time ``at`` it is a valid one of this kind and brand.

        ``brand`` is the brand of the caller's transaction ("" for the root itself).  ``extra``: other
        certificates that came with the message, in DER, at most 16 of at most 64 KiB.

        CertificateError: "expiredCertificate", "revokedCertificate"; "missingCertificate" if an issuer's
        certificate or current CRL is not at hand; "invalidCertificate" for every other broken rule.
        ValueError or TypeError if ``at`` is naive.
        """
        key = (der, kind, brand)
        entry = self._cache.get(key)
        if (
            entry is not None
            and entry.generation == self._crls.generation
            and entry.start <= at < entry.end  # TypeError for a naive time: nothing is returned
        ):
            # Another thread may have dropped the entry meanwhile; it was good when it was read.
            with suppress(KeyError):
                self._cache.move_to_end(key)
            return entry.value
        return self._validate(der, kind, brand, at, extra)

    def _validate(
        self, der: bytes, kind: CertificateKind, brand: str, at: datetime, extra: Sequence[bytes]
    ) -> ValidatedCertificate:
        if at.tzinfo is None:
            raise ValueError("a time without a time zone")
        at = at.astimezone(UTC)
        # Read before the CRLs are: if one is replaced meanwhile, the entry is born stale.
        generation = self._crls.generation
        leaf = check_certificate(der)
        self._require_suite(leaf)
        if leaf.kind is not kind:
            raise leaf.error("invalidCertificate", f"not a {kind} certificate", _SET_SOURCE + "6")
        if brand != ("" if kind is CertificateKind.ROOT else leaf.name.organization):
            raise leaf.error("invalidCertificate", "certificate of another brand", _SET_SOURCE + "7")
        if PROFILES[kind].use is Use.SIGN and not (leaf.private_key_not_before <= at <= leaf.private_key_not_after):
            raise self._outside_key_period(leaf, at)
        known = self._candidates(extra)
        first_refusal: CertificateError | None = None
        for count, chain in enumerate(self._chains((leaf,), known, at)):
            if count == _MAX_CHAINS:
                break
            try:
                self._set_rules(chain)
                crls = self._verify(chain, at)
            except CertificateError as refusal:
                first_refusal = first_refusal or refusal
                continue
            return self._remember(generation, chain, crls, kind, brand)
        raise first_refusal or leaf.error("missingCertificate", "no chain to a trusted root", _X509_SOURCE)

    def _candidates(self, extra: Sequence[bytes]) -> list[CheckedCertificate]:
        """Certificates to build chains from: known ones first, then those that came along, but no roots."""
        if len(extra) > MAX_EXTRA or any(len(item) > MAX_CERTIFICATE for item in extra):
            raise CertificateError(
                "invalidCertificate",
                f"more than {MAX_EXTRA} certificates or {MAX_CERTIFICATE} octets",
                "pki/path.py",
            )
        known = list(self._pool.values())
        for item in extra:
            if item not in self._pool:
                certificate = check_certificate(item)
                if certificate.kind is not CertificateKind.ROOT:
                    known.append(certificate)
        return known

    def _chains(
        self, below: tuple[CheckedCertificate, ...], known: list[CheckedCertificate], at: datetime
    ) -> Iterator[tuple[CheckedCertificate, ...]]:
        """Every chain from ``below`` to a trusted root, by name and key identifier, likely ones first.

        Kinds are not looked at yet: a certificate from the wrong sort of issuer is to be refused for
        that (``_set_rules``), not called missing.  The length ends every circle.  A chain of
        ``path_depth()`` certificates without a root comes out too, to be refused as too long.
        """
        top = below[-1]
        if top.kind is CertificateKind.ROOT:
            if top.der in self._root_ders:
                yield below
            return
        issuers = [
            candidate
            for candidate in (*self._roots, *known)
            if candidate.subject == top.issuer and candidate.subject_key_identifier == top.authority_key_identifier
        ]
        if len(below) >= path_depth():
            if issuers:
                yield below
            return
        # A renewed CA has several certificates for one key; the one in force comes first.
        issuers.sort(key=lambda candidate: not candidate.not_before <= at <= candidate.not_after)
        for issuer in issuers:
            yield from self._chains((*below, issuer), known, at)

    def _set_rules(self, chain: tuple[CheckedCertificate, ...]) -> None:
        """The rules of 6.6 that are about the chain; those about one certificate are its profile's."""
        brand = chain[0].name.organization
        if chain[-1].kind is not CertificateKind.ROOT:
            raise chain[0].error(
                "invalidCertificate", f"a chain of more than {path_depth()} certificates", _SET_SOURCE + "4"
            )
        for certificate in chain:
            self._require_suite(certificate)
            if certificate.kind is not CertificateKind.ROOT and certificate.name.organization != brand:
                raise certificate.error("invalidCertificate", "the chain mixes brands", _SET_SOURCE + "7")
        for certificate, issuer in pairwise(chain):
            if issuer.kind not in PROFILES[certificate.kind].issuers:
                raise certificate.error("invalidCertificate", f"issued by a {issuer.kind}", _SET_SOURCE + "6")

    def _verify(self, chain: tuple[CheckedCertificate, ...], at: datetime) -> list[CheckedCRL]:
        """OpenSSL's verdict on the chain; returns the CRLs that it was reached with."""
        store = crypto.X509Store()
        store.set_time(at)  # pyOpenSSL reads the fields as UTC, which ``at`` is in
        store.set_flags(_FLAGS)
        store.add_cert(self._parsed(chain[-1]))
        crls: list[CheckedCRL] = []
        for issuer in chain[1:] or chain:  # a root is on nobody's list but its own
            crl = self._crls.newest(issuer)
            if crl is None:
                raise issuer.error("missingCertificate", "CRL missing", "set-protocol.md section 6.6 rule 10")
            store.add_crl(crl.crl)
            crls.append(crl)
        untrusted = [self._parsed(certificate) for certificate in chain[1:-1]]
        try:
            verified = crypto.X509StoreContext(store, self._parsed(chain[0]), untrusted).get_verified_chain()
        except crypto.X509StoreContextError as refusal:
            raise self._translate(refusal, chain) from None
        # OpenSSL may not have found a way of its own.
        if len(verified) != len(chain):
            raise chain[0].error("invalidCertificate", "OpenSSL verified another chain", _X509_SOURCE)
        return crls

    def _parsed(self, certificate: CheckedCertificate) -> crypto.X509:
        """The certificate as OpenSSL's object; kept for the CAs we know, since they come again and again."""
        found = self._openssl.get(certificate.der)
        if found is None:
            try:
                found = crypto.X509.from_cryptography(certificate.certificate)
            except crypto.Error:  # two parsers, and this one is stricter here (string types in names, for one)
                raise certificate.error("invalidCertificate", "OpenSSL cannot read it", _X509_SOURCE) from None
            if certificate.der in self._pool or certificate.der in self._root_ders:
                self._openssl[certificate.der] = found
        return found

    def _translate(
        self, refusal: crypto.X509StoreContextError, chain: tuple[CheckedCertificate, ...]
    ) -> CertificateError:
        number, depth, text = refusal.errors
        code, rule = _OPENSSL.get(number, ("invalidCertificate", f"OpenSSL {number}: {text}"))
        concerned = chain[depth] if 0 <= depth < len(chain) else chain[0]
        return concerned.error(code, rule, _X509_SOURCE)

    def _outside_key_period(self, leaf: CheckedCertificate, at: datetime) -> CertificateError:
        # Whoever signs after the certificate itself has ended is told that, not the lesser reason.
        if at > leaf.not_after:
            return leaf.error("expiredCertificate", "expired", _X509_SOURCE)
        if at < leaf.not_before:
            return leaf.error("invalidCertificate", "not yet valid", _X509_SOURCE)
        return leaf.error(
            "expiredCertificate" if at > leaf.private_key_not_after else "invalidCertificate",
            "outside the private key usage period",
            _SET_SOURCE + "3",
        )

    def _require_suite(self, certificate: CheckedCertificate) -> None:
        if certificate.suite is not self._suite:
            raise certificate.error(
                "invalidCertificate", f"not of suite {self._suite.name}", "architecture section 3.3"
            )

    def _remember(
        self,
        generation: int,
        chain: tuple[CheckedCertificate, ...],
        crls: list[CheckedCRL],
        kind: CertificateKind,
        brand: str,
    ) -> ValidatedCertificate:
        leaf = chain[0]
        merchant_data = leaf.merchant_data
        value = ValidatedCertificate(
            der=leaf.der,
            certificate=leaf.certificate,
            kind=kind,
            suite=leaf.suite.name,
            brand=brand,
            party_id=(
                merchant_data.mer_id
                if merchant_data is not None
                else leaf.name.common_name or " ".join(leaf.name.units) or leaf.name.organization
            ),
            public_key=leaf.public_key,
            subject_key_identifier=leaf.subject_key_identifier,
            thumbprint=leaf.thumbprint,
            chain=tuple(certificate.der for certificate in chain[1:-1]),
            merchant_data=merchant_data,
            not_before=leaf.not_before,
            not_after=leaf.not_after,
            private_key_not_before=leaf.private_key_not_before,
            private_key_not_after=leaf.private_key_not_after,
        )
        starts = [certificate.not_before for certificate in chain] + [crl.this_update for crl in crls]
        ends = [certificate.not_after for certificate in chain] + [crl.next_update for crl in crls]
        if PROFILES[kind].use is Use.SIGN:
            starts.append(leaf.private_key_not_before)
            ends.append(leaf.private_key_not_after)
        self._cache[leaf.der, kind, brand] = _Entry(generation, max(starts), min(ends), value)
        self._cache.move_to_end((leaf.der, kind, brand))
        if len(self._cache) > _CACHE_SIZE:
            self._cache.popitem(last=False)
        return value
