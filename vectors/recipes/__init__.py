"""The code that makes the cases.  A recipe module has ``build() -> Iterable[File]``; AREAS says which area is whose."""

from typing import Final

AREAS: Final = {
    "signed": "vectors.recipes.signed",
    "sealed": "vectors.recipes.sealed",
    "dual": "vectors.recipes.dual",
    "codec": "vectors.recipes.codec",
    "chains": "vectors.recipes.chains",
    "registration": "vectors.recipes.registration",
    "purchase": "vectors.recipes.purchase",
    "payment": "vectors.recipes.payment",
    "recurring": "vectors.recipes.recurring",
    "replay": "vectors.recipes.replay",
    "privacy": "vectors.recipes.privacy",
}
"""Area → module."""
