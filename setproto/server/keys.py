"""A party's certificates and private keys, from the files that ``setproto ca issue`` and ``setproto up`` write."""

from __future__ import annotations

from datetime import datetime

from pki import PathValidator, check_certificate, key_suite
from pki.keystore import load_exchange_key, load_signature_key
from setproto.crypto.cms import RecipientKey, Signer
from setproto.crypto.suites import suite
from setproto.messages.common import Role
from setproto.reading.pem import blocks_in
from setproto.roles.credentials import SIGNATURE_KINDS, Credentials, party_of
from setproto.server.config import Keys
from setproto.settings import read_secret

__all__ = ["load_credentials"]


def load_credentials(keys: Keys, role: Role, validator: PathValidator, at: datetime) -> Credentials:
    """The credentials of a merchant or a gateway.

    CertificateError if the certificate is not good at the aware time ``at``; KeyStoreError if a key does not open;
    UsageError for a file that is not what it should be.
    """
    passphrase, chosen = read_secret(keys.passphrase_file).encode(), key_suite(validator.suite)

    def pair(use: str) -> tuple[bytes, bytes]:
        path = keys.directory / f"{keys.name}-{use}"
        return blocks_in(path.with_name(f"{path.name}.pem"))[0], path.with_name(f"{path.name}.key.pem").read_bytes()

    chain = tuple(blocks_in(keys.directory / f"{keys.name}-chain.pem"))
    certificate, pem = pair("signature")
    signer = Signer(load_signature_key(pem, passphrase, chosen), certificate, suite(validator.suite))
    own, pem = pair("exchange")
    exchange = RecipientKey(load_exchange_key(pem, passphrase, chosen), own, validator.suite)
    brand = check_certificate(certificate).name.organization
    valid = validator.validate(certificate, kind=SIGNATURE_KINDS[role], brand=brand, at=at, extra=chain)
    return Credentials(party_of(valid, role), signer, exchange, chain)
