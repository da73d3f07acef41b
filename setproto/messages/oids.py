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
ID_AUTH_TOKEN_TBS: Final = _ct(19)
ID_CAP_TOKEN_DATA: Final = _ct(20)
ID_ACQ_CARD_CODE_MSG: Final = _ct(22)
ID_AUTH_REV_REQ_TBS: Final = _ct(23)
ID_AUTH_REV_RES_TBS: Final = _ct(25)
ID_CAP_REQ_TBS: Final = _ct(26)
ID_CAP_RES_DATA: Final = _ct(28)
ID_CAP_REV_REQ_TBS: Final = _ct(29)
ID_CAP_REV_RES_DATA: Final = _ct(31)
ID_CRED_REQ_TBS: Final = _ct(32)
ID_CRED_RES_DATA: Final = _ct(34)
ID_CRED_REV_REQ_TBS: Final = _ct(35)
ID_CRED_REV_RES_DATA: Final = _ct(37)
ID_PCERT_REQ_DATA: Final = _ct(38)
ID_PCERT_RES_TBS: Final = _ct(39)
ID_BATCH_ADMIN_REQ_DATA: Final = _ct(40)
ID_BATCH_ADMIN_RES_DATA: Final = _ct(41)
ID_PAN_ONLY: Final = _ct(2)
ID_CARD_C_INIT_RES_TBS: Final = _ct(42)
ID_ME_AQ_C_INIT_RES_TBS: Final = _ct(43)
ID_REG_FORM_RES_TBS: Final = _ct(44)
ID_CERT_REQ_DATA: Final = _ct(45)
ID_CERT_REQ_TBS: Final = _ct(46)
ID_CERT_RES_TBS: Final = _ct(47)
ID_CERT_INQ_REQ_TBS: Final = _ct(48)
ID_ERROR_TBS: Final = _ct(49)
ID_PI_OI_LINK: Final = _ct(50)
ID_REG_FORM_REQ_DATA: Final = _ct(76)
ID_CRL_NOTIFICATION_TBS: Final = _ct(80)
ID_CRL_NOTIFICATION_RES_TBS: Final = _ct(81)
ID_BCI_DISTRIBUTION_TBS: Final = _ct(82)
ID_PINIT_REQ: Final = _ct(100)
ID_INQ_RES_DATA: Final = _ct(101)
ID_PI_SEALS: Final = _ct(102)
ID_AUTH_TOKEN_PAN: Final = _ct(103)
ID_CARD_C_INIT_REQ: Final = _ct(104)
ID_ME_AQ_C_INIT_REQ: Final = _ct(105)
ID_PAN_DATA0: Final = _ct(106)
ID_ACCT_DATA: Final = _ct(107)
ID_KEY_CHALLENGE: Final = _ct(108)
ID_CERT_INQ_RES_TBS: Final = _ct(109)
ID_BRAND_CRL_IDENTIFIER: Final = _ct(110)

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
    ID_AUTH_TOKEN_TBS: "AuthTokenData",
    ID_AUTH_TOKEN_PAN: "PANToken",
    ID_CAP_TOKEN_DATA: "CapTokenData",
    ID_ACQ_CARD_CODE_MSG: "AcqCardCodeMsg",
    ID_AUTH_REV_REQ_TBS: "AuthRevReqTBS",
    ID_AUTH_REV_RES_TBS: "AuthRevResTBS",
    ID_CAP_REQ_TBS: "CapReqTBS",
    ID_CAP_RES_DATA: "CapResData",
    ID_CAP_REV_REQ_TBS: "CapRevReqTBS",
    ID_CAP_REV_RES_DATA: "CapRevResData",
    ID_CRED_REQ_TBS: "CredReqTBS",
    ID_CRED_RES_DATA: "CredResData",
    ID_CRED_REV_REQ_TBS: "CredRevReqTBS",
    ID_CRED_REV_RES_DATA: "CredRevResData",
    ID_PCERT_REQ_DATA: "PCertReqData",
    ID_PCERT_RES_TBS: "PCertResTBS",
    ID_BATCH_ADMIN_REQ_DATA: "BatchAdminReqData",
    ID_BATCH_ADMIN_RES_DATA: "BatchAdminResData",
    ID_ERROR_TBS: "ErrorTBS",
    ID_PI_OI_LINK: "PI-OILink",
    ID_PINIT_REQ: "PInitReq",
    ID_INQ_RES_DATA: "InqResData",
    ID_PI_SEALS: "PISeals",
    ID_PAN_ONLY: "PANOnly",
    ID_CARD_C_INIT_REQ: "CardCInitReq",
    ID_CARD_C_INIT_RES_TBS: "CardCInitResTBS",
    ID_ME_AQ_C_INIT_REQ: "Me-AqCInitReq",
    ID_ME_AQ_C_INIT_RES_TBS: "Me-AqCInitResTBS",
    ID_REG_FORM_REQ_DATA: "RegFormReqData",
    ID_REG_FORM_RES_TBS: "RegFormResTBS",
    ID_CERT_REQ_DATA: "CertReqData",
    ID_CERT_REQ_TBS: "CertReqTBS",
    ID_CERT_RES_TBS: "CertResTBS",
    ID_CERT_INQ_REQ_TBS: "CertInqReqTBS",
    ID_CERT_INQ_RES_TBS: "CertInqResTBS",
    ID_PAN_DATA0: "PANData0",
    ID_ACCT_DATA: "AcctData",
    ID_KEY_CHALLENGE: "KeyChallenge",
    ID_CRL_NOTIFICATION_TBS: "CRLNotificationTBS",
    ID_CRL_NOTIFICATION_RES_TBS: "CRLNotificationResTBS",
    ID_BCI_DISTRIBUTION_TBS: "BCIDistributionTBS",
    ID_BRAND_CRL_IDENTIFIER: "BrandCRLIdentifier",
}
"""Identifier → the name of the type, for people."""
