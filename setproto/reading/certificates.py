"""Certificates, CRLs and BrandCRLIdentifiers as trees; a certificate also in one line, for where it is one of many."""

from __future__ import annotations

from asn1crypto.x509 import Name
from cryptography import x509

from pki import (
    CardCertRequired,
    CertificateError,
    CertificateType,
    HashedRootKey,
    MerchantData,
    Tunneling,
    check_bci,
    check_certificate,
    check_crl,
)
from pki.checking import CheckedCertificate
from pki.extensions import PrivateExtension, to_extension
from setproto.reading.values import Node, octets


def _moment(at: object) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def is_certificate(der: bytes) -> bool:
    """Whether these octets parse as a certificate of any profile."""
    try:
        x509.load_der_x509_certificate(der)
    except (ValueError, TypeError):
        return False
    return True


def summary(der: bytes) -> str:
    """What a certificate is, in one line."""
    try:
        checked = check_certificate(der)
    except CertificateError:
        return "of none of SET's profiles"
    # The last relative name is the most telling: the commonName of whoever has one.
    return f"{checked.kind.value}: {list(checked.certificate.subject)[-1].value!s}"


def certificate_node(der: bytes) -> Node:
    """A certificate.  CertificateError if it is of none of the profiles here."""
    checked = check_certificate(der)
    parsed = checked.certificate
    return Node(
        "Certificate",
        checked.kind.value,
        (
            Node("subject", parsed.subject.rfc4514_string()),
            Node("issuer", parsed.issuer.rfc4514_string()),
            Node("serial_number", f"{parsed.serial_number:x}"),
            Node("suite", checked.suite.name),
            Node("validity", f"{_moment(checked.not_before)} to {_moment(checked.not_after)}"),
            Node(
                "private_key_usage",
                f"{_moment(checked.private_key_not_before)} to {_moment(checked.private_key_not_after)}",
            ),
            Node("thumbprint", octets(checked.thumbprint)),
            Node("subject_key_identifier", octets(checked.subject_key_identifier)),
            Node("authority_key_identifier", octets(checked.authority_key_identifier)),
            Node("extensions", f"{len(parsed.extensions)} items", tuple(_extensions(checked))),
        ),
    )


def _extensions(checked: CheckedCertificate) -> list[Node]:
    """Name, meaning where it is one of SET's, and whether it is critical."""
    private = {to_extension(value).oid: value for value in checked.private_extensions}
    nodes = []
    for extension in checked.certificate.extensions:
        value = private.get(extension.oid)
        name = type(value).__name__ if value is not None else type(extension.value).__name__
        words = [*([] if value is None else [_private(value)]), *(["critical"] if extension.critical else [])]
        nodes.append(Node(name[0].lower() + name[1:], ", ".join(words)))
    return nodes


def _private(value: PrivateExtension) -> str:
    match value:
        case MerchantData():
            names = ", ".join(name.name for name in value.mer_name_seq)
            return f"{value.mer_id}: {names}; acquirer {value.mer_acquirer_bin}"
        case HashedRootKey(digest):
            return octets(digest)
        case CardCertRequired(required):
            return "yes" if required else "no"
        case Tunneling():
            return "yes" if value.tunneling else "no"
        case CertificateType():
            return value.name or str(int(value))


def crl_node(der: bytes) -> Node:
    """A revocation list.  CertificateError if it is not of the profile here."""
    checked = check_crl(der)
    revoked = tuple(
        Node(f"[{number}]", f"{entry.serial_number:x}, revoked {_moment(entry.revocation_date_utc)}")
        for number, entry in enumerate(checked.crl)
    )
    return Node(
        "CertificateList",
        checked.printable,
        (
            Node("issuer", checked.crl.issuer.rfc4514_string()),
            Node("crl_number", str(checked.number)),
            Node("this_update", _moment(checked.this_update)),
            Node("next_update", _moment(checked.next_update)),
            Node("authority_key_identifier", octets(checked.authority_key_identifier)),
            Node("revoked_certificates", f"{len(revoked)} items" if revoked else "none", revoked),
        ),
    )


def bci_node(der: bytes) -> Node:
    """A BrandCRLIdentifier.  CertificateError if it is not of the profile here."""
    checked = check_bci(der)
    listed = tuple(
        Node(f"[{number}]", f"CRL {crl_number} of {Name.load(issuer).human_friendly}, key {octets(identifier)}")
        for number, ((issuer, identifier), crl_number) in enumerate(checked.crls.items())
    )
    return Node(
        "BrandCRLIdentifier",
        checked.printable,
        (
            Node("issuer", Name.load(checked.issuer).human_friendly),
            Node("authority_key_identifier", octets(checked.authority_key_identifier)),
            Node("sequence_num", str(checked.number)),
            Node("brand_id", checked.brand),
            Node("not_before", _moment(checked.not_before)),
            Node("not_after", _moment(checked.not_after)),
            Node("crl_identifier_seq", f"{len(listed)} items", listed),
        ),
    )
