"""What everybody may have of a hierarchy, in four files: roots, certificates of CAs, CRLs and BrandCRLIdentifiers.

``setproto ca export`` writes them; servers and wallets start from them, and learn newer ones from messages.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cryptography import x509

from pki import PathValidator
from setproto.ca.office import Office
from setproto.reading.pem import blocks_in, to_pem

__all__ = ["contents", "learn", "learning", "validator", "write"]


def contents(office: Office) -> dict[str, bytes]:
    """Name of the file → what is in it, in PEM."""
    current = office.publishers()
    records = [office.records[name] for name in current]
    objects = {
        "root.pem": ("CERTIFICATE", [record.certificates[0] for record in records if not record.superior]),
        "cas.pem": ("CERTIFICATE", [der for record in records if record.superior for der in record.certificates]),
        "crls.pem": ("X509 CRL", [crl for name, crl in office.crls().items() if name in current]),
        "bcis.pem": ("BRAND CRL IDENTIFIER", list(office.bcis().values())),
    }
    return {name: b"".join(to_pem(label, der) for der in ders) for name, (label, ders) in objects.items()}


def write(files: dict[str, bytes], directory: Path) -> None:
    """Write them; whoever reads one at this moment gets the old file or the new one, and never a part."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        fresh = directory / f".{name}.new"
        fresh.write_bytes(data)
        fresh.replace(directory / name)


def validator(directory: Path, suite: str) -> PathValidator:
    """A validator that trusts the roots in the directory, and holds what was published there.

    UsageError if a file is none of these; CertificateError if what is in it cannot be trusted.
    """
    roots = [x509.load_der_x509_certificate(der) for der in blocks_in(directory / "root.pem")]
    made = PathValidator(roots, suite=suite)
    learn(made, directory)
    return made


def learn(validator: PathValidator, directory: Path) -> None:
    """Take in what is in the directory now and was not before.  Errors as for ``validator``; roots are left alone."""
    validator.add_intermediates(blocks_in(directory / "cas.pem"))
    for crl in blocks_in(directory / "crls.pem"):
        validator.add_crl(crl)
    for bci in blocks_in(directory / "bcis.pem"):
        validator.add_bci(bci)


def learning(validator: PathValidator, directory: Path) -> Callable[[], None]:
    """``learn``, to be done from time to time."""
    return lambda: learn(validator, directory)
