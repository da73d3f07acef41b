"""The anchor that nobody here wrote: the stock ``openssl`` command, and what OpenSSL does with our flags.

OpenSSL 3.0 does not know ML-DSA; every other suite is verified by it from files alone.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import crypto

import pki.engine
from pki import BrandTree, CertificateError, CertificateKind, Credential, build_brand_tree
from pki.hierarchy import CRL_LIFE
from tests.pki.forging import Draft, forged_crl, serial_of

K = CertificateKind
DAY = timedelta(days=1)
OPENSSL = shutil.which("openssl")


def pem(der: bytes) -> str:
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode()


def openssl_verify(folder: Path, tree: BrandTree, leaf: bytes, at: datetime) -> tuple[int, str]:
    """``openssl verify`` with nothing but files: root, intermediates, CRLs."""
    crls = [x509.load_der_x509_crl(crl).public_bytes(Encoding.PEM).decode() for crl in tree.crls(tree.now)]
    files = {
        "root.pem": tree.root_certificate.public_bytes(Encoding.PEM).decode(),
        "cas.pem": "".join(map(pem, tree.ca_certificates)),
        "crls.pem": "".join(crls),
        "leaf.pem": pem(leaf),
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    assert OPENSSL is not None
    flags = ["-x509_strict", "-crl_check_all", "-ignore_critical", "-no-CApath", "-no-CAfile"]
    inputs = ["-trusted", "root.pem", "-untrusted", "cas.pem", "-CRLfile", "crls.pem", "leaf.pem"]
    done = subprocess.run(
        [OPENSSL, "verify", *flags, "-attime", str(int(at.timestamp())), *inputs],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.skipif(OPENSSL is None, reason="no openssl command")
@pytest.mark.parametrize("suite", ["p256", "rsa3072", "ed25519"])
def test_stock_openssl_accepts_what_we_issue(
    suite: str, suite_trees: Callable[[str], BrandTree], tmp_path: Path, at: datetime
) -> None:
    tree = suite_trees(suite)
    gateway = tree.issue_gateway("GW-openssl")
    assert gateway.exchange_certificate is not None
    for leaf in (gateway.signature_certificate, gateway.exchange_certificate):
        code, output = openssl_verify(tmp_path, tree, leaf, at)
        assert code == 0, output


@pytest.mark.skipif(OPENSSL is None, reason="no openssl command")
def test_stock_openssl_sees_our_revocations(tmp_path: Path, at: datetime) -> None:
    tree = build_brand_tree("p256", now=at - DAY)
    leaf = tree.issue_cardholder(bytes(20)).signature_certificate
    assert openssl_verify(tmp_path, tree, leaf, at)[0] == 0
    tree.brand_ca.revoke(serial_of(tree.cca.chain[0]), tree.now)
    code, output = openssl_verify(tmp_path, tree, leaf, at)
    assert code != 0
    assert "certificate revoked" in output


# --- what the engine enforces by itself, with the flags that engine.py sets ---


def engine(tree: BrandTree, leaf: bytes, at: datetime, *, cas: list[bytes] | None = None) -> None:
    store = crypto.X509Store()
    store.set_time(at)
    store.set_flags(pki.engine._FLAGS)
    store.add_cert(crypto.X509.from_cryptography(tree.root_certificate))
    parsed = [x509.load_der_x509_certificate(der) for der in (leaf, *(tree.ca_certificates if cas is None else cas))]
    first, *rest = [crypto.X509.from_cryptography(certificate) for certificate in parsed]
    crypto.X509StoreContext(store, first, rest).verify_certificate()


def test_the_engine_accepts_a_good_chain(tree: BrandTree, cardholder: Credential, at: datetime) -> None:
    engine(tree, cardholder.signature_certificate, at)


def test_the_engine_checks_dates_and_signatures(tree: BrandTree, cardholder: Credential, at: datetime) -> None:
    leaf = cardholder.signature_certificate
    later = tree.now + 800 * DAY
    with pytest.raises(crypto.X509StoreContextError, match="certificate has expired"):
        engine(tree, leaf, later)
    with pytest.raises(crypto.X509StoreContextError, match="not yet valid"):
        engine(tree, leaf, tree.now - DAY)
    forged = Draft.of(leaf).signed_with(tree.suite, tree.suite.generate_signature_key())
    with pytest.raises(crypto.X509StoreContextError, match="signature failure"):
        engine(tree, forged, at)


def test_the_engine_checks_ca_bits_and_path_length(tree: BrandTree, cardholder: Credential, at: datetime) -> None:
    leaf = cardholder.signature_certificate
    for change, error in (
        (x509.BasicConstraints(ca=False, path_length=None), "invalid CA|key usage"),
        (x509.BasicConstraints(ca=True, path_length=0), "path length"),
    ):
        brand = Draft.of(tree.brand_ca.certificate).put(change, True).signed(tree.root)
        with pytest.raises(crypto.X509StoreContextError, match=error):
            engine(tree, leaf, at, cas=[brand, tree.cca.chain[0]])


@pytest.mark.prop("PX-12")
def test_what_the_engine_is_told_to_ignore_we_refuse(tree: BrandTree, cardholder: Credential, at: datetime) -> None:
    """The reason for our own check: with IGNORE_CRITICAL, OpenSSL lets all of these pass."""
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.25.99"), b"\x05\x00")
    leaf = Draft.of(cardholder.signature_certificate).put(unknown, True).signed(tree.cca)
    engine(tree, leaf, at)
    with pytest.raises(CertificateError, match="critical"):
        tree.validator(tree.now).validate(leaf, kind=K.CARDHOLDER_SIGNATURE, brand="Marque", at=at)
    # A CRL that leaves out what an unknown critical extension says it leaves out.
    partial = forged_crl(tree.cca, tree.now, tree.now + CRL_LIFE, extra=(unknown, True))
    with pytest.raises(CertificateError, match="no others"):
        tree.validator(tree.now).add_crl(partial)


def test_the_private_critical_extensions_need_the_flag(tree: BrandTree, cardholder: Credential, at: datetime) -> None:
    """Without it OpenSSL refuses every SET certificate: if that ever changes, the flag can go."""
    store = crypto.X509Store()
    store.set_time(at)
    store.set_flags(pki.engine._FLAGS & ~crypto.X509StoreFlags.IGNORE_CRITICAL)
    store.add_cert(crypto.X509.from_cryptography(tree.root_certificate))
    cas = [crypto.X509.from_cryptography(x509.load_der_x509_certificate(der)) for der in tree.ca_certificates]
    leaf = crypto.X509.from_cryptography(x509.load_der_x509_certificate(cardholder.signature_certificate))
    with pytest.raises(crypto.X509StoreContextError, match="unhandled critical extension"):
        crypto.X509StoreContext(store, leaf, cas).verify_certificate()
