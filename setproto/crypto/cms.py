"""Signed and sealed objects in CMS: the four verbs.

>>> signed = Signer(private_key, certificate, suite("p256")).sign(b"...", content_type)      # doctest: +SKIP
>>> verify(signed, content_type=content_type, certify=my_trust_decision).content            # doctest: +SKIP
>>> sealed = seal(b"...", Recipient(trusted_certificate), context=b"...")                   # doctest: +SKIP
>>> unseal(sealed, RecipientKey(private_key, certificate, "p256"), context=b"...").content  # doctest: +SKIP

What comes back has another type than what went in (:class:`Verified`, :class:`Opened`): a function that
asks for verified content cannot be given anything else.
"""

from setproto.crypto.parts import ID_DATA
from setproto.crypto.sealed import (
    BareRecipient,
    BareRecipientKey,
    Opened,
    Recipient,
    RecipientKey,
    SecretKey,
    seal,
    unseal,
)
from setproto.crypto.signed import (
    NOTHING,
    Enclosed,
    Signer,
    TrustedCertificate,
    Verified,
    verify,
)

__all__ = [
    "ID_DATA",
    "NOTHING",
    "BareRecipient",
    "BareRecipientKey",
    "Enclosed",
    "Opened",
    "Recipient",
    "RecipientKey",
    "SecretKey",
    "Signer",
    "TrustedCertificate",
    "Verified",
    "seal",
    "unseal",
    "verify",
]
