"""How CRLs and the BrandCRLIdentifier get around (set-protocol.md §2.21, §6.10).

These are not members of SET's Message CHOICE: they go between CAs and gateways, each a SignedData of its own with no
wrapper.  Their fields are unconfirmed there; here each names sender and recipient like every signed body, and the CRL
or BrandCRLIdentifier itself travels in the ``crls`` field of the SignedData.
"""

from __future__ import annotations

from pki.der import sequence
from setproto.messages.common import BodyHead, Date, Digest


@sequence
class CRLNotificationTBS:
    """A CA tells the brand CA that it made a new CRL."""

    head: BodyHead
    date: Date
    crl_thumbprint: Digest


@sequence
class CRLNotificationResTBS:
    """The brand CA has taken note of it."""

    head: BodyHead
    date: Date
    crl_thumbprint: Digest


@sequence
class BCIDistributionTBS:
    """The brand CA gives its new BrandCRLIdentifier to the CAs and gateways of the brand."""

    head: BodyHead
    date: Date
    bci_thumbprint: Digest
