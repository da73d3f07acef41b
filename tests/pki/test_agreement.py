"""A second validator's verdict on more than a thousand chains: pyhanko-certvalidator beside ``PathValidator``.

pyhanko-certvalidator does RFC 5280 in Python on asn1crypto, and shares with pki neither parser nor path
logic (the signature primitives are ``cryptography``'s in both).  Both get the same certificates, CRLs and moment;
pyhanko in mode "require", without network or tolerance of time, with the SET root policy as the one acceptable
policy and the key usage of the kind asked for.  It verifies all four suites, so none is left out.  It knows no
BrandCRLIdentifier: pki is asked without one here, and ``test_rules`` asks with one.

Every chain is good but for one fault.  Where the two differ, ``DIFFERENCES`` says why, one by one, and an entry
that does not differ any more, in every suite and at both depths, fails.  All go one way: pki refuses more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

import pytest
from asn1crypto import crl as asn1_crl
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from pyhanko_certvalidator import CertificateValidator, ValidationContext, validate
from pyhanko_certvalidator.errors import ExpiredError, PathError, RevokedError, ValidationError
from pyhanko_certvalidator.policy_decl import PKIXValidationParams

from pki import SUITES, CertificateError, CertificateKind, PathValidator
from pki.extensions import CRITICAL, SET_ROOT_POLICY
from pki.profiles import PROFILES
from tests.pki import chains
from tests.pki.chains import LEAVES, LEAVES_OF_SUPERIORS, Chain, Fault

_ALL, _ISSUED, _ISSUERS, _CAS, _LEAF = (0, 0), (1, 0), (0, -1), (1, -1), (-1, 0)
FAULTS: dict[Fault, tuple[int, int]] = {
    # each fault, and the levels at which it is made: from the first on, to the last (0) or the one before (-1)
    chains.expired: _ALL,
    chains.not_yet_valid: _ALL,
    chains.last_second: _ALL,
    chains.first_second: _ALL,
    chains.outlives_its_issuer: _ISSUED,
    chains.bad_signature: _ALL,
    chains.stranger_signed: _ALL,
    chains.unknown_critical: _ALL,
    chains.unknown_harmless: _ALL,
    chains.unenforced: _ALL,
    chains.other_policy: _ALL,
    chains.any_policy: _ALL,
    chains.no_policy: _ALL,
    chains.one_more_policy: _ALL,
    chains.wrong_authority_key: _ISSUED,
    chains.wrong_subject_key: _CAS,
    chains.issuer_misnamed: _ISSUED,
    chains.subject_misnamed: _ISSUERS,
    chains.missing: _CAS,
    chains.impostor_beside: _CAS,
    chains.expired_beside: _CAS,
    chains.no_ca: _ISSUERS,
    chains.no_cert_sign: _ISSUERS,
    chains.no_crl_sign: _ISSUERS,
    chains.path_too_short: (0, -2),
    chains.path_just_long_enough: _ISSUERS,
    chains.leaf_as_ca: _LEAF,
    chains.ca_as_leaf: _LEAF,
    chains.revoked: _ALL,
    chains.revoked_with_reason: _ISSUED,
    chains.another_revoked: _ISSUED,
    chains.older_crl_replayed: _ISSUED,
    chains.no_crl: _ISSUERS,
    chains.crl_expired: _ISSUERS,
    chains.crl_not_yet_valid: _ISSUERS,
    chains.crl_first_second: _ISSUERS,
    chains.crl_last_second: _ISSUERS,
    chains.crl_by_a_stranger: _ISSUERS,
    chains.crl_by_another_ca: _ISSUERS,
    chains.crl_of_another_name: _ISSUERS,
    chains.crl_bad_signature: _ISSUERS,
    chains.crl_unknown_critical: _ISSUERS,
    chains.crl_unknown_harmless: _ISSUERS,
    chains.crl_delta: _ISSUERS,
    chains.crl_of_attribute_certificates: _ISSUERS,
    chains.crl_without_key_identifier: _ISSUERS,
    chains.wrong_role: _LEAF,
    chains.two_roles: _LEAF,
    chains.no_role: _LEAF,
    chains.wrong_issuer_kind: _LEAF,
    chains.wrong_brand: _LEAF,
    chains.mixed_brands: _LEAF,
    chains.key_period_over: _LEAF,
    chains.other_suite: _LEAF,
}

_ANCHOR = "RFC 5280 section 6.1.1 (d): of an anchor only name and key count; 6.6: SET's root is checked like any other"
_ANY_POLICY = "RFC 5280 section 6.1.3 (d): anyPolicy stands for every policy; 6.6 rule 8: the SET root policy itself"
_CRL_KEY = "RFC 5280 section 5.2.1 binds who issues CRLs; revocation.py holds them to it"
_CRL_FORM = "RFC 5280 section 5.2 allows what is not critical; revocation.py knows the whole form of a CRL"
_RESTRICTION = "pyhanko asks for no extended key usage; checking.py refuses restrictions that nobody enforces"
_BRAND = "6.6 rule 7: brands are SET's"
_ROLE = "6.6 rule 6: roles are SET's"

DIFFERENCES: dict[str, str] = {
    "expired@root": _ANCHOR,
    "not_yet_valid@root": _ANCHOR,
    "unknown_critical@root": _ANCHOR,
    "other_policy@root": _ANCHOR,
    "any_policy@root": _ANCHOR,
    "no_policy@root": _ANCHOR,
    "no_ca@root": _ANCHOR,
    "no_cert_sign@root": _ANCHOR,
    "path_too_short@root": _ANCHOR,
    "revoked@root": _ANCHOR,
    "any_policy@brand CA": _ANY_POLICY,
    "any_policy@geo-political CA": _ANY_POLICY,
    "any_policy@issuer": _ANY_POLICY,
    "any_policy@leaf": _ANY_POLICY,
    "unenforced@root": _RESTRICTION,
    "unenforced@brand CA": _RESTRICTION,
    "unenforced@geo-political CA": _RESTRICTION,
    "unenforced@issuer": _RESTRICTION,
    "unenforced@leaf": _RESTRICTION,
    "crl_without_key_identifier@root": _CRL_KEY,
    "crl_without_key_identifier@brand CA": _CRL_KEY,
    "crl_without_key_identifier@geo-political CA": _CRL_KEY,
    "crl_without_key_identifier@issuer": _CRL_KEY,
    "crl_unknown_harmless@root": _CRL_FORM,
    "crl_unknown_harmless@brand CA": _CRL_FORM,
    "crl_unknown_harmless@geo-political CA": _CRL_FORM,
    "crl_unknown_harmless@issuer": _CRL_FORM,
    "wrong_role@leaf": _ROLE,
    "two_roles@leaf": _ROLE,
    "no_role@leaf": _ROLE,
    "wrong_issuer_kind@leaf": _ROLE,
    "wrong_brand@leaf": _BRAND,
    "mixed_brands@leaf": _BRAND,
    "key_period_over@leaf": "6.6 rule 3: privateKeyUsagePeriod, which RFC 5280 leaves to others",
    "other_suite@leaf": "architecture section 3.3: a chain is of one suite",
}


class Case(NamedTuple):
    """``name``: fault@level.  ``fault`` is None for a chain that is simply good."""

    name: str
    geo: bool
    kind: CertificateKind
    fault: Fault | None = None
    level: int = 0

    def chain(self, suite: str) -> Chain:
        chain = Chain.good(suite, geo=self.geo, kind=self.kind)
        if self.fault is not None:
            self.fault(chain, self.level)
        return chain


def cases() -> Iterator[Case]:
    for geo in (False, True):
        kinds = (*LEAVES, *LEAVES_OF_SUPERIORS) if geo else LEAVES
        yield from (Case(f"good {kind}", geo, kind) for kind in kinds)
        names = Chain.good("p256", geo=geo).levels
        for fault, (first, last) in FAULTS.items():
            for level in range(first % len(names), len(names) + last):
                yield Case(f"{fault.__name__}@{names[level]}", geo, CertificateKind.CARDHOLDER_SIGNATURE, fault, level)


def by_pki(chain: Chain) -> str:
    """The SET error code, or "" if the chain is good."""
    root, *between = chain.certificates[:-1]
    assert root is not None
    try:
        validator = PathValidator([x509.load_der_x509_certificate(root)], suite=chain.suite.name, require_bci=False)
        validator.add_intermediates(der for der in (*between, *chain.more) if der is not None)
        for crl in (*chain.crls, *chain.older):
            if crl is not None:
                with suppress(CertificateError):  # a CRL that is not taken in is none
                    validator.add_crl(crl)
        validator.validate(chain.leaf, kind=chain.kind, brand=chain.brand, at=chain.at)
    except CertificateError as refusal:
        return refusal.code
    return ""


certificate = lru_cache(asn1_x509.Certificate.load)
crl_of = lru_cache(asn1_crl.CertificateList.load)


def by_pyhanko(runner: asyncio.Runner, chain: Chain) -> str:
    """The name of the exception, or "" if the chain is good."""
    root, *between = chain.certificates[:-1]
    context = ValidationContext(
        trust_roots=[certificate(root)],
        other_certs=[certificate(der) for der in (*between, *chain.more) if der is not None],
        moment=chain.at,
        crls=[crl_of(der) for der in (*chain.crls, *chain.older) if der is not None],
        revocation_mode="require",
        allow_fetching=False,
        time_tolerance=chains.SECOND * 0,
    )
    policy = PKIXValidationParams(
        user_initial_policy_set=frozenset({SET_ROOT_POLICY.dotted_string}), initial_explicit_policy=True
    )
    wanted = PROFILES[chain.kind].key_usage(chain.suite)
    # The last two bits may be read only with key agreement, and no profile has them.
    usage = {bit for bit in chains.BITS[:-2] if getattr(wanted, bit)}
    leaf = certificate(chain.leaf)
    validator = CertificateValidator(leaf, validation_context=context, pkix_params=policy)
    try:
        runner.run(validator.async_validate_usage(usage))
    except (ValidationError, PathError) as refusal:
        return type(refusal).__name__
    return ""


@pytest.mark.prop("PX-12")
@pytest.mark.parametrize("suite", sorted(SUITES))
def test_two_validators_agree_but_for_the_rules_of_set(
    suite: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, logger="pyhanko_certvalidator")
    # The library's list of extensions that it tolerates as critical is a constant; SET's two critical ones are
    # pki's to enforce, and all others stay unknown to it.
    private = {oid.dotted_string for oid, critical in CRITICAL.items() if critical}
    monkeypatch.setattr(validate, "SUPPORTED_EXTENSIONS", validate.SUPPORTED_EXTENSIONS | private)
    differ: set[str] = set()
    agree: set[str] = set()
    reasons: list[tuple[str, str, str]] = []
    with asyncio.Runner() as runner:
        for case in cases():
            chain = case.chain(suite)
            ours, theirs = by_pki(chain), by_pyhanko(runner, chain)
            (agree if bool(ours) == bool(theirs) else differ).add(case.name)
            assert ours or not theirs, f"pki accepts what pyhanko refuses: {case.name}: {theirs}"
            reasons.append((case.name, ours, theirs))
    assert differ == DIFFERENCES.keys()
    assert not differ & agree  # a difference is one at both depths
    # Where pyhanko names revocation or expiry, so does pki, and nowhere else.
    for theirs_is, ours_is in ((RevokedError, "revokedCertificate"), (ExpiredError, "expiredCertificate")):
        both = [(ours == ours_is, theirs == theirs_is.__name__) for name, ours, theirs in reasons if name in agree]
        assert all(a == b for a, b in both)
        assert any(a for a, _ in both)


def test_the_chains_are_many_and_of_both_sorts() -> None:
    listed = list(cases())
    assert len(listed) * len(SUITES) > 1_300
    assert {case.kind for case in listed} == {*LEAVES, *LEAVES_OF_SUPERIORS}
    assert {case.name for case in listed} > DIFFERENCES.keys()
    good = [case for case in listed if not by_pki(case.chain("ed25519"))]
    assert len(good) > 50
    assert len(listed) - len(good) > 150
