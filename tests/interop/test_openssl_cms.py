"""The stock ``openssl cms`` reads what we make, we read what it makes, and neither reads what it should not.

Nobody here wrote OpenSSL: what it verifies and opens is CMS, not our idea of CMS.  The command is whatever
``openssl`` is on the path (3.0 in the reference environment); ``cryptography`` brings a newer one of its own.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from asn1crypto import cms as asn1cms
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from pki.suites import key_identifier
from setproto.crypto.cms import ID_DATA, Enclosed, SecretKey, Signer, seal, unseal, verify
from setproto.crypto.possession import prove
from setproto.crypto.recipients import SharedKey
from setproto.crypto.suites import suite
from setproto.errors import DecryptionFailure, ProtocolError
from tests.crypto.material import ORDER, SUITES, Party, make_certificate, oid, party
from tests.interop.brand import revocation

OPENSSL = shutil.which("openssl")
pytestmark = pytest.mark.skipif(OPENSSL is None, reason="no openssl command")

CONTENT = b"one apple\r\nEUR 1\n\0\xff"
CONTEXT = b"C to P, XID 7"
CLASSIC = ("p256", "rsa3072")
"""The suites that every OpenSSL 3 knows whole."""

KEY_OPTIONS = {
    "p256": ["-keyopt", "ecdh_kdf_md:sha256", "-wrap", "aes256-wrap"],
    "rsa3072": [
        *("-keyopt", "rsa_padding_mode:oaep"),
        *("-keyopt", "rsa_oaep_md:sha256"),
        *("-keyopt", f"rsa_oaep_label:{CONTEXT.hex()}"),
    ],
}
OPENSSL_CONTEXT = {"p256": b"", "rsa3072": CONTEXT}
"""The command cannot be given user keying material, but it can be given an OAEP label."""
PSS = [
    *("-keyopt", "rsa_padding_mode:pss"),
    *("-keyopt", "rsa_pss_saltlen:32"),
    *("-keyopt", "rsa_mgf1_md:sha256"),
]


class OpenSSL:
    """The command, in a directory with the keys of all parties."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        assert OPENSSL is not None
        return subprocess.run([OPENSSL, *arguments], cwd=self.directory, capture_output=True, check=False, timeout=60)

    def write(self, name: str, data: bytes) -> str:
        (self.directory / name).write_bytes(data)
        return name

    def read(self, name: str) -> bytes:
        return (self.directory / name).read_bytes()

    # --- reading ours

    def verify(self, who: Party, data: bytes, *, content: bytes | None = None) -> bytes | None:
        """The content, or None if the command refuses."""
        detached = [] if content is None else ["-content", self.write("content", content)]
        result = self.run(
            *("cms", "-verify", "-binary", "-inform", "DER", "-in", self.write("in.der", data)),
            *("-CAfile", f"{who.suite}.pem", "-purpose", "any"),
            *detached,
        )
        return result.stdout if result.returncode == 0 else None

    def decrypt(self, who: Party, data: bytes) -> bytes | None:
        """The content, or None if the command refuses."""
        name = f"{who.suite}-exchange"
        result = self.run(
            *("cms", "-decrypt", "-binary", "-inform", "DER", "-in", self.write("in.der", data)),
            *("-recip", f"{name}.pem", "-inkey", f"{name}.key"),
        )
        return result.stdout if result.returncode == 0 else None

    def print(self, data: bytes) -> str:
        """The object as the command shows it."""
        result = self.run("cms", "-cmsout", "-print", "-inform", "DER", "-in", self.write("in.der", data))
        assert result.returncode == 0, result.stderr
        return result.stdout.decode()

    # --- making its own

    def sign(self, who: Party, *options: str) -> bytes:
        result = self.run(
            *("cms", "-sign", "-binary", "-in", self.write("content", CONTENT), "-outform", "DER", "-out", "out.der"),
            *("-signer", f"{who.suite}.pem", "-inkey", f"{who.suite}.key"),
            *options,
        )
        assert result.returncode == 0, result.stderr
        return self.read("out.der")

    def encrypt(self, who: Party, *options: str) -> bytes:
        result = self.run(
            *("cms", "-encrypt", "-binary", "-in", self.write("content", CONTENT), "-outform", "DER"),
            *("-out", "out.der", "-recip", f"{who.suite}-exchange.pem"),
            *options,
        )
        assert result.returncode == 0, result.stderr
        return self.read("out.der")


@pytest.fixture(scope="module")
def openssl(tmp_path_factory: pytest.TempPathFactory) -> OpenSSL:
    command = OpenSSL(tmp_path_factory.mktemp("openssl"))
    for name in SUITES:
        who = party(name)
        for stem, key, certificate in (
            (name, who.signing_key, who.certificate),
            (f"{name}-exchange", who.exchange_key, who.exchange_certificate),
        ):
            pem = x509.load_der_x509_certificate(certificate).public_bytes(Encoding.PEM)
            command.write(f"{stem}.pem", pem)
            command.write(f"{stem}.key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return command


# --- ours → openssl -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CLASSIC)
def test_openssl_verifies_our_signature(openssl: OpenSSL, name: str) -> None:
    who = party(name)
    assert openssl.verify(who, who.signer.sign(CONTENT, ORDER)) == CONTENT
    others = [party("p256", 1).certificate, party("ed25519").certificate]
    assert openssl.verify(who, who.signer.sign(CONTENT, ORDER, certificates=others)) == CONTENT


@pytest.mark.parametrize("name", CLASSIC)
def test_openssl_verifies_our_detached_signature(openssl: OpenSSL, name: str) -> None:
    who = party(name)
    data = who.signer.sign(CONTENT, ORDER, detached=True)
    assert openssl.verify(who, data, content=CONTENT) == CONTENT
    assert openssl.verify(who, data, content=CONTENT + b"\n") is None


@pytest.mark.parametrize("name", CLASSIC)
def test_openssl_checks_our_signing_certificate_attribute(openssl: OpenSSL, name: str) -> None:
    """``-cades`` makes the command compare signingCertificateV2 with the certificate."""
    who = party(name)
    openssl.write("in.der", who.signer.sign(CONTENT, ORDER))
    result = openssl.run(
        *("cms", "-verify", "-cades", "-binary", "-inform", "DER", "-in", "in.der"),
        *("-CAfile", f"{name}.pem", "-purpose", "any"),
    )
    assert (result.returncode, result.stdout) == (0, CONTENT), result.stderr


@pytest.mark.parametrize("name", CLASSIC)
def test_openssl_checks_our_signing_certificate_attribute_along_the_chain(openssl: OpenSSL, name: str) -> None:
    """``-cades`` wants every certificate that the attribute lists in the signer's chain.

    A chain passes.  A certificate beside the chain, which this library lists as well so that it is signed, passes
    without ``-cades`` only.
    """
    root_key, who = party("p256", 1).signing_key, party(name)
    root = make_certificate(
        root_key.public_key(), root_key, name="root", extensions=[x509.BasicConstraints(ca=True, path_length=None)]
    )
    leaf = make_certificate(who.signing_key.public_key(), root_key, name="leaf", issuer="root")
    openssl.write("root.pem", x509.load_der_x509_certificate(root).public_bytes(Encoding.PEM))
    signer = Signer(who.signing_key, leaf, suite(name))
    for beside, options, good in (
        ([], ["-cades"], True),
        ([who.exchange_certificate], ["-cades"], False),
        ([who.exchange_certificate], [], True),
    ):
        openssl.write("in.der", signer.sign(CONTENT, ORDER, certificates=[root, *beside]))
        result = openssl.run(
            *("cms", "-verify", "-binary", "-inform", "DER", "-in", "in.der"),
            *("-CAfile", "root.pem", "-purpose", "any", *options),
        )
        assert (result.returncode == 0) == good, result.stderr


@pytest.mark.parametrize("name", CLASSIC)
@pytest.mark.parametrize("what", ["CRLs", "BCI", "both"])
def test_openssl_verifies_our_signature_with_revocation_data_enclosed(openssl: OpenSSL, name: str, what: str) -> None:
    """It reads the CRLs as CRLs; the BrandCRLIdentifier is of a format that it does not know, and leaves alone."""
    who, brand = party(name), revocation(name)
    enclosed = {"CRLs": Enclosed(brand.crls), "BCI": Enclosed((), brand.bci), "both": brand}[what]
    data = who.signer.sign(CONTENT, ORDER, revocation=enclosed)
    assert openssl.verify(who, data) == CONTENT
    assert openssl.verify(who, data[:-1] + bytes([data[-1] ^ 1])) is None
    printed = openssl.print(data)
    assert printed.count("d.crl:") == len(enclosed.crls)
    assert printed.count("d.other:") == (enclosed.bci is not None)
    assert ("2.25.137087056187701533922853352641590903349.0.110" in printed) == (enclosed.bci is not None)


@pytest.mark.parametrize("name", SUITES)
def test_openssl_reads_our_proof_of_possession(openssl: OpenSSL, name: str) -> None:
    """A SignedData without certificates, that says nothing of its content but its type."""
    who = party(name)
    data = prove(who.signing_key, name, CONTENT, ORDER)
    printed = " ".join(openssl.print(data).split())
    assert "contentType: pkcs7-signedData" in printed
    assert f"eContentType: undefined ({ORDER.dotted_string}) eContent: <ABSENT>" in printed
    assert "certificates: <ABSENT> crls: <ABSENT> signerInfos: version: 3 d.subjectKeyIdentifier:" in printed
    assert openssl.run("cms", "-cmsout", "-inform", "DER", "-in", openssl.write("in.der", data[:-1])).returncode != 0


@pytest.mark.parametrize("name", CLASSIC)
def test_openssl_verifies_our_proof_of_possession_given_a_certificate(openssl: OpenSSL, name: str) -> None:
    """Once the key is certified, under the key identifier that the proof names, the command verifies the proof."""
    who = party(name)
    key = who.signing_key
    certificate = make_certificate(key.public_key(), key, name="certified", ski=key_identifier(key.public_key()))
    openssl.write("certified.pem", x509.load_der_x509_certificate(certificate).public_bytes(Encoding.PEM))

    def verified(data: bytes, content: bytes = CONTENT) -> bool:
        result = openssl.run(
            *("cms", "-verify", "-binary", "-inform", "DER", "-in", openssl.write("in.der", data)),
            *("-content", openssl.write("content", content), "-certfile", "certified.pem"),
            *("-CAfile", "certified.pem", "-purpose", "any"),
        )
        return (result.returncode, result.stdout) == (0, content)

    data = prove(key, name, CONTENT, ORDER)
    assert verified(data)
    assert not verified(data, CONTENT + b"\n")
    assert not verified(data[:-1] + bytes([data[-1] ^ 1]))
    assert not verified(prove(party(name, 1).signing_key, name, CONTENT, ORDER))


@pytest.mark.parametrize("name", CLASSIC)
def test_openssl_refuses_our_object_with_one_octet_changed(openssl: OpenSSL, name: str) -> None:
    who = party(name)
    data = who.signer.sign(CONTENT, ORDER)
    marks = {
        "content": data.index(CONTENT),
        "content type": data.rindex(bytes.fromhex("06092a864886f70d010903")) + 13,
        "digest": data.index(bytes.fromhex("06092a864886f70d010904")) + 20,
        "algorithm protection": data.index(bytes.fromhex("06092a864886f70d010934")) + 25,
        "signing certificate": data.index(bytes.fromhex("060b2a864886f70d010910022f")) + 30,
        "signature": len(data) - 1,
    }
    for what, position in marks.items():
        changed = bytearray(data)
        changed[position] ^= 1
        assert openssl.verify(who, bytes(changed)) is None, what
        with pytest.raises(ProtocolError):
            verify(bytes(changed), content_type=ORDER, certify=who.certify)
    assert openssl.verify(party(name), data) == CONTENT


@pytest.mark.parametrize("name", CLASSIC)
@pytest.mark.parametrize("context", [b"", CONTEXT], ids=["no context", "context"])
def test_openssl_opens_what_we_seal(openssl: OpenSSL, name: str, context: bytes) -> None:
    who = party(name)
    data = seal(CONTENT, who.recipient, context=context)
    assert openssl.decrypt(who, data) == CONTENT
    for position in (len(data) - 1, len(data) - 20, data.rindex(CONTEXT) if context else -1):
        changed = bytearray(data)
        changed[position] ^= 1
        # The old command tells of a bad tag by its exit code, but has written the plaintext by then.
        assert openssl.decrypt(who, bytes(changed)) is None


def test_openssl_opens_what_we_seal_under_a_shared_key(openssl: OpenSSL) -> None:
    key = SecretKey(bytes(range(32)), b"EK-1")
    openssl.write("in.der", seal(CONTENT, key, context=CONTEXT))

    def decrypt(derived: bytes, identifier: bytes) -> subprocess.CompletedProcess[bytes]:
        return openssl.run(
            *("cms", "-decrypt", "-binary", "-inform", "DER", "-in", "in.der"),
            *("-secretkey", derived.hex(), "-secretkeyid", identifier.hex()),
        )

    good = decrypt(SharedKey.derive(bytes(range(32)), CONTEXT), b"EK-1")
    assert (good.returncode, good.stdout) == (0, CONTENT), good.stderr
    assert decrypt(SharedKey.derive(bytes(range(32)), b""), b"EK-1").returncode != 0
    assert decrypt(SharedKey.derive(bytes(range(32)), CONTEXT), b"EK-2").returncode != 0


# --- openssl → ours -------------------------------------------------------------------------------

SIGN = ("-nodetach", "-keyid", "-md", "sha256")


@pytest.mark.parametrize(("name", "options"), [("p256", []), ("rsa3072", PSS)])
def test_we_verify_what_openssl_signs(openssl: OpenSSL, name: str, options: Sequence[str]) -> None:
    who = party(name)
    data = openssl.sign(who, *SIGN, *options)
    verified = verify(data, content_type=ID_DATA, certify=who.certify)
    assert (verified.content, verified.signer, verified.certificates) == (CONTENT, who.trusted, (who.certificate,))
    with pytest.raises(ProtocolError):
        verify(data[:-1] + bytes([data[-1] ^ 1]), content_type=ID_DATA, certify=who.certify)
    with pytest.raises(ProtocolError):
        verify(data, content_type=ORDER, certify=who.certify)


@pytest.mark.parametrize(("name", "options"), [("p256", []), ("rsa3072", PSS)])
def test_we_verify_what_openssl_signs_detached(openssl: OpenSSL, name: str, options: Sequence[str]) -> None:
    who = party(name)
    data = openssl.sign(who, "-keyid", "-md", "sha256", *options)
    assert verify(data, content_type=ID_DATA, certify=who.certify, content=CONTENT).content == CONTENT
    with pytest.raises(ProtocolError):
        verify(data, content_type=ID_DATA, certify=who.certify, content=CONTENT[:-1])


@pytest.mark.parametrize("name", CLASSIC)
def test_we_open_what_openssl_seals(openssl: OpenSSL, name: str) -> None:
    who = party(name)
    data = openssl.encrypt(who, "-aes-256-gcm", "-keyid", *KEY_OPTIONS[name])
    context = OPENSSL_CONTEXT[name]
    assert unseal(data, who.recipient_key, context=context).content == CONTENT
    with pytest.raises(DecryptionFailure):
        unseal(data, who.recipient_key, context=context + b"x")


@pytest.mark.parametrize("name", CLASSIC)
@pytest.mark.parametrize("content_type", ["1.2.840.113549.1.7.2", "1.2.840.113549.1.7.3"], ids=["signed", "enveloped"])
def test_we_refuse_a_content_type_that_anybody_could_have_written(
    openssl: OpenSSL, name: str, content_type: str
) -> None:
    """The command opens such an object: AES-GCM authenticates the content here, and not what it is said to be."""
    who = party(name)
    for data, context in (
        (openssl.encrypt(who, "-aes-256-gcm", "-keyid", *KEY_OPTIONS[name]), OPENSSL_CONTEXT[name]),
        (seal(CONTENT, who.recipient, context=CONTEXT), CONTEXT),
    ):
        assert data.count(oid(ID_DATA)) == 1
        retyped = data.replace(oid(ID_DATA), oid(content_type))
        assert openssl.decrypt(who, retyped) == CONTENT
        assert unseal(data, who.recipient_key, context=context).content == CONTENT
        with pytest.raises(DecryptionFailure):
            unseal(retyped, who.recipient_key, context=context)


# --- openssl → ours: what is outside the profile ---------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("rsa3072", SIGN),
        ("rsa3072", [*SIGN, *PSS[:2], "-keyopt", "rsa_pss_saltlen:20", *PSS[4:]]),
        ("rsa3072", [*SIGN, *PSS[:4], "-keyopt", "rsa_mgf1_md:sha512"]),
        ("rsa3072", ["-nodetach", "-keyid", "-md", "sha512", *PSS]),
        ("p256", ["-nodetach", "-keyid", "-md", "sha384"]),
        ("p256", ["-nodetach", "-keyid", "-md", "sha1"]),
        ("p256", ["-nodetach", "-md", "sha256"]),
        ("p256", [*SIGN, "-noattr"]),
        ("p256", [*SIGN, "-nocerts"]),
        ("p256", [*SIGN, "-indef", "-stream"]),
        ("p256", [*SIGN, "-cades"]),
        ("p256", [*SIGN, "-receipt_request_to", "a@b.c", "-receipt_request_all"]),
    ],
    ids=[
        "PKCS#1 v1.5",
        "short PSS salt",
        "other MGF",
        "SHA-512",
        "SHA-384",
        "SHA-1",
        "signer by issuer and serial",
        "no signed attributes",
        "no certificate",
        "BER",
        "signingCertificateV2 with issuer and serial",
        "unknown signed attribute",
    ],
)
def test_we_refuse_signatures_outside_our_profile(openssl: OpenSSL, name: str, options: Sequence[str]) -> None:
    who = party(name)
    data = openssl.sign(who, *options)
    if "-nocerts" not in options:
        assert openssl.verify(who, data) == CONTENT, "a good signature, only not of our profile"
    with pytest.raises(ProtocolError):
        verify(data, content_type=ID_DATA, certify=who.certify)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("p256", ["-aes-256-cbc", "-keyid", *KEY_OPTIONS["p256"]]),
        ("p256", ["-aes-128-gcm", "-keyid", *KEY_OPTIONS["p256"]]),
        ("p256", ["-aes-192-gcm", "-keyid", *KEY_OPTIONS["p256"]]),
        ("p256", ["-aes-256-gcm", "-keyid", "-wrap", "aes256-wrap"]),
        ("p256", ["-aes-256-gcm", "-keyid", *KEY_OPTIONS["p256"][:2], "-wrap", "aes128-wrap"]),
        ("p256", ["-aes-256-gcm", "-keyid", "-keyopt", "ecdh_kdf_md:sha512", "-wrap", "aes256-wrap"]),
        ("p256", ["-aes-256-gcm", *KEY_OPTIONS["p256"]]),
        ("rsa3072", ["-aes-256-gcm", "-keyid"]),
        ("rsa3072", ["-aes-256-gcm", "-keyid", "-keyopt", "rsa_padding_mode:oaep"]),
        ("rsa3072", ["-aes-256-gcm", "-keyid", *KEY_OPTIONS["rsa3072"][:4]]),
        ("rsa3072", ["-aes-256-gcm", "-keyid", *KEY_OPTIONS["rsa3072"], "-keyopt", "rsa_mgf1_md:sha512"]),
        ("rsa3072", ["-aes-256-cbc", "-keyid", *KEY_OPTIONS["rsa3072"]]),
        ("rsa3072", ["-aes-128-gcm", "-keyid", *KEY_OPTIONS["rsa3072"]]),
    ],
    ids=[
        "AES-CBC",
        "AES-128",
        "AES-192",
        "SHA-1 KDF",
        "AES-128 key wrap",
        "SHA-512 KDF",
        "recipient by issuer and serial",
        "RSA PKCS#1 v1.5",
        "OAEP SHA-1",
        "OAEP without label",
        "OAEP other MGF",
        "RSA AES-CBC",
        "RSA AES-128",
    ],
)
def test_we_refuse_sealed_objects_outside_our_profile(openssl: OpenSSL, name: str, options: Sequence[str]) -> None:
    who = party(name)
    data = openssl.encrypt(who, *options)
    assert openssl.decrypt(who, data) == CONTENT, "a good object, only not of our profile"
    with pytest.raises(DecryptionFailure):
        unseal(data, who.recipient_key, context=OPENSSL_CONTEXT[name])


# --- the suites that an OpenSSL may or may not know ------------------------------------------------
# No table of versions: what the command cannot make itself it must refuse from us, and what it can make it must
# read from us.  A newer OpenSSL that behaves otherwise fails here, and these tests are to be extended.


def can_sign(openssl: OpenSSL, who: Party, digest: str) -> bool:
    try:
        return bool(openssl.sign(who, "-nodetach", "-keyid", "-md", digest))
    except AssertionError:
        return False


def can_seal(openssl: OpenSSL, who: Party) -> bool:
    try:
        return bool(openssl.encrypt(who, "-aes-256-gcm", "-keyid"))
    except AssertionError:
        return False


def test_the_probes_find_what_openssl_can_do(openssl: OpenSSL) -> None:
    for name in CLASSIC:
        assert can_sign(openssl, party(name), "sha256")
        assert can_seal(openssl, party(name))


@pytest.mark.parametrize("name", ["ed25519", "mldsa65"])
def test_newer_signatures_as_far_as_openssl_knows_them(openssl: OpenSSL, name: str) -> None:
    who = party(name)
    data = who.signer.sign(CONTENT, ORDER)
    if can_sign(openssl, who, "sha512"):
        assert openssl.verify(who, data) == CONTENT
        assert openssl.verify(who, data[:-1] + bytes([data[-1] ^ 1])) is None
        theirs = openssl.sign(who, "-nodetach", "-keyid", "-md", "sha512")
        assert verify(theirs, content_type=ID_DATA, certify=who.certify).content == CONTENT
    else:
        assert openssl.verify(who, data) is None


@pytest.mark.parametrize("name", ["ed25519", "mldsa65"])
def test_newer_recipients_as_far_as_openssl_knows_them(openssl: OpenSSL, name: str) -> None:
    who = party(name)
    data = seal(CONTENT, who.recipient, context=CONTEXT)
    if can_seal(openssl, who):
        assert openssl.decrypt(who, data) == CONTENT
    else:
        assert openssl.decrypt(who, data) is None


def test_openssl_verifies_the_bare_ed25519_signature(openssl: OpenSSL) -> None:
    """Every OpenSSL 3 can check the signature itself, over the signed attributes as another parser finds them."""
    who = party("ed25519")
    data = who.signer.sign(CONTENT, ORDER)
    info = asn1cms.ContentInfo.load(data, strict=True)["content"]["signer_infos"][0]
    openssl.write("tbs", info["signed_attrs"].untag().dump(force=True))
    openssl.write("signature", info["signature"].native)
    public = who.signing_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    openssl.write("public.pem", public)

    def good() -> bool:
        result = openssl.run(
            *("pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "public.pem"),
            *("-in", "tbs", "-sigfile", "signature"),
        )
        return result.returncode == 0

    assert good()
    tbs = openssl.read("tbs")
    openssl.write("tbs", tbs[:-1] + bytes([tbs[-1] ^ 1]))
    assert not good()
