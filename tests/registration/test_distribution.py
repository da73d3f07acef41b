"""CRLNotification, its answer, and BCIDistribution between the CAs of a brand and a gateway (§2.21, §6.10; PX-15)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509

from pki import Authority, BrandTree, CertificateError, CertificateKind, PathValidator, build_brand_tree, check_bci
from pki.authority import certificate_der
from setproto.errors import ErrorCode, ProtocolError
from setproto.market import ACQUIRER_BIN, BRAND, Clock, credentials
from setproto.messages.common import PartyID, Role
from setproto.roles.distribution import BrandAuthority, Correspondent
from tests.registration.office import NOW

LIFE = timedelta(days=30)


class Brand:
    """A brand CA, a merchant CA and a gateway, each with a validator of its own."""

    def __init__(self) -> None:
        self.clock = Clock(NOW)
        self.tree = build_brand_tree("p256", now=NOW - timedelta(days=1), brand=BRAND)
        start = self.tree.crls(NOW)
        self.shop = self.tree.issue_merchant("shop", "Shop", ACQUIRER_BIN)
        own = self.tree.issue_ca_messages(self.tree.brand_ca)
        self.brand_ca = BrandAuthority(
            credentials(own, ca_party(Role.brand_ca, self.tree.brand_ca), "p256"),
            self.tree.brand_ca,
            with_crls(self.tree, start),
            start,
            life=LIFE,
            clock=self.clock,
        )
        self.mca = self.correspondent(self.tree.issue_ca_messages(self.tree.mca), self.tree.mca, start)
        gateway = self.tree.issue_gateway("gateway")
        party = PartyID(role=Role.gateway, brand=BRAND, name="gateway")
        self.gateway = Correspondent(credentials(gateway, party, "p256"), with_crls(self.tree, start), clock=self.clock)
        for everybody in (self.mca, self.gateway):
            everybody.read_distribution(self.brand_ca.distribute(everybody.party))

    def correspondent(self, issued, authority: Authority, crls: list[bytes]) -> Correspondent:
        party = ca_party(Role.merchant_ca, authority)
        return Correspondent(credentials(issued, party, "p256"), with_crls(self.tree, crls), clock=self.clock)

    def shop_is_good_to(self, somebody: Correspondent) -> bool:
        try:
            somebody.validator.validate(
                self.shop.signature_certificate,
                kind=CertificateKind.MERCHANT_SIGNATURE,
                brand=BRAND,
                at=self.clock(),
                extra=self.shop.chain,
            )
        except CertificateError as refusal:
            if refusal.code != "revokedCertificate":
                raise
            return False
        return True

    def revoke_the_shop(self) -> bytes:
        """The MCA's next CRL, with the shop on it."""
        self.tree.mca.revoke(serial(self.shop.signature_certificate), self.clock())
        return certificate_der(self.tree.mca.crl(self.clock(), self.clock() + LIFE))


def ca_party(role: Role, authority: Authority) -> PartyID:
    return PartyID(role=role, brand=BRAND, name=authority.checked.name.units[0])


def with_crls(tree: BrandTree, crls: list[bytes]) -> PathValidator:
    validator = PathValidator([tree.root_certificate], suite="p256")
    for certificate in tree.ca_certificates:
        validator.add_certificate(certificate)
    for crl in crls:
        validator.add_crl(crl)
    return validator


def serial(certificate: bytes) -> int:
    return x509.load_der_x509_certificate(certificate).serial_number


def refused_by(call: Callable[[], object]) -> ErrorCode:
    with pytest.raises(ProtocolError) as caught:
        call()
    return caught.value.code


def test_a_new_crl_reaches_everybody() -> None:
    brand = Brand()
    assert brand.shop_is_good_to(brand.gateway)
    crl = brand.revoke_the_shop()

    answer = brand.brand_ca.on_notification(brand.mca.notify(crl, brand.brand_ca.party))
    brand.mca.read_acknowledgement(answer, crl)
    assert brand.shop_is_good_to(brand.gateway)  # it does not know yet

    brand.gateway.read_distribution(brand.brand_ca.distribute(brand.gateway.party))
    assert not brand.shop_is_good_to(brand.gateway)


def test_a_crl_told_twice_makes_one_manifest() -> None:
    brand = Brand()
    crl = brand.revoke_the_shop()
    notification = brand.mca.notify(crl, brand.brand_ca.party)
    brand.brand_ca.on_notification(notification)
    first = brand.brand_ca.validator.revocation(BRAND).bci
    brand.brand_ca.on_notification(notification)
    assert brand.brand_ca.validator.revocation(BRAND).bci == first
    assert first is not None
    assert check_bci(first).number == 2


@pytest.mark.prop("PX-15")
def test_an_old_distribution_takes_nothing_back() -> None:
    brand = Brand()
    old = brand.brand_ca.distribute(brand.gateway.party)
    brand.brand_ca.on_notification(brand.mca.notify(brand.revoke_the_shop(), brand.brand_ca.party))
    brand.gateway.read_distribution(brand.brand_ca.distribute(brand.gateway.party))
    brand.gateway.read_distribution(old)
    assert not brand.shop_is_good_to(brand.gateway)


@pytest.mark.prop("PX-6")
def test_a_distribution_is_for_whom_it_names() -> None:
    brand = Brand()
    for_the_mca = brand.brand_ca.distribute(brand.mca.party)
    assert refused_by(lambda: brand.gateway.read_distribution(for_the_mca)) is ErrorCode.wrongRecipient


def test_a_distribution_grows_old() -> None:
    brand = Brand()
    data = brand.brand_ca.distribute(brand.gateway.party)
    brand.clock.advance(timedelta(minutes=16))
    assert refused_by(lambda: brand.gateway.read_distribution(data)) is ErrorCode.messageTooOld


@pytest.mark.prop("PX-12")
def test_only_the_brand_ca_distributes_and_only_cas_notify() -> None:
    brand = Brand()
    crl = brand.revoke_the_shop()
    usurper = BrandAuthority(
        replace(brand.mca.credentials, party=brand.mca.party),
        brand.tree.brand_ca,
        brand.mca.validator,
        brand.mca.validator.revocation(BRAND).crls,
        life=LIFE,
        clock=brand.clock,
    )
    forged = usurper.distribute(brand.gateway.party)
    assert refused_by(lambda: brand.gateway.read_distribution(forged)) is ErrorCode.invalidCertificate
    by_gateway = brand.gateway.notify(crl, brand.brand_ca.party)
    assert refused_by(lambda: brand.brand_ca.on_notification(by_gateway)) is ErrorCode.invalidCertificate


@pytest.mark.prop("PX-10")
@pytest.mark.parametrize("what", ["notification", "acknowledgement", "distribution"])
def test_nothing_in_them_can_be_changed(what: str) -> None:
    brand = Brand()
    crl = brand.revoke_the_shop()
    notification = brand.mca.notify(crl, brand.brand_ca.party)
    acknowledgement = brand.brand_ca.on_notification(notification)
    data, read = {
        "notification": (notification, brand.brand_ca.on_notification),
        "acknowledgement": (acknowledgement, lambda data: brand.mca.read_acknowledgement(data, crl)),
        "distribution": (brand.brand_ca.distribute(brand.gateway.party), brand.gateway.read_distribution),
    }[what]
    read(data)
    refused = 0
    for place in range(0, len(data), 7):
        changed = data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :]
        known = [somebody.validator.revocation(BRAND) for somebody in (brand.brand_ca, brand.mca, brand.gateway)]
        try:
            read(changed)
        except ProtocolError:
            refused += 1
        # The issuer of a CRL became somebody else, whose CRLs are nobody's business.
        assert known == [
            somebody.validator.revocation(BRAND) for somebody in (brand.brand_ca, brand.mca, brand.gateway)
        ]
    assert refused > len(data) / 7 * 0.8


def test_an_acknowledgement_is_of_one_crl() -> None:
    brand = Brand()
    first, second = brand.revoke_the_shop(), certificate_der(brand.tree.mca.crl(NOW, NOW + LIFE))
    answer = brand.brand_ca.on_notification(brand.mca.notify(first, brand.brand_ca.party))
    assert refused_by(lambda: brand.mca.read_acknowledgement(answer, second)) is ErrorCode.wrapperMsgMismatch


def test_a_crl_of_another_ca_is_no_news_of_the_senders() -> None:
    brand = Brand()
    stranger = build_brand_tree("p256", now=NOW - timedelta(days=1), brand=BRAND)
    crl = certificate_der(stranger.mca.crl(NOW, NOW + LIFE))
    notification = brand.mca.notify(crl, brand.brand_ca.party)
    assert refused_by(lambda: brand.brand_ca.on_notification(notification)) is ErrorCode.missingCertificate
