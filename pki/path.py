"""Chain validation: RFC 5280 by OpenSSL, revocation and the rules of SET here, behind a cache.

Who checks what:

* this module builds the chain, from the certificate to a trusted root, and gives OpenSSL
  exactly that chain and that one root as the only anchor.  OpenSSL has nothing to choose;
* OpenSSL checks signatures, dates, CA bits, path lengths and key identifiers (pki/engine.py);
* ``unrevoked`` checks every certificate of the chain, the root included, against the CRL of its
  issuer.  OpenSSL would parse each CRL again for each certificate.  It is not needed for this: a CRL
  here is complete and direct, and nothing restricts or moves its scope (``check_crl``); its
  signature was checked under exactly the issuer's name and key when it was taken in
  (``CRLStore.add``), and every CA's key may sign CRLs (its profile).  What remains of RFC 5280
  section 6.3.3 is the dates and the serial number;
* ``_manifest`` requires that the brand's BrandCRLIdentifier (6.9) names the CRL of every issuer of
  the chain, and that none older than the one named was used: so that a CRL which somebody
  withholds is missed, and not merely absent;
* ``set_rules`` checks set-protocol.md section 6.6 over the whole chain (pki/rules.py).

Trust comes from the roots handed in, and from the roots to which these have committed (6.8),
never from the operating system's (6.6).
"""

from __future__ import annotations

import hmac
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki.bci import BCIStore, CheckedBCI, check_bci
from pki.checking import CheckedCertificate, check_certificate
from pki.engine import Engine
from pki.errors import CertificateError
from pki.extensions import HashedRootKey, MerchantData
from pki.profiles import CA_KINDS, PROFILES, CertificateKind, Use, path_depth
from pki.revocation import CheckedCRL, CRLStore, check_crl
from pki.rules import ALWAYS, Span, issuers_of, require_signatures, require_suite, set_rules, signed_by, unrevoked
from pki.signed import MAX_CERTIFICATE
from pki.suites import PublicKey, key_suite

__all__ = ["MAX_EXTRA", "PathValidator", "RevocationData", "ValidatedCertificate"]

MAX_EXTRA = 16
"""How many certificates may come along with a message."""
_MAX_POOL = 4096  # CA certificates known to one validator
_MAX_CHAINS = 8  # chains tried before giving up: a renewed CA makes two, an attacker as many as he likes
_CACHE_SIZE = 4096

_X509_SOURCE = "RFC 5280 section 6.1.3"
_SET_SOURCE = "set-protocol.md section 6.6 rule "
_BCI_SOURCE = "set-protocol.md section 6.9"
_ROOT_SOURCE = "set-protocol.md section 6.8"


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


class RevocationData(NamedTuple):
    """What a responder encloses for a peer that lacks it (6.9): a BrandCRLIdentifier and the CRLs it names; DER."""

    bci: bytes | None
    crls: tuple[bytes, ...]


class _Entry(NamedTuple):
    generation: int
    span: Span
    value: ValidatedCertificate


class PathValidator:
    """Validates certificates of one suite under the given roots.

    Certificates given to ``add_certificate`` are *known*, not trusted: each chain is verified from
    its root.  They stay, up to 4096 of them, so add what comes from configuration or has been
    validated before; what arrives with a message goes into ``extra``.

    CRLs and BrandCRLIdentifiers may come from anybody.  They are taken in if a trusted root leads to
    their signer by signatures, whatever the time and whether or not anything is revoked: what a revoked
    or expired CA publishes about its own certificates can only make them more refused than they are.
    """

    # The cache.  A hit skips everything: parsing, chain building, OpenSSL, the SET rules.  It may,
    # because all of that depends on nothing but
    #   - the certificate, to the octet, the kind and the brand: they are the key;
    #   - the trust anchors and the suite: every validator has a cache of its own, its anchors only
    #     become more (``add_root``), and one more only adds chains;
    #   - the CRLs and BrandCRLIdentifiers: an entry is dead as soon as the generation is another;
    #   - the time: an entry holds only within [start, end), the intersection of the validity of
    #     every certificate of the chain (root included), of every CRL and BrandCRLIdentifier
    #     consulted, and of the leaf's private key usage period.  At the edges the full validation
    #     decides.
    # The pool and ``extra`` can only add chains, never take one away.  They might make a
    # BrandCRLIdentifier count whose signer was not valid before; where there is such a one, nothing is
    # cached.  Failures are not cached: a
    # CRL or a CA certificate that arrives later may cure them, and they would let strangers fill
    # the memory.  When there are too many entries, the one not used for the longest time goes.

    def __init__(self, roots: Iterable[x509.Certificate], *, suite: str, require_bci: bool = True) -> None:
        """``require_bci=False``: plain RFC 5280, for trees whose brand CA publishes no BrandCRLIdentifier.  Then a
        CRL that is withheld goes unnoticed until the one at hand expires.

        ValueError if ``roots`` is empty; CertificateError if one is not a root of ``suite``.
        """
        self._suite = key_suite(suite)
        self._require_bci = require_bci
        checked = [check_certificate(root.public_bytes(Encoding.DER)) for root in roots]
        # Adding to a dict, and making a list of one, are each one step for other threads.
        self._roots = {root.der: root for root in checked}
        if not self._roots:
            raise ValueError("no trusted root: nothing could ever be valid")
        for root in checked:
            self._require_root(root)
        self._adopting = threading.Lock()
        self._pool: dict[bytes, CheckedCertificate] = {}
        self._crls = CRLStore()
        self._bcis = BCIStore()
        self._engine = Engine(lambda der: der in self._pool or der in self._roots)
        self._cache: OrderedDict[tuple[bytes, CertificateKind, str], _Entry] = OrderedDict()

    def __repr__(self) -> str:
        return f"<PathValidator suite {self._suite.name}, {len(self._roots)} roots, {len(self._pool)} CAs>"

    @property
    def suite(self) -> str:
        """The name of the one suite that this validator accepts."""
        return self._suite.name

    @property
    def generation(self) -> int:
        """Grows with every new CRL and BrandCRLIdentifier; conclusions drawn under another value are stale."""
        return self._crls.generation + self._bcis.generation

    @property
    def roots(self) -> tuple[bytes, ...]:
        """All trusted roots in DER, those of ``add_root`` included: what a program should keep."""
        return tuple(self._roots)

    @property
    def known(self) -> tuple[bytes, ...]:
        """The CA certificates of ``add_certificate`` in DER."""
        return tuple(self._pool)

    def add_certificate(self, der: bytes) -> None:
        """Make a CA certificate known.  CertificateError if it breaks its profile, is no CA's, or is a
        root: a root is trusted by being handed to the constructor, or by ``add_root``."""
        certificate = check_certificate(der)
        if certificate.kind not in CA_KINDS or certificate.kind is CertificateKind.ROOT:
            raise certificate.error("invalidCertificate", "not the certificate of a subordinate CA", _SET_SOURCE + "6")
        require_suite(certificate, self._suite)
        if len(self._pool) >= _MAX_POOL and der not in self._pool:
            raise certificate.error("invalidCertificate", "too many CA certificates", "pki/path.py")
        self._pool[der] = certificate

    def add_intermediates(self, ders: Iterable[bytes]) -> None:
        """``add_certificate`` for each."""
        for der in ders:
            self.add_certificate(der)

    def add_root(self, der: bytes) -> bool:
        """Trust a new root (DER), if a root trusted here has committed to its key (6.8).  False if it is trusted
        already.  The old one stays trusted beside it until it expires; a validator made with the new one alone
        trusts no other.

        The commitment of an expired root still counts: it was made while the root was in force, and a program
        that was switched off meanwhile has no other way to the new one.  A commitment that is fulfilled counts
        no more: whoever steals the key of the present root could else make another certificate for it that
        commits to a successor of his own, which is what commitments are there to prevent.

        CertificateError("invalidCertificate") for anything but a self-signed root of the suite with a new key,
        whose SubjectPublicKeyInfo is what hashedRootKey of a trusted root is the SHA-256 of.
        """
        if der in self._roots:
            return False
        self._adopt(check_certificate(der))
        return True

    def _adopt(self, root: CheckedCertificate) -> None:
        self._require_root(root)
        with self._adopting:  # two at a time must not fulfil one commitment twice
            trusted = list(self._roots.values())
            if not any(_commits(earlier, root) for earlier in trusted):
                raise root.error("invalidCertificate", "no trusted root has committed to this key", _ROOT_SOURCE)
            if any(earlier.key_digest == root.key_digest for earlier in trusted):
                raise root.error("invalidCertificate", "another root with this key is trusted", _ROOT_SOURCE)
            if not signed_by(root, root):
                raise root.error("invalidCertificate", "the root has not signed itself", _X509_SOURCE)
            self._roots[root.der] = root

    def add_crl(self, der: bytes, extra: Sequence[bytes] = ()) -> None:
        """Take in a CRL (DER).  Its issuer is a root, or one that a root leads to through certificates known or
        in ``extra`` (as for ``validate``).  An older CRL than the one held changes nothing.

        CertificateError: "missingCertificate" if there is no such issuer; "invalidCertificate" if the CRL breaks
        its profile, is not signed by its issuer, or has the number of the one held but other contents.
        """
        if not self._crls.holds(der):
            crl = check_crl(der)
            self._crls.add(crl, self._anchored(crl, extra))

    def add_bci(self, der: bytes, extra: Sequence[bytes] = ()) -> None:
        """Take in a BrandCRLIdentifier (DER), whose signer is to be a brand CA.  All else as for ``add_crl``."""
        if not self._bcis.holds(der):
            bci = check_bci(der)
            self._bcis.add(bci, self._anchored(bci, extra))

    def revocation(self, brand: str) -> RevocationData:
        """The newest BrandCRLIdentifier held for ``brand``, None if there is none, and those CRLs it names that
        are held.  Nothing says that they are still current."""
        held = [bci for bci, _ in self._bcis.of_brand(brand)]
        if not held:
            return RevocationData(None, ())
        newest = max(held, key=lambda bci: (bci.not_before, bci.number))
        return RevocationData(newest.der, self._crls.listed(newest.crls))

    def validate(
        self, der: bytes, *, kind: CertificateKind, brand: str, at: datetime, extra: Sequence[bytes] = ()
    ) -> ValidatedCertificate:
        """The certificate ``der``, if at the aware time ``at`` it is a valid one of this kind and brand.

        ``brand`` is the brand of the caller's transaction ("" for the root itself).  ``extra``: other
        certificates that came with the message, in DER, at most 16 of at most 64 KiB; a new root among them
        is treated as by ``add_root`` when they are needed, that is, unless ``der`` is in the cache.

        CertificateError: "expiredCertificate", "revokedCertificate"; "missingCertificate" if an issuer's
        certificate or current CRL, or the brand's BrandCRLIdentifier, is not at hand; "invalidCertificate" for
        every other broken rule.
        ValueError or TypeError if ``at`` is naive.
        """
        key = (der, kind, brand)
        entry = self._cache.get(key)
        if (
            entry is not None
            and entry.generation == self.generation
            and entry.span.start <= at < entry.span.end  # TypeError for a naive time: nothing is returned
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
        generation = self.generation
        leaf = check_certificate(der)
        require_suite(leaf, self._suite)
        if leaf.kind is not kind:
            raise leaf.error("invalidCertificate", f"not a {kind} certificate", _SET_SOURCE + "6")
        if brand != ("" if kind is CertificateKind.ROOT else leaf.name.organization):
            raise leaf.error("invalidCertificate", "certificate of another brand", _SET_SOURCE + "7")
        if PROFILES[kind].use is Use.SIGN and not (leaf.private_key_not_before <= at <= leaf.private_key_not_after):
            raise self._outside_key_period(leaf, at)
        known = self._candidates(extra)
        first_refusal: CertificateError | None = None
        for chain in self._chains_of([leaf], known, at):
            try:
                set_rules(chain, self._suite)
                crls, span = self._verify(chain, at)
                if self._require_bci and kind is not CertificateKind.ROOT:
                    span = span.cut(*self._manifest(chain, crls, known, at))
            except CertificateError as refusal:
                first_refusal = first_refusal or refusal
                continue
            return self._remember(generation, chain, span, kind, brand)
        raise first_refusal or leaf.error("missingCertificate", "no chain to a trusted root", _X509_SOURCE)

    def _candidates(self, extra: Sequence[bytes]) -> list[CheckedCertificate]:
        """Certificates to build chains from: known ones first, then those that came along, but no roots.

        A new root may come along, too (6.8): it is trusted if ``add_root`` says so, and else ignored.
        """
        if len(extra) > MAX_EXTRA or any(len(item) > MAX_CERTIFICATE for item in extra):
            raise CertificateError(
                "invalidCertificate",
                f"more than {MAX_EXTRA} certificates or {MAX_CERTIFICATE} octets",
                "pki/path.py",
            )
        known = list(self._pool.values())
        roots: list[CheckedCertificate] = []
        for item in extra:
            if item not in self._pool and item not in self._roots:
                certificate = check_certificate(item)
                (roots if certificate.kind is CertificateKind.ROOT else known).append(certificate)
        # One may commit to the next, in any order.
        while adopted := [root for root in roots if self._adopts(root)]:
            roots = [root for root in roots if root not in adopted]
        return known

    def _adopts(self, root: CheckedCertificate) -> bool:
        try:
            self._adopt(root)
        except CertificateError:
            return False
        return True

    def _chains_of(
        self, certificates: Iterable[CheckedCertificate], known: list[CheckedCertificate], at: datetime
    ) -> Iterator[tuple[CheckedCertificate, ...]]:
        """The first few chains to trusted roots that start with any of ``certificates``, in their order."""
        return islice(
            (chain for certificate in certificates for chain in self._chains((certificate,), known, at)), _MAX_CHAINS
        )

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
            if top.der in self._roots:
                yield below
            return
        issuers = [
            candidate
            for candidate in (*list(self._roots.values()), *known)
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

    def _crls_of(self, chain: tuple[CheckedCertificate, ...]) -> list[CheckedCRL]:
        """The newest CRL of the issuer of each certificate; looked up once, so that all rules see the same."""
        crls: list[CheckedCRL] = []
        for issuer in issuers_of(chain):
            crl = self._crls.newest(issuer)
            if crl is None:
                raise issuer.error("missingCertificate", "CRL missing", _SET_SOURCE + "10")
            crls.append(crl)
        return crls

    def _verify(self, chain: tuple[CheckedCertificate, ...], at: datetime) -> tuple[list[CheckedCRL], Span]:
        """Signatures and dates by OpenSSL, then revocation, in the order of RFC 5280 section 6.1.3: nothing is called
        revoked whose signature is not good.  The CRLs used, and the times for which both would say the same."""
        self._engine.verify(chain, at)
        crls = self._crls_of(chain)
        span = unrevoked(chain, crls, at)
        for certificate in chain:
            span = span.cut(certificate.not_before, certificate.not_after)
        return crls, span

    def _manifest(
        self,
        chain: tuple[CheckedCertificate, ...],
        crls: list[CheckedCRL],
        known: list[CheckedCertificate],
        at: datetime,
    ) -> Span:
        """The rule of 6.9: the brand's current list names the CRL of every issuer, and none at hand is older.

        A CRL newer than the one named is fine: it was published after the list.  A brand CA that has had
        several keys may have several lists in force; what any of them says about an issuer counts, and each
        issuer must be in one.
        """
        span = ALWAYS
        current: list[CheckedBCI] = []
        for bci, signer in self._bcis.of_brand(chain[0].name.organization):
            if at < bci.not_before:
                span = span.cut(span.start, bci.not_before)
            elif at > bci.not_after:
                span = span.cut(at, span.end)
            elif (signer_span := self._signer_span(signer, chain, known, at)) is None:
                span = Span(at, at)  # holds at no other time: see the cache
            else:
                current.append(bci)
                span = span.cut(*signer_span).cut(bci.not_before, bci.not_after)
        if not current:
            raise chain[0].error("missingCertificate", "no current BrandCRLIdentifier", _BCI_SOURCE)
        for issuer, crl in zip(issuers_of(chain), crls, strict=True):
            numbers = [bci.crls.get((crl.issuer, crl.authority_key_identifier)) for bci in current]
            named = [number for number in numbers if number is not None]
            if not named:
                raise issuer.error("missingCertificate", "not in the BrandCRLIdentifier", _BCI_SOURCE)
            if crl.number < max(named):
                raise issuer.error("missingCertificate", "CRL older than the BrandCRLIdentifier says", _BCI_SOURCE)
        return span

    def _signer_span(
        self,
        signer: CheckedCertificate,
        chain: tuple[CheckedCertificate, ...],
        known: list[CheckedCertificate],
        at: datetime,
    ) -> Span | None:
        """For how long a brand CA's key may speak for the brand; None if at ``at`` it may not.

        Usually it is in the chain, which has been verified.  Else the brand CA has several keys, or the leaf is
        its own message certificate: then its certificates are validated, by the same rules without the list.
        """

        def is_signer(certificate: CheckedCertificate) -> bool:
            return (certificate.kind, certificate.subject, certificate.key_digest) == (
                signer.kind,
                signer.subject,
                signer.key_digest,
            )

        if any(is_signer(certificate) for certificate in chain):
            return ALWAYS
        for own_chain in self._chains_of(filter(is_signer, (signer, *known)), known, at):
            with suppress(CertificateError):
                set_rules(own_chain, self._suite)
                return self._verify(own_chain, at)[1]
        return None

    def _anchored(self, signed: CheckedCRL | CheckedBCI, extra: Sequence[bytes]) -> list[CheckedCertificate]:
        """The certificates of the issuer, by name and key identifier, to which a trusted root leads by signatures.

        Neither dates nor revocation count here.  That lets a strange CA fill no place in the stores, and a
        revoked or expired one only its own, which nobody looks at without refusing its certificates first.
        """
        known = self._candidates(extra)
        named = [
            candidate
            for candidate in (*list(self._roots.values()), *known)
            if candidate.subject == signed.issuer
            and candidate.subject_key_identifier == signed.authority_key_identifier
        ]
        if not named:
            raise CertificateError(
                "missingCertificate", "no certificate of the issuer", _X509_SOURCE, subject=signed.printable
            )
        anchored: list[CheckedCertificate] = []
        first_refusal: CertificateError | None = None
        for chain in self._chains_of(named, known, ALWAYS.start):
            try:
                set_rules(chain, self._suite)
                require_signatures(chain)
            except CertificateError as refusal:
                first_refusal = first_refusal or refusal
                continue
            anchored.append(chain[0])
        if not anchored:
            raise first_refusal or named[0].error("missingCertificate", "no chain to a trusted root", _X509_SOURCE)
        return anchored

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

    def _require_root(self, certificate: CheckedCertificate) -> None:
        if certificate.kind is not CertificateKind.ROOT:
            raise certificate.error("invalidCertificate", "not a root certificate", _SET_SOURCE + "1")
        require_suite(certificate, self._suite)

    def _remember(
        self,
        generation: int,
        chain: tuple[CheckedCertificate, ...],
        span: Span,
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
        if PROFILES[kind].use is Use.SIGN:
            span = span.cut(leaf.private_key_not_before, leaf.private_key_not_after)
        self._cache[leaf.der, kind, brand] = _Entry(generation, span, value)
        with suppress(KeyError):  # other threads drop entries, too
            self._cache.move_to_end((leaf.der, kind, brand))
            if len(self._cache) > _CACHE_SIZE:
                self._cache.popitem(last=False)
        return value


def _commits(trusted: CheckedCertificate, root: CheckedCertificate) -> bool:
    """Whether hashedRootKey of a trusted root is the digest of the key of ``root``."""
    return any(
        isinstance(extension, HashedRootKey) and hmac.compare_digest(extension.digest, root.key_digest)
        for extension in trusted.private_extensions
    )
