"""Response codes (DE 39) and what a gateway makes of them (bank.md §3.1, §4).  An unknown code is a decline."""

from __future__ import annotations

from typing import Final

from setproto.messages.codes import AuthCode

APPROVED: Final = "00"
NOT_FOUND: Final = "25"
FORMAT_ERROR: Final = "30"
DUPLICATE: Final = "94"
TOO_LATE: Final = "68"
IN_PART: Final = "10"
UNSETTLED: Final = frozenset(("06", "09", "68", "91", "96"))
"""Answers after which nobody knows what became of the request, or that ask to come again."""
TIMED_OUT, MALFUNCTION, CANCELLED = "68", "22", "17"
"""Reasons of reversals."""

MEANINGS: Final = {
    "00": "approved",
    "01": "refer to issuer",
    "02": "refer to issuer, special conditions",
    "03": "invalid merchant",
    "04": "pick up card",
    "05": "do not honour",
    "07": "pick up card, special conditions",
    "08": "approved with identification",
    "10": "approved for part of the amount",
    "11": "approved, VIP",
    "12": "invalid transaction",
    "13": "invalid amount",
    "14": "invalid card number",
    "15": "no such issuer",
    "17": "customer cancellation",
    "18": "customer dispute",
    "21": "no action taken",
    "25": "original not found",
    "30": "format error",
    "33": "expired card, pick up",
    "34": "suspected fraud, pick up",
    "36": "restricted card, pick up",
    "38": "PIN tries exceeded, pick up",
    "40": "function not supported",
    "41": "lost card",
    "43": "stolen card",
    "51": "not sufficient funds",
    "54": "expired card",
    "55": "wrong PIN",
    "56": "no card record",
    "57": "not permitted to cardholder",
    "58": "not permitted to terminal",
    "59": "suspected fraud",
    "61": "exceeds amount limit",
    "62": "restricted card",
    "63": "security violation",
    "65": "exceeds frequency limit",
    "68": "response received too late",
    "75": "PIN tries exceeded",
    "85": "no reason to decline",
    "91": "issuer or switch inoperative",
    "92": "no route",
    "94": "duplicate transmission",
    "95": "reconciliation error",
    "96": "system malfunction",
}

_AUTH_CODES: Final = {
    **dict.fromkeys(("00", "08", "11", "85"), AuthCode.approved),
    **dict.fromkeys(("01", "02"), AuthCode.callIssuer),
    **dict.fromkeys(("54", "33"), AuthCode.expiredCard),
    "13": AuthCode.amountError,
    **dict.fromkeys(("12", "30", "57", "58"), AuthCode.invalidTransaction),
    **dict.fromkeys(("91", "68"), AuthCode.noReply),
    **dict.fromkeys(("96", "06", "09"), AuthCode.systemError),
}


def auth_code(response: str) -> AuthCode:
    """SET's name for a response code.  10 (part of the amount) is a decline: the merchant asked for the whole."""
    return _AUTH_CODES.get(response, AuthCode.declined)
