"""CHECK.sh: what the stock ``openssl`` command can say about a kept demonstration, as a POSIX shell script.

The script knows nothing of this library: it verifies chains, revocation, signatures and opens envelopes with options
of ``openssl verify``, ``openssl cms`` and ``openssl pkeyutl``.  Whether an openssl can do a suite's CMS at all is
tried on keys of its own, so that a damaged file never looks like a missing capability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Chain:
    """An end entity's certificate, up to the root, with all CRLs."""

    name: str

    def line(self) -> str:
        """As the script says it."""
        return f"chain {self.name}"


@dataclass(frozen=True)
class Revoked:
    """The same certificate with the CRL that came later: it must be refused."""

    name: str
    authority: str

    def line(self) -> str:
        """As the script says it."""
        return f"revoked {self.name} {self.authority}"


@dataclass(frozen=True)
class Signed:
    """A SignedData and its signer."""

    name: str
    signer: str
    detached: bool

    def line(self) -> str:
        """As the script says it."""
        return f"signed {self.name} {self.signer} {'detached' if self.detached else 'enclosed'}"


@dataclass(frozen=True)
class Sealed:
    """An AuthEnvelopedData, its recipient, and the file with what must come out."""

    name: str
    recipient: str
    opened: str

    def line(self) -> str:
        """As the script says it."""
        return f"sealed {self.name} {self.recipient} {self.opened}"


@dataclass(frozen=True)
class Token:
    """The same under a shared key with an identifier."""

    name: str
    identifier: str
    opened: str

    def line(self) -> str:
        """As the script says it."""
        return f"token {self.name} {self.identifier} {self.opened}"


@dataclass(frozen=True)
class Lies:
    """That an object is the one in a message, or in what was opened before."""

    path: str
    place: str
    offset: int
    size: int

    def line(self) -> str:
        """As the script says it."""
        return f"lies {self.path} {self.place} {self.offset} {self.size}"


Check = Chain | Revoked | Signed | Sealed | Token | Lies


def script(suite: str, at: int, authorities: Sequence[str], checks: Sequence[Check]) -> str:
    """The whole script, for the time ``at`` (seconds since 1970) and the authorities from the root downwards."""
    names = " ".join(authorities)
    head = f"SUITE={suite}\nAT={at}\nAUTHORITIES='{names}'\n"
    titles: dict[type[Check], str] = {
        Chain: "Certificates: each chain to the root, with the CRLs of every authority",
        Revoked: "The same with the CRL of the last attack: refused, as revoked",
        Signed: "Signed objects",
        Sealed: "Sealed objects",
        Token: "Tokens: sealed by the gateway to itself under a shared key",
        Lies: "Every object is the one in its message, or in what was opened there",
    }
    parts = [HEAD, head, BODY]
    for kind, title in titles.items():
        lines = [check.line() for check in checks if isinstance(check, kind)]
        parts.append("\n".join([f"title '{title}'", *lines, "", ""]))
    return "".join([*parts, TAIL])


HEAD = """\
#!/bin/sh
# Checks this directory with the stock openssl command, and nothing else:
#     sh CHECK.sh
# One line per check: ok, FAILED, or left out with the reason.  Exit status 0 only if nothing failed.
# OPENSSL=/path/to/openssl in the environment takes another one.

"""

BODY = r"""
OPENSSL=${OPENSSL:-openssl}
set -u
cd "$(dirname "$0")" || exit 2
command -v "$OPENSSL" >/dev/null 2>&1 || { echo "CHECK.sh: no openssl command" >&2; exit 2; }
VERSION=$("$OPENSSL" version)
case $VERSION in
OpenSSL\ [3-9].*) ;;
*) echo "CHECK.sh: $VERSION: AuthEnvelopedData and PSS need OpenSSL 3.0 or newer" >&2; exit 2 ;;
esac
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
trap 'exit 2' HUP INT TERM

good=0 bad=0 out=0
ok() { good=$((good + 1)); echo "ok        $*"; }
failed() {
    bad=$((bad + 1))
    echo "FAILED    $*"
    [ ! -s "$tmp/log" ] || sed 's/^/          | /' "$tmp/log" | head -n 3
}
left_out() { out=$((out + 1)); echo "left out  $*"; }
title() { echo; echo "$*"; }
quiet() { "$@" >"$tmp/log" 2>&1; }
hex() { od -An -v -tx1 "$1" | tr -d ' \n'; }
# same WANTED FOUND: the same octets, and not none.
same() { [ -s "$1" ] && quiet cmp "$1" "$2"; }

# What can this openssl do?  Tried on throw-away keys, so that a damaged file here is no excuse.
case $SUITE in
p256) signature=ECDSA envelope=ECDH key="-algorithm EC -pkeyopt ec_paramgen_curve:P-256" exchange="$key" ;;
rsa3072) signature=RSASSA-PSS envelope=RSAES-OAEP key="-algorithm RSA -pkeyopt rsa_keygen_bits:3072" exchange="$key" ;;
ed25519) signature=Ed25519 envelope=X25519 key="-algorithm ED25519" exchange="-algorithm X25519" ;;
mldsa65) signature=ML-DSA-65 envelope=ML-KEM-768 key="-algorithm ML-DSA-65" exchange="-algorithm ML-KEM-768" ;;
esac
can_chain=yes can_sign=yes can_seal=yes
case $SUITE in
p256 | rsa3072) ;; # every OpenSSL 3 can: no attempt, no excuse
*)
    printf '[req]\ndistinguished_name=dn\n[dn]\n' >"$tmp/probe.cnf"
    echo probe >"$tmp/probe"
    quiet "$OPENSSL" genpkey $key -out "$tmp/probe.key" &&
        quiet "$OPENSSL" req -x509 -new -config "$tmp/probe.cnf" -subj /CN=probe -key "$tmp/probe.key" \
            -out "$tmp/probe.pem" || can_chain=no
    [ $can_chain = yes ] &&
        quiet "$OPENSSL" cms -sign -binary -nodetach -md sha512 -in "$tmp/probe" -signer "$tmp/probe.pem" \
            -inkey "$tmp/probe.key" -outform DER -out "$tmp/probe.signed" &&
        quiet "$OPENSSL" cms -verify -binary -inform DER -in "$tmp/probe.signed" -CAfile "$tmp/probe.pem" \
            -purpose any -out "$tmp/probe.out" || can_sign=no
    [ $can_chain = yes ] && quiet "$OPENSSL" genpkey $exchange -out "$tmp/exchange.key" &&
        quiet "$OPENSSL" pkey -in "$tmp/exchange.key" -pubout -out "$tmp/exchange.pub" &&
        quiet "$OPENSSL" x509 -new -subj /CN=probe -force_pubkey "$tmp/exchange.pub" -CA "$tmp/probe.pem" \
            -CAkey "$tmp/probe.key" -out "$tmp/exchange.pem" &&
        quiet "$OPENSSL" cms -encrypt -binary -aes-256-gcm -in "$tmp/probe" -recip "$tmp/exchange.pem" \
            -outform DER -out "$tmp/probe.sealed" &&
        quiet "$OPENSSL" cms -decrypt -binary -inform DER -in "$tmp/probe.sealed" -recip "$tmp/exchange.pem" \
            -inkey "$tmp/exchange.key" -out "$tmp/probe.out" || can_seal=no
    ;;
esac
cannot() { echo "this openssl does not do $1"; }

for name in $AUTHORITIES; do
    [ "$name" = root ] || cat "certs/$name.pem" >>"$tmp/cas.pem"
    cat "certs/$name.crl.pem" >>"$tmp/crls.pem"
done
# Without -partial_chain only the root is trusted: CAs beside it are known, no more.  A gateway's answers leave out the
# certificates that the merchant has already, and openssl 3.0 takes none for its chains from -certfile.
cat certs/root.pem "$tmp/cas.pem" "$tmp/crls.pem" >"$tmp/known.pem"
# SET's private extensions are critical, and openssl does not know them.
COMMON="-ignore_critical -purpose any -attime $AT -crl_check_all"

verify_chain() { # CERTIFICATE CRLS
    quiet "$OPENSSL" verify $COMMON -CAfile certs/root.pem -untrusted "$tmp/cas.pem" -CRLfile "$2" "$1"
}

chain() { # NAME
    if [ $can_chain = no ]; then
        left_out "certs/$1.pem: $(cannot "$signature certificates")"
    elif verify_chain "certs/$1.pem" "$tmp/crls.pem"; then
        ok "certs/$1.pem"
    else
        failed "certs/$1.pem"
    fi
}

revoked() { # NAME AUTHORITY
    if [ $can_chain = no ]; then
        left_out "certs/$1.pem: $(cannot "$signature certificates")"
        return
    fi
    : >"$tmp/later.pem"
    for name in $AUTHORITIES; do
        [ "$name" = "$2" ] || cat "certs/$name.crl.pem" >>"$tmp/later.pem"
    done
    cat "certs/$2.revoking.crl.pem" >>"$tmp/later.pem"
    if verify_chain "certs/$1.pem" "$tmp/later.pem"; then
        failed "certs/$1.pem is accepted with certs/$2.revoking.crl.pem"
    elif grep -q 'certificate revoked' "$tmp/log"; then
        ok "certs/$1.pem is refused with certs/$2.revoking.crl.pem"
    else
        failed "certs/$1.pem is refused with certs/$2.revoking.crl.pem, but not as revoked"
    fi
}

signed() { # NAME SIGNER detached|enclosed
    content= shape="$SUITE, by certs/$2.pem, $3"
    [ "$3" = enclosed ] || content="-content signed/$1.content"
    if [ $can_sign = yes ]; then
        rm -f "$tmp/out" "$tmp/signer.pem"
        if quiet "$OPENSSL" cms -verify -binary -inform DER -in "signed/$1.der" $content -CAfile "$tmp/known.pem" \
            $COMMON -out "$tmp/out" -signer "$tmp/signer.pem" &&
            same "signed/$1.content" "$tmp/out" &&
            "$OPENSSL" x509 -in "certs/$2.pem" -outform DER -out "$tmp/wanted" 2>"$tmp/log" &&
            "$OPENSSL" x509 -in "$tmp/signer.pem" -outform DER -out "$tmp/found" 2>"$tmp/log" &&
            same "$tmp/wanted" "$tmp/found"; then
            ok "signed/$1.der: $shape"
        else
            failed "signed/$1.der: $shape"
        fi
        return
    fi
    left_out "signed/$1.der: $(cannot "$signature in CMS")"
    [ $can_chain = yes ] || return 0
    # The bare signature over the signed attributes, the digest of the content in them, and both in the object.
    if quiet "$OPENSSL" x509 -in "certs/$2.pem" -noout -pubkey -out "$tmp/public.pem" &&
        quiet "$OPENSSL" pkeyutl -verify -rawin -pubin -inkey "$tmp/public.pem" -in "signed/$1.attributes" \
            -sigfile "signed/$1.signature" &&
        "$OPENSSL" dgst -sha512 -binary -out "$tmp/digest" "signed/$1.content" 2>"$tmp/log"; then
        tail -c +2 "signed/$1.attributes" >"$tmp/attributes" # the first octet is another in the object: RFC 5652 5.4
        object=$(hex "signed/$1.der") attributes=$(hex "signed/$1.attributes")
        case $attributes in *"$(hex "$tmp/digest")"*) case $object in *"$(hex "$tmp/attributes")"*)
            case $object in *"$(hex "signed/$1.signature")"*)
                ok "signed/$1.attributes: bare $signature signature by certs/$2.pem, over the digest of the content"
                return ;;
            esac ;;
        esac ;; esac
    fi
    failed "signed/$1.attributes: bare $signature signature by certs/$2.pem"
}

sealed() { # NAME RECIPIENT OPENED
    if [ $can_seal = no ]; then
        left_out "sealed/$1.der: $(cannot "$envelope in CMS")"
        return
    fi
    rm -f "$tmp/out"
    if quiet "$OPENSSL" cms -decrypt -binary -inform DER -in "sealed/$1.der" -recip "certs/$2.pem" \
        -inkey "keys/$2.pem" -out "$tmp/out" && same "$3" "$tmp/out"; then
        ok "sealed/$1.der: $SUITE, opened with keys/$2.pem"
    else
        failed "sealed/$1.der: $SUITE, opened with keys/$2.pem"
    fi
}

token() { # NAME IDENTIFIER OPENED
    rm -f "$tmp/out"
    if quiet "$OPENSSL" cms -decrypt -binary -inform DER -in "sealed/$1.der" -secretkey "$(cat "keys/$1.hex")" \
        -secretkeyid "$2" -out "$tmp/out" && same "$3" "$tmp/out"; then
        ok "sealed/$1.der: opened with keys/$1.hex"
    else
        failed "sealed/$1.der: opened with keys/$1.hex"
    fi
}

lies() { # OBJECT PLACE OFFSET SIZE
    tail -c +$(($3 + 1)) "$2" | head -c "$4" >"$tmp/part"
    if same "$1" "$tmp/part"; then ok "$1 in $2"; else failed "$1 is not in $2"; fi
}

echo "$VERSION, suite $SUITE, as of $AT seconds after 1970 (the time of the purchase)"

"""

TAIL = r"""
echo
[ $can_sign = yes ] || echo "Left out because $(cannot "$signature signatures in CMS")."
[ $can_seal = yes ] || echo "Left out because $(cannot "$envelope recipients in CMS")."
echo "$good ok, $bad failed, $out left out"
[ $bad -eq 0 ]
"""
