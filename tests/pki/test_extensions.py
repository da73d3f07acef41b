"""The SET private extensions: strict in what they say and in how it is written."""

from __future__ import annotations

import dataclasses

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from pki import (
    BrandTree,
    CardCertRequired,
    CertificateError,
    CertificateType,
    HashedRootKey,
    MerchantData,
    MerchantName,
    Tunneling,
    check_certificate,
)
from pki.extensions import (
    CARD_CERT_REQUIRED,
    CERTIFICATE_TYPE,
    HASHED_ROOT_KEY,
    MERCHANT_DATA,
    TUNNELING,
    PrivateExtension,
    from_extension,
    to_extension,
)
from tests.pki.forging import Draft

NAME = MerchantName(language="en", name="Corner Shop", city="Capital", country_name="XX")
DATA = MerchantData(mer_id="M-1", mer_acquirer_bin="412345", mer_name_seq=(NAME,), mer_country=999)

printable = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["C", "Z"]), min_size=1, max_size=14).filter(
    str.isprintable
)
names = st.builds(
    MerchantName,
    language=st.from_regex(r"[a-z]{2}(-[A-Z]{2})?", fullmatch=True),
    name=printable,
    city=printable,
    country_name=printable,
    state_province=st.none() | printable,
    postal_code=st.none() | printable,
)
values: st.SearchStrategy[PrivateExtension] = st.one_of(
    st.integers(1, (1 << 10) - 1).map(CertificateType),
    st.binary(min_size=32, max_size=32).map(HashedRootKey),
    st.booleans().map(CardCertRequired),
    st.builds(
        Tunneling,
        tunneling=st.booleans(),
        algorithms=st.just((x509.ObjectIdentifier("2.16.840.1.101.3.4.1.46"),)),
    ),
    st.builds(
        MerchantData,
        mer_id=printable,
        mer_acquirer_bin=st.from_regex(r"[0-9]{6}", fullmatch=True),
        mer_name_seq=st.lists(names, min_size=1, max_size=3).map(tuple),
        mer_country=st.integers(1, 999),
    ),
)


@given(values)
def test_what_is_written_is_read(value: PrivateExtension) -> None:
    assert from_extension(to_extension(value)) == value


@given(st.sampled_from([HASHED_ROOT_KEY, CERTIFICATE_TYPE, MERCHANT_DATA, TUNNELING]), st.binary(max_size=40))
def test_junk_is_refused_with_our_error_or_is_der(oid: x509.ObjectIdentifier, junk: bytes) -> None:
    try:
        value = from_extension(x509.UnrecognizedExtension(oid, junk))
    except CertificateError:
        return
    assert to_extension(value).value == junk


@given(values, st.data())
def test_a_flipped_bit_is_refused_or_another_value(value: PrivateExtension, data: st.DataObject) -> None:
    extension = to_extension(value)
    octets = bytearray(extension.value)
    place = data.draw(st.integers(0, len(octets) * 8 - 1))
    octets[place // 8] ^= 1 << place % 8
    try:
        other = from_extension(x509.UnrecognizedExtension(extension.oid, bytes(octets)))
    except CertificateError:
        return
    assert other != value
    assert to_extension(other).value == bytes(octets)


def test_named_bits_in_der() -> None:
    """X.690 section 11.2.2: no trailing zero bits; bit 0 is the first."""
    assert to_extension(CertificateType.CARD).value.hex() == "03020780"
    assert to_extension(CertificateType.RCA).value.hex() == "0303070080"
    assert to_extension(CertificateType.CCA | CertificateType.ACQ).value.hex() == "0303061040"


@pytest.mark.parametrize(
    "encoding",
    [
        "030100",  # no bit set: no role
        "03020680",  # bit 1 written out as zero
        "0303070080" + "00",  # trailing octet
        "03020781",  # padding not zero
        "0303000000",
        "0304050000" + "20",  # bit 18: not a role of SET
        "0303050020",  # bit 10
        "23060304" + "07800000",  # constructed
        "0382000207" + "80",  # length not in the fewest octets
    ],
)
def test_other_encodings_of_a_certificate_type_are_refused(encoding: str) -> None:
    with pytest.raises(CertificateError):
        from_extension(x509.UnrecognizedExtension(CERTIFICATE_TYPE, bytes.fromhex(encoding)))


def test_a_merchant_never_gets_card_numbers() -> None:
    """merAuthFlag TRUE (C-4) can be neither made, nor read in either spelling: SET's default or written out."""
    with pytest.raises(ValueError, match="merAuthFlag"):
        dataclasses.replace(DATA, mer_auth_flag=True)
    false = to_extension(DATA).value
    assert false.endswith(bytes.fromhex("010100"))
    absent = b"\x30" + bytes([false[1] - 3]) + false[2:-3]
    with pytest.raises(CertificateError, match="merAuthFlag"):
        from_extension(x509.UnrecognizedExtension(MERCHANT_DATA, absent))
    with pytest.raises(CertificateError):
        from_extension(x509.UnrecognizedExtension(MERCHANT_DATA, false[:-1] + b"\xff"))


def test_a_certificate_with_mer_auth_flag_is_refused(tree: BrandTree) -> None:
    merchant = tree.issue_merchant("M-1", "Corner Shop", "412345").signature_certificate
    draft = Draft.of(merchant)
    false = next(v for v, _ in draft.extensions if v.oid == MERCHANT_DATA).public_bytes()
    absent = b"\x30" + bytes([false[1] - 3]) + false[2:-3]
    draft.put(x509.UnrecognizedExtension(MERCHANT_DATA, absent), False)
    with pytest.raises(CertificateError, match="merAuthFlag"):
        check_certificate(draft.signed(tree.mca))


@pytest.mark.parametrize(
    "change",
    [
        {"mer_id": ""},
        {"mer_id": "M" * 31},
        {"mer_id": "M\n"},
        {"mer_id": "\U0001f600"},
        {"mer_acquirer_bin": "41234"},
        {"mer_acquirer_bin": "41234x"},
        {"mer_acquirer_bin": "٤١٢٣٤٥"},
        {"mer_name_seq": ()},
        {"mer_name_seq": (NAME,) * 17},
        {"mer_country": 0},
        {"mer_country": 1000},
    ],
)
def test_merchant_data_has_limits(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="merchantData"):
        dataclasses.replace(DATA, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"language": "e" * 36},
        {"language": "é"},
        {"name": ""},
        {"name": "N" * 51},
        {"postal_code": "1" * 15},
        {"state_province": "S" * 51},
    ],
)
def test_merchant_names_have_limits(change: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="merchantData"):
        dataclasses.replace(NAME, **change)


def test_other_limits() -> None:
    with pytest.raises(ValueError, match="32 octets"):
        HashedRootKey(bytes(20))
    with pytest.raises(ValueError, match="1 to 16"):
        Tunneling(tunneling=True, algorithms=())


def test_an_extension_that_is_not_ours_is_refused() -> None:
    with pytest.raises(CertificateError, match="not a SET extension"):
        from_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier("2.23.42.7.5"), b""))
    with pytest.raises(CertificateError):
        from_extension(x509.UnrecognizedExtension(CARD_CERT_REQUIRED, b"\x01\x01\x01"))


def test_a_root_key_hash_must_be_sha_256_of_a_root_key() -> None:
    good = to_extension(HashedRootKey(bytes(32))).value
    sha1 = good.replace(bytes.fromhex("608648016503040201"), bytes.fromhex("608648016503040202"))
    other = good.replace(bytes.fromhex("0605672a030000"), bytes.fromhex("0605672a030001"))
    version = good.replace(b"\x02\x01\x00", b"\x02\x01\x01")
    for wrong in (sha1, other, version):
        assert wrong != good
        with pytest.raises(CertificateError):
            from_extension(x509.UnrecognizedExtension(HASHED_ROOT_KEY, wrong))
