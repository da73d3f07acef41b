"""Certificates for SET: issuing them, revoking them, and telling good chains from bad ones.

The package stands alone (it imports nothing of setproto).  ``PathValidator`` is the way
in for whoever receives certificates; ``build_brand_tree`` for whoever needs some.
"""

from pki.authority import Authority, create_root
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
from pki.path import PathValidator, ValidatedCertificate
from pki.profiles import PROFILES, CertificateKind, Profile
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
    "CheckedCRL",
    "CheckedCertificate",
    "Credential",
    "HashedRootKey",
    "KeyStoreError",
    "KeySuite",
    "MerchantData",
    "MerchantName",
    "PathValidator",
    "Profile",
    "Tunneling",
    "UnknownSuiteError",
    "ValidatedCertificate",
    "build_brand_tree",
    "check_certificate",
    "check_crl",
    "check_profile",
    "create_root",
    "key_suite",
    "subject_key_identifier",
    "thumbprint",
]
