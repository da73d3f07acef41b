"""The revocation data of a whole brand, as it is enclosed in messages."""

from __future__ import annotations

from functools import cache

from pki import build_brand_tree
from setproto.crypto.cms import Enclosed
from tests.pki.conftest import NOW


@cache
def revocation(suite_name: str) -> Enclosed:
    """The CRLs of a root, a brand, a region and its three CAs, and the brand's list of them."""
    tree = build_brand_tree(suite_name, now=NOW, geo=True)
    crls = tree.crls(NOW)
    return Enclosed(tuple(crls), tree.bci(crls, NOW))
