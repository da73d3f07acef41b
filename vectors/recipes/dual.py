"""Area dual: views of the dual signature of a purchase (README section 1), one file a suite."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from pki.der import tlv
from setproto.crypto.dual import DualSignature, Form, Part
from setproto.messages.oids import ID_OI_DATA, ID_PI_DATA, ID_PI_SEALS, ID_PI_TBS, ID_PRES_DATA
from setproto.messages.purchase import PURCHASE
from vectors.recipes.common import BRAND, Case, File, Made, Random, note
from vectors.recipes.keys import SUITES, World, world
from vectors.recipes.signed import revocation, signed_object

PAYMENT, ORDER, SEALS = ID_PI_DATA.dotted_string, ID_OI_DATA.dotted_string, ID_PI_SEALS.dotted_string
NOTES: Final = {
    "Linkage": note(
        "BINDING",
        "A part, a digest or a salt is not the one that was signed together with the others.",
        "An order is paid with another's payment instruction.",
        "SET Book 1, dual signature",
    ),
    "Form": note("BINDING", "The parts are not those of the form.", "A part stands in the place of another."),
    "Suite": note("DOWNGRADE", "Signed for another suite.", "The strength of the weaker suite."),
    "Trust": note("TRUST", "The signer is not to be trusted for this.", "Somebody else pays."),
    "ModifiedSignature": note("MODIFIED_SIGNATURE", "The signature was changed.", "Forgery."),
    "Salt": note(
        "DICTIONARY", "A salt is too short.", "The hidden part is found by trying: card numbers are few.", "PX-3"
    ),
}


def _parts(random: Random) -> list[Part]:
    return [
        Part(ID_PI_DATA, b"payment " + random("payment", 40), random("payment salt", 32)),
        Part(ID_OI_DATA, b"order " + random("order", 40), random("order salt", 32)),
        Part(ID_PI_SEALS, b"seals " + random("seals", 60), random("rrpid", 20)),
    ]


def build() -> Iterable[File]:
    """One file a suite."""
    return [_file(name) for name in SUITES]


def _view(signed: DualSignature, shown: Iterable[Any], name: str) -> dict[str, Any]:
    view = signed.view(*shown)
    return {
        "suite": name,
        "parts": [
            {"type": part.type.dotted_string, "content": part.content.hex(), "salt": part.salt.hex()}
            for part in view.parts
        ],
        "digests": {oid.dotted_string: value.hex() for oid, value in view.hidden.items()},
        "signature": view.signature.hex(),
        "kind": "cardholder signature",
        "brand": BRAND,
    }


def _file(name: str) -> File:
    of = world(name)
    file = File("dual", name, [f"The dual signature of a purchase in the suite {name}"], NOTES)
    group = file.group("dual.verify", trust=of.trust())

    def good(label: str, comment: str, shown: tuple[Any, ...], parts: Callable[[Random], list[Part]] = _parts) -> Case:
        def make(random: Random) -> Made:
            signed = PURCHASE.sign(of.signer("cardholder"), parts(random))
            digests = {oid.dotted_string: value.hex() for oid, value in signed.digests.items()}
            steps = {f"digest_{oid.replace('.', '_')}": value for oid, value in digests.items()}
            steps["to_be_signed"] = PURCHASE.to_be_signed(signed.digests, name).hex()
            return Made(_view(signed, shown, name), {"digests": digests}, steps)

        return group.add(label, comment, make, covers=["PX-1", "PU-1"])

    merchant = good("merchant-view", "Order and seals in full, the payment as a digest", (ID_OI_DATA, ID_PI_SEALS))
    gateway = good("gateway-view", "Payment and seals in full, the order as a digest", (ID_PI_DATA, ID_PI_SEALS))
    good("all-shown", "All parts in full", (ID_PI_DATA, ID_OI_DATA, ID_PI_SEALS))
    good("one-shown", "One part in full, two digests", (ID_OI_DATA,))
    good(
        "shortest-salt",
        "A salt of 16 octets",
        (ID_OI_DATA, ID_PI_SEALS),
        lambda random: [replace(part, salt=part.salt[:16]) for part in _parts(random)],
    )
    good(
        "empty-part",
        "A part of no octets",
        (ID_OI_DATA, ID_PI_SEALS),
        lambda random: [
            replace(part, content=b"" if part.type == ID_OI_DATA else part.content) for part in _parts(random)
        ],
    )

    def altered(
        label: str,
        comment: str,
        flag: str,
        change: Callable[[Random, Mapping[str, Any]], Mapping[str, Any]],
        sibling: Case = merchant,
        reason: str = "signatureFailure",
        **more: Any,
    ) -> None:
        group.deviate(
            sibling,
            label,
            label,
            reason,
            lambda random, parent: change(random, parent.input),
            comment=comment,
            covers=["PX-1"],
            flags=[flag],
            **more,
        )

    def part(kind: str, **values: str) -> Callable[[Random, Mapping[str, Any]], Mapping[str, Any]]:
        return lambda random, given: {
            "parts": [{**one, **values} if one["type"] == kind else one for one in given["parts"]]
        }

    altered("order-changed", "Another order", "Linkage", part(ORDER, content=b"another order".hex()))
    altered("payment-changed", "Another payment", "Linkage", part(PAYMENT, content=b"another payment".hex()), gateway)
    altered("seals-changed-merchant", "Other seals, seen by the merchant", "Linkage", part(SEALS, content="00"))
    altered("seals-changed-gateway", "Other seals, seen by the gateway", "Linkage", part(SEALS, content="00"), gateway)
    altered("salt-changed", "Another salt of the order", "Linkage", part(ORDER, salt="00" * 32))
    altered("salt-too-short", "A salt of 15 octets", "Salt", part(ORDER, salt="00" * 15))
    altered(
        "signed-with-a-short-salt",
        "A salt of 15 octets, with which the cardholder has signed",
        "Salt",
        lambda random, given: _salted(of, given),
    )
    altered(
        "crl-enclosed",
        "A CRL comes with the signature",
        "Form",
        lambda random, given: _signed(of, given, crls=revocation(of.crls[0])),
        reason="decodingFailure",
    )
    altered(
        "salt-and-content-shifted",
        "The last octet of the salt is the first of the content",
        "Linkage",
        lambda random, given: {"parts": [_shifted(one) if one["type"] == ORDER else one for one in given["parts"]]},
    )
    altered(
        "payment-digest-changed",
        "The digest of another payment: the order would be paid with it",
        "Linkage",
        lambda random, given: {"digests": {PAYMENT: "00" * 32}},
    )
    altered(
        "order-digest-changed",
        "The digest of another order",
        "Linkage",
        lambda random, given: {"digests": {ORDER: "00" * 32}},
        gateway,
    )
    altered(
        "other-purchase-s-digest",
        "The digest of the payment of another purchase by the same card",
        "Linkage",
        lambda random, given: {"digests": {PAYMENT: PURCHASE.digest(_parts(random)[0], name).hex()}},
    )
    altered(
        "types-exchanged",
        "Order and seals in each other's place",
        "Form",
        lambda random, given: {
            "parts": [{**one, "type": SEALS if one["type"] == ORDER else ORDER} for one in given["parts"]]
        },
    )
    altered(
        "order-as-payment",
        "The order is given as the payment, whose digest stands for the order",
        "Form",
        lambda random, given: {
            "parts": [{**one, "type": PAYMENT if one["type"] == ORDER else one["type"]} for one in given["parts"]],
            "digests": {ORDER: given["digests"][PAYMENT]},
        },
    )
    altered("part-missing", "The digest of the payment is missing", "Form", lambda random, given: {"digests": {}})
    altered("nothing-shown", "Digests alone", "Form", lambda random, given: {"parts": [], "digests": _all(name, given)})
    altered(
        "part-shown-and-hidden",
        "The order in full, and its digest too",
        "Form",
        lambda random, given: {"digests": {**given["digests"], ORDER: _all(name, given)[ORDER]}},
    )
    altered(
        "part-twice",
        "The order is there twice",
        "Form",
        lambda random, given: {"parts": [*given["parts"], given["parts"][0]]},
    )
    altered(
        "part-of-another-type",
        "A part of a type that the form has not",
        "Form",
        lambda random, given: {
            "parts": [*given["parts"], {"type": ID_PRES_DATA.dotted_string, "content": "00", "salt": "00" * 32}]
        },
    )
    altered(
        "digest-of-another-type",
        "A digest of a type that the form has not, instead of the payment's",
        "Form",
        lambda random, given: {"digests": {ID_PRES_DATA.dotted_string: given["digests"][PAYMENT]}},
    )
    altered(
        "digest-truncated",
        "31 octets of the payment's digest",
        "Linkage",
        lambda random, given: {"digests": {PAYMENT: given["digests"][PAYMENT][:-2]}},
    )
    altered(
        "signature-of-another-purchase",
        "The cardholder's signature on another purchase",
        "Linkage",
        lambda random, given: {"signature": PURCHASE.sign(of.signer("cardholder"), _parts(random)).signature.hex()},
    )
    altered(
        "signature-changed",
        "The last octet of the object, which is the signature's",
        "ModifiedSignature",
        lambda random, given: {"signature": given["signature"][:-2] + f"{int(given['signature'][-2:], 16) ^ 1:02x}"},
    )
    altered(
        "signed-by-a-merchant",
        "A merchant's key and certificate",
        "Trust",
        lambda random, given: _signed(of, given, by="merchant"),
        reason="invalidCertificate",
    )
    altered(
        "signed-by-a-stranger",
        "The cardholder's certificate, another key",
        "Trust",
        lambda random, given: _signed(of, given, key=of.loose["stranger"]),
    )
    altered(
        "other-brand",
        "The transaction is of another brand",
        "Trust",
        lambda random, given: {"brand": "Marquee"},
        reason="invalidCertificate",
    )
    altered(
        "other-suite-in-the-digests",
        "Signed with the name of another suite in all digests",
        "Suite",
        lambda random, given: _resuited(of, given),
    )
    altered(
        "other-form", "The same parts, signed under another form", "Form", lambda random, given: _reformed(of, given)
    )
    altered(
        "parts-in-another-order",
        "The signed list has order and payment exchanged",
        "Form",
        lambda random, given: _signed(of, given, turned=True),
    )
    altered("version-2", "The signed list has version 2", "Form", lambda random, given: _signed(of, given, version=2))
    altered(
        "other-content-type",
        "Signed as a PRes",
        "Form",
        lambda random, given: _signed(of, given, content_type=ID_PRES_DATA.dotted_string),
    )
    altered(
        "not-detached", "The signed list is enclosed", "Form", lambda random, given: _signed(of, given, detached=False)
    )
    altered(
        "not-der",
        "An octet after the signature",
        "Form",
        lambda random, given: {"signature": given["signature"] + "00"},
        reason="decodingFailure",
    )
    late = file.group("dual.verify", trust=of.trust(), now="2026-02-13T12:00:00Z")
    late.add(
        "last-second-of-the-crls",
        "The very second until which the CRLs and their list are current",
        lambda random: Made(**_once(of, random, name)),
        covers=["PX-15"],
    )
    return file


def _once(of: World, random: Random, name: str) -> dict[str, Any]:
    signed = PURCHASE.sign(of.signer("cardholder"), _parts(random))
    digests = {oid.dotted_string: value.hex() for oid, value in signed.digests.items()}
    return {
        "input": _view(signed, (ID_OI_DATA, ID_PI_SEALS), name),
        "outputs": {"digests": digests},
        "intermediate": {"to_be_signed": PURCHASE.to_be_signed(signed.digests, name).hex()},
    }


def _shifted(part: Mapping[str, str]) -> dict[str, str]:
    return {"type": part["type"], "salt": part["salt"][:-2], "content": part["salt"][-2:] + part["content"]}


def _digest(form: Form, part: Mapping[str, str], name: str) -> str:
    oid = next(one for one in PURCHASE.part_types if one.dotted_string == part["type"])
    salt = bytes.fromhex(part["salt"])
    made = Part(oid, bytes.fromhex(part["content"]), salt.ljust(16))
    object.__setattr__(made, "salt", salt)  # a Part refuses a salt that is too short
    return form.digest(made, name).hex()


def _all(name: str, given: Mapping[str, Any], form: Form = PURCHASE) -> dict[str, str]:
    """The digests of all parts."""
    return {**given["digests"], **{part["type"]: _digest(form, part, name) for part in given["parts"]}}


def _signed(
    of: World,
    given: Mapping[str, Any],
    *,
    named: str | None = None,
    form: Form = PURCHASE,
    turned: bool = False,
    version: int = 1,
    content_type: str | None = None,
    by: str = "cardholder",
    key: Any = None,
    detached: bool = True,
    crls: bytes = b"",
) -> dict[str, str]:
    """Another signature over the same parts."""
    digests = _all(named or of.suite, given, form)
    listed = list(form.part_types)
    if turned:
        listed[0], listed[1] = listed[1], listed[0]
    octets = Form(form.content_type, tuple(listed)).to_be_signed(
        {oid: bytes.fromhex(digests[oid.dotted_string]) for oid in listed}, named or of.suite
    )
    if version != 1:
        start = len(tlv(0x30, octets)) - len(octets)
        octets = octets.replace(b"\x02\x01\x01", bytes((2, 1, version)), 1) if start else octets
    signature, _ = signed_object(
        of,
        octets,
        content_type=content_type or form.content_type.dotted_string,
        by=by,
        key=key,
        detached=detached,
        crls=crls,
    )
    return {"signature": signature.hex()}


def _salted(of: World, given: Mapping[str, Any]) -> dict[str, Any]:
    """The order with a salt of 15 octets, signed as it is."""
    parts = [{**part, "salt": part["salt"][:30]} if part["type"] == ORDER else part for part in given["parts"]]
    return {"parts": parts, **_signed(of, {**given, "parts": parts})}


def _resuited(of: World, given: Mapping[str, Any]) -> dict[str, str]:
    return _signed(of, given, named="ed25519" if of.suite != "ed25519" else "p256")


def _reformed(of: World, given: Mapping[str, Any]) -> dict[str, str]:
    """The digests are bound to the form, so the same list under the right content type does not hold either."""
    other = Form(ID_PRES_DATA, PURCHASE.part_types)
    return _signed(of, given, form=other, content_type=ID_PI_TBS.dotted_string)
