"""TLS by configuration."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from pki.keystore import dump_private_key
from setproto.client import REGISTRATION, HTTPTransport, pinned
from setproto.errors import Unreachable
from setproto.reading.pem import to_pem
from tests.server.parts import Parts, founded


def certify(directory: Path, name: str) -> None:
    """A certificate for 127.0.0.1 that the server signed itself, and its key under a passphrase."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    from cryptography.hazmat.primitives.serialization import Encoding

    (directory / f"{name}.pem").write_bytes(to_pem("CERTIFICATE", certificate.public_bytes(Encoding.DER)))
    (directory / f"{name}.key.pem").write_bytes(dump_private_key(key, b"of tls"))


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    directory = tmp_path_factory.mktemp("tls") / "shop"
    founded(directory)
    certify(directory / "ca", "server")
    certify(directory / "ca", "other")
    (directory / "ca" / "tls-passphrase").write_text("of tls\n")
    (directory / "ca" / "tls-passphrase").chmod(0o600)
    config = directory / "ca" / "ca.toml"
    tls = '[tls]\ncertificate = "server.pem"\nkey = "server.key.pem"\npassphrase_file = "tls-passphrase"\n'
    config.write_text(config.read_text() + tls)
    running = Parts(directory)
    try:
        running.start("ca")
        with HTTPTransport(running.url("ca"), verify=directory / "ca" / "server.pem") as client:
            running.wait("ca", client)
        yield running
    finally:
        running.kill_all()


def test_the_server_is_believed_by_its_certificate(secure: Parts) -> None:
    own = secure.directory / "ca" / "server.pem"
    for verify in (own, pinned(own)):
        with HTTPTransport(secure.url("ca"), verify=verify) as client:
            assert client.post(b"x", REGISTRATION)


def test_nobody_else_is_believed(secure: Parts) -> None:
    other = secure.directory / "ca" / "other.pem"
    for verify in (other, pinned(other), None):
        with HTTPTransport(secure.url("ca"), verify=verify) as client, pytest.raises(Unreachable):
            client.post(b"x", REGISTRATION)


def test_nothing_is_answered_in_clear(secure: Parts) -> None:
    with HTTPTransport(secure.url("ca").replace("https", "http")) as client, pytest.raises(Unreachable):
        client.request("GET", "/health")
