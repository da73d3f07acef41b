"""Certificates for SET: issuing them, revoking them, and telling good chains from bad ones.

The package stands alone (it imports nothing of setproto).  ``PathValidator`` is the way
in for whoever receives certificates; ``build_brand_tree`` for whoever needs some.
"""

from pki.authority import Authority, create_root
from pki.bci import CheckedBCI, check_bci
from pki.checking import CheckedCertificate, check_certificate, check_profile
from pki.errors import CertificateError, KeyStoreError, UnknownSuiteError
from pki.extensions import (
    CardCertRequired,
    CertificateType,
    HashedRootKey,
    MerchantData,
    MerchantName,
    Tunneling,
)
from pki.hierarchy import BrandTree, Credential, build_brand_tree
from pki.identifiers import subject_key_identifier, thumbprint
from pki.path import PathValidator, RevocationData, ValidatedCertificate
from pki.profiles import PROFILES, CertificateKind, Profile
from pki.register import MemoryRegister, Register, Revocation
from pki.revocation import CheckedCRL, CRLStore, check_crl
from pki.suites import SUITES, KeySuite, key_suite

__all__ = [
    "PROFILES",
    "SUITES",
    "Authority",
    "BrandTree",
    "CRLStore",
    "CardCertRequired",
    "CertificateError",
    "CertificateKind",
    "CertificateType",
    "CheckedBCI",
    "CheckedCRL",
    "CheckedCertificate",
    "Credential",
    "HashedRootKey",
    "KeyStoreError",
    "KeySuite",
    "MemoryRegister",
    "MerchantData",
    "MerchantName",
    "PathValidator",
    "Profile",
    "Register",
    "Revocation",
    "RevocationData",
    "Tunneling",
    "UnknownSuiteError",
    "ValidatedCertificate",
    "build_brand_tree",
    "check_bci",
    "check_certificate",
    "check_crl",
    "check_profile",
    "create_root",
    "key_suite",
    "subject_key_identifier",
    "thumbprint",
]
