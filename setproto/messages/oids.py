"""Object identifiers of this project, under a UUID arc of its own (ITU-T X.667: ``2.25.<uuid>``).

The structures are not SET's, byte for byte, so they do not use SET's numbers; the last arc is the number that
the corresponding content type has in SET (set-protocol.md Annex A.2), and numbers from 100 on are new here.
See docs/adr/0002.
"""

from __future__ import annotations

from typing import Final

from cryptography.x509 import ObjectIdentifier

ARC: Final = "2.25.137087056187701533922853352641590903349"
"""Drawn once at random (UUID version 4) for this project."""


def _ct(number: int) -> ObjectIdentifier:
    return ObjectIdentifier(f"{ARC}.0.{number}")


ID_PAN_DATA: Final = _ct(0)
ID_OI_DATA: Final = _ct(3)
ID_PI_DATA: Final = _ct(5)
ID_HOD_INPUT: Final = _ct(7)
ID_PINIT_RES_DATA: Final = _ct(12)
ID_PI_TBS: Final = _ct(13)
ID_PRES_DATA: Final = _ct(14)
ID_INQ_REQ_DATA: Final = _ct(15)
ID_AUTH_REQ_TBS: Final = _ct(16)
ID_AUTH_RES_TBS: Final = _ct(17)
ID_CAP_TOKEN_DATA: Final = _ct(20)
ID_CAP_REQ_TBS: Final = _ct(26)
ID_CAP_RES_DATA: Final = _ct(28)
ID_ERROR_TBS: Final = _ct(49)
ID_PI_OI_LINK: Final = _ct(50)
ID_PINIT_REQ: Final = _ct(100)
ID_INQ_RES_DATA: Final = _ct(101)
ID_PI_SEALS: Final = _ct(102)

NAMES: Final = {
    ID_PAN_DATA: "PANData",
    ID_OI_DATA: "OIData",
    ID_PI_DATA: "PIData",
    ID_HOD_INPUT: "HODInput",
    ID_PINIT_RES_DATA: "PInitResData",
    ID_PI_TBS: "PI-TBS",
    ID_PRES_DATA: "PResData",
    ID_INQ_REQ_DATA: "InqReqData",
    ID_AUTH_REQ_TBS: "AuthReqTBS",
    ID_AUTH_RES_TBS: "AuthResTBS",
    ID_CAP_TOKEN_DATA: "CapTokenData",
    ID_CAP_REQ_TBS: "CapReqTBS",
    ID_CAP_RES_DATA: "CapResData",
    ID_ERROR_TBS: "ErrorTBS",
    ID_PI_OI_LINK: "PI-OILink",
    ID_PINIT_REQ: "PInitReq",
    ID_INQ_RES_DATA: "InqResData",
    ID_PI_SEALS: "PISeals",
}
"""Identifier → the name of the type, for people."""
