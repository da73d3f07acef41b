"""The configuration of each server: one TOML file, every key checked, none unknown.

Paths are relative to the file.  A file that holds a secret must be readable by its owner alone (mode 0600); passphrases
of keys stand in files of their own.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo

from setproto import settings
from setproto.messages.wrapper import MAX_MESSAGE
from setproto.settings import Table, require_private

__all__ = [
    "GIVE_UP_SECONDS",
    "TLS",
    "Address",
    "BankConfig",
    "CAConfig",
    "GatewayConfig",
    "Keys",
    "Limits",
    "MerchantConfig",
    "Operator",
    "ServerConfig",
    "Trust",
    "load",
    "octets",
]

_ADDRESS: Final = re.compile(r"(?P<host>[^:\s]+|\[[0-9A-Fa-f:]+\]):(?P<port>[0-9]{1,5})")
_SQLITE: Final = "sqlite:///"
GIVE_UP_SECONDS: Final = 3600
"""Time-outs are local policy (set-protocol.md §4.2).  A purchase takes seconds (trade.md T69); an hour outlasts a
restart of gateway or bank and the bank's own repetitions (15 s, 60 s, 5 min; bank.md §5, rule 5)."""


def _path(written: Any, info: ValidationInfo[Any]) -> Any:
    return Path(info.context) / written if isinstance(written, str) else written


def _database(written: str, info: ValidationInfo[Any]) -> str:
    if not written.startswith(_SQLITE):
        return written
    return f"{_SQLITE}{Path(info.context) / written.removeprefix(_SQLITE)}"


def _address(written: Any) -> Any:
    found = _ADDRESS.fullmatch(written) if isinstance(written, str) else None
    if found is None or not 0 < int(found["port"]) < 1 << 16:
        raise ValueError("an address is written like 127.0.0.1:8470")
    return found["host"].strip("[]"), int(found["port"])


def _key(written: SecretStr) -> SecretStr:
    try:
        octets = bytes.fromhex(written.get_secret_value())
    except ValueError:
        octets = b""
    if len(octets) != 32:
        raise ValueError("a key is 32 octets in hexadecimal")
    return written


def octets(key: SecretStr) -> bytes:
    """The octets of a Key."""
    return bytes.fromhex(key.get_secret_value())


File = Annotated[Path, BeforeValidator(_path)]
Address = Annotated[tuple[str, int], BeforeValidator(_address)]
"""Where to listen or to connect to: host and port."""
Secret = Annotated[SecretStr, Field(min_length=32)]
Key = Annotated[SecretStr, AfterValidator(_key)]
"""32 octets in hexadecimal."""


class TLS(Table):
    """The certificate chain of the server in PEM, and its key, encrypted if there is a file with a passphrase."""

    certificate: File
    key: File
    passphrase_file: File | None = None


class Limits(Table):
    """What one request may take, and how many there may be."""

    octets: Annotated[int, Field(ge=1024)] = MAX_MESSAGE
    seconds: Annotated[float, Field(gt=0)] = 15
    """Until the headers of a request have come in, again until its content has, and again until there is an answer."""
    workers: Annotated[int, Field(ge=1, le=64)] = 8
    """Requests that are worked on at a time."""
    waiting: Annotated[int, Field(ge=1)] = 512
    """Requests that may wait or be worked on; more are turned away (503)."""


class Trust(Table):
    """The directory with root.pem, cas.pem, crls.pem and bcis.pem (``setproto ca export``), and the suite."""

    directory: File
    suite: Literal["p256", "rsa3072", "ed25519", "mldsa65"]


class Keys(Table):
    """NAME-signature.pem, NAME-signature.key.pem, and the same for exchange, and NAME-chain.pem, in a directory."""

    directory: File
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
    passphrase_file: File


class ServerConfig(Table):
    """What every server needs."""

    listen: Address
    database: Annotated[str, AfterValidator(_database)]
    """As SQLAlchemy writes it: ``sqlite:///merchant.db``, ``postgresql+psycopg://…``."""
    limits: Limits = Limits()
    tls: TLS | None = None


class BankConfig(ServerConfig):
    """The bank: issuer and acquirer.  What it keeps of cards is hidden under ``vault_key``."""

    name: str
    iso8583: Address
    """Where it listens to gateways."""
    acquirer: Annotated[str, Field(pattern=r"^[0-9]{6,11}$")]
    brand: str
    vault_key: Key
    secret: Secret
    """What opens the interface for the CA."""
    trust: Trust


class Bank(Table):
    """Where a CA asks whether a card is genuine, and with which secret."""

    url: str
    secret: Secret
    verify: File | None = None
    """Certificates of CAs for an ``https`` URL; none: those that the system trusts."""


class CAConfig(ServerConfig):
    """The cardholders' CA of a brand.  ``database`` is that of ``setproto ca``."""

    brand: str
    passphrase_file: File
    public: File
    """The directory in which everybody finds what is published."""
    bank: Bank
    bank_name: str
    """The issuer, as the certificates name it."""


class GatewayConfig(ServerConfig):
    """A payment gateway."""

    keys: Keys
    trust: Trust
    acquirer_bin: Annotated[str, Field(pattern=r"^[0-9]{6}$")]
    token_key: Key
    """What its tokens to itself are sealed with."""
    link_key: Key
    """What hides card numbers that are on their way to the bank."""
    terminal: Annotated[str, Field(min_length=8, max_length=8)] = "GW000001"
    """Another one for each process of a gateway."""
    bank: Address
    """Where the bank speaks ISO 8583."""
    bank_seconds: Annotated[float, Field(gt=0)] = 6
    """How long to wait for its answer."""
    link_database: Annotated[str, AfterValidator(_database)]
    """What is on its way to the bank is kept apart: it is written while a request is being decided."""


class Operator(Table):
    """Where ``setproto merchant`` finds the shop's own interface, and the secret that opens it."""

    listen: Address
    secret: Secret


class MerchantConfig(ServerConfig):
    """A shop."""

    keys: Keys
    trust: Trust
    gateway: str
    """URL of the gateway."""
    gateway_verify: File | None = None
    gateway_certificate: File
    """Its key-exchange certificate, and the chain, in PEM."""
    gateway_seconds: Annotated[float, Field(gt=0)] = 10
    """How long to wait for its answer."""
    give_up_seconds: Annotated[float, Field(ge=60)] = GIVE_UP_SECONDS
    """After that, an authorisation without answer is closed as not authorised, and reversed."""
    catalogue: File
    capture: Literal["sale", "shipment"] = "shipment"
    """Take the money with the authorisation, or when the goods are shipped."""
    category: Annotated[str, Field(pattern=r"^[0-9]{4}$")] = "5942"
    """ISO 18245."""
    operator: Operator


C = TypeVar("C", bound=ServerConfig)


def load(model: type[C], file: Path) -> C:
    """The configuration in a file.  UsageError names the file and every fault, or says that others may read it."""
    require_private(file)
    return settings.parse(model, file.read_text(encoding="utf-8"), str(file), str(file.absolute().parent))
