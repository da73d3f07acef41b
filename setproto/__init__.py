"""setproto: a payment protocol in the style of SET, with present-day cryptography.

The supported names are those of ``__all__``; they are loaded when first used, so that importing the package
costs next to nothing.  ``setproto.crypto.cms`` and ``setproto.crypto.dual`` and the package ``pki`` are libraries
of their own.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from setproto.amounts import CurrencyAmount
    from setproto.card import PAN, Card, CardExpiry, CardSecret, PANSecret
    from setproto.crypto.suites import SUITES, suite
    from setproto.errors import ErrorCode, ProtocolError, SetError, UsageError
    from setproto.market import Market
    from setproto.messages.codes import AuthCode, CapCode, CertStatusCode, CompletionCode, RequestType
    from setproto.roles.applicant import Applicant
    from setproto.roles.authority import CertificateAuthority
    from setproto.roles.cardholder import Cardholder, Order, PaymentCard
    from setproto.roles.credentials import Credentials
    from setproto.roles.gateway import Gateway
    from setproto.roles.merchant import Merchant
    from setproto.store import MemoryStore

__version__ = "0.1.0"

_HOMES = {
    "setproto.amounts": ("CurrencyAmount",),
    "setproto.card": ("PAN", "Card", "CardExpiry", "CardSecret", "PANSecret"),
    "setproto.crypto.suites": ("SUITES", "suite"),
    "setproto.errors": ("ErrorCode", "ProtocolError", "SetError", "UsageError"),
    "setproto.market": ("Market",),
    "setproto.messages.codes": ("AuthCode", "CapCode", "CertStatusCode", "CompletionCode", "RequestType"),
    "setproto.roles.applicant": ("Applicant",),
    "setproto.roles.authority": ("CertificateAuthority",),
    "setproto.roles.cardholder": ("Cardholder", "Order", "PaymentCard"),
    "setproto.roles.credentials": ("Credentials",),
    "setproto.roles.gateway": ("Gateway",),
    "setproto.roles.merchant": ("Merchant",),
    "setproto.store": ("MemoryStore",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "PAN",
    "SUITES",
    "Applicant",
    "AuthCode",
    "CapCode",
    "Card",
    "CardExpiry",
    "CardSecret",
    "Cardholder",
    "CertStatusCode",
    "CertificateAuthority",
    "CompletionCode",
    "Credentials",
    "CurrencyAmount",
    "ErrorCode",
    "Gateway",
    "Market",
    "MemoryStore",
    "Merchant",
    "Order",
    "PANSecret",
    "PaymentCard",
    "ProtocolError",
    "RequestType",
    "SetError",
    "UsageError",
    "suite",
]


def __getattr__(name: str) -> object:
    """Load a public name from its module (PEP 562)."""
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'setproto' has no attribute {name!r}")
