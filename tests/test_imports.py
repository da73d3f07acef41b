"""Who may import what, and which constructs production code does without: tables, held by reading the source.

Nothing is imported here: the files are parsed with ``ast``, so that a breach is found even where it never runs.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Imports run downwards only: a module imports from its own row or a row above it in this table.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("pki",),
    ("setproto.errors",),
    ("setproto.settings",),
    ("setproto.crypto",),
    ("setproto.card", "setproto.amounts"),
    ("setproto.messages",),
    ("setproto.roles", "setproto.client"),
    ("setproto.store", "setproto.bank"),
    ("setproto.market", "setproto.scenario"),
    ("setproto",),  # only setproto/__init__.py: the public names
    ("setproto.ca", "setproto.shop"),
    ("setproto.reading", "setproto.scan"),
    ("setproto.wallet",),
    ("setproto.server",),
    ("setproto.audit",),
    ("setproto.conformance", "setproto.demo", "benchmarks"),
    ("setproto.cli", "setproto.__main__"),
)

# What only some modules may import, and why.
RESERVED: dict[str, tuple[tuple[str, ...], str]] = {
    "cryptography.hazmat.asn1": (("pki.der",), "the codec is provisional: a change must be a change of one file"),
    "benchmarks": (("benchmarks", "setproto.cli.bench"), "measuring is no part of the library"),
    "cryptography.hazmat": (
        ("pki", "setproto.crypto", "benchmarks"),
        "dangerous primitives stay behind one visible boundary",
    ),
    "OpenSSL": (("pki.engine",), "pending deprecation: the validation engine must be replaceable in one file"),
    "rich": (("setproto.cli",), "a library does not paint"),
    "typer": (("setproto.cli",), "a library has no command line"),
}


def is_catch_all(node: ast.AST) -> bool:
    if not isinstance(node, ast.ExceptHandler):
        return False
    kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    return any(kind is None or ast.unparse(kind).split(".")[-1] in {"Exception", "BaseException"} for kind in kinds)


def is_print(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) in {"print", "builtins.print"}


# Constructs that production code does without, where they are allowed all the same, and why.
BANNED: dict[str, tuple[Callable[[ast.AST], bool], tuple[str, ...], str]] = {
    "catch-all except": (is_catch_all, (), "it hides our own bugs: name what the call below can raise"),
    "assert": (lambda node: isinstance(node, ast.Assert), (), "python -O removes it: raise one of our errors"),
    "print": (is_print, ("setproto.cli",), "a library returns values"),
}


@dataclass(frozen=True)
class Breach:
    rule: str
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.rule}: {self.what}"


def under(name: str, parents: tuple[str, ...]) -> bool:
    return any(name == parent or name.startswith(parent + ".") for parent in parents)


def layer(name: str) -> int | None:
    """The row of ``name``: that of its longest prefix.  "setproto" itself stands for its ``__init__`` only."""
    rows = {entry: row for row, entries in enumerate(LAYERS) for entry in entries}
    parts = name.split(".")
    prefixes = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next((rows[p] for p in prefixes if p in rows and (p != "setproto" or p == name)), None)


def imported(tree: ast.AST, package: str) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything imported anywhere in the module; relative names resolved."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)


def breaches(root: Path) -> Iterator[Breach]:
    """Every breach of the tables above in the packages pki, setproto and benchmarks under ``root``."""
    for path in sorted(
        path for package in ("pki", "setproto", "benchmarks") for path in (root / package).rglob("*.py")
    ):
        parts = path.relative_to(root).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        package = name if is_package else name.rpartition(".")[0]
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        own = layer(name)
        if own is None:
            yield Breach("layers", name, "has no row in LAYERS: give it one")
        for line, target in imported(tree, package):
            where = f"{path.relative_to(root).as_posix()}:{line}"
            if own is not None and target.split(".")[0] in {"pki", "setproto", "benchmarks"}:
                row = layer(target)
                if row is None:  # a name taken from setproto/__init__.py
                    row = layer("setproto")
                if row is not None and row > own:
                    yield Breach("layers", where, f"{name} imports {target}, which stands above it")
            rule = next((rule for rule in RESERVED if under(target, (rule,))), None)
            if rule is not None and not under(name, RESERVED[rule][0]):
                yield Breach(rule, where, f"{name} imports {target}; {RESERVED[rule][1]}")
        for node in ast.walk(tree):
            for rule, (matches, allowed, why) in BANNED.items():
                if matches(node) and not under(name, allowed):
                    line = node.lineno if isinstance(node, ast.stmt | ast.expr | ast.excepthandler) else 0
                    yield Breach(rule, f"{path.relative_to(root).as_posix()}:{line}", why)


def test_source_keeps_the_rules() -> None:
    found = list(breaches(ROOT))
    assert not found, "\n" + "\n".join(map(str, found))


def test_source_is_found() -> None:
    assert (ROOT / "pki" / "der.py").is_file()
    assert (ROOT / "setproto" / "errors.py").is_file()


# Each rule seen to fail: the rule, a module, and the source that breaks it there.
BREAKING = [
    ("layers", "pki.path", "from setproto.errors import SetError"),
    ("layers", "pki.path", "from setproto import errors"),
    ("layers", "setproto.errors", "import setproto.crypto.cms"),
    ("layers", "setproto.card", "from .messages import codes"),
    ("layers", "setproto.crypto.dual", "from setproto.messages import purchase"),
    ("layers", "setproto.crypto.dual", "from ..messages.purchase import PReq"),
    ("layers", "setproto.crypto", "from ..messages import purchase"),
    ("layers", "setproto.messages.purchase", "def late():\n    from setproto.roles import merchant"),
    ("layers", "setproto.roles.merchant", "import setproto.store"),
    ("layers", "setproto.roles.merchant", "from setproto import Cardholder"),
    ("layers", "setproto.roles.merchant", "if TYPE_CHECKING:\n    from setproto.bank import ledger"),
    ("layers", "setproto.wallet.vault", "from setproto.server import app"),
    ("layers", "setproto", "from setproto.cli import main"),
    ("layers", "setproto.server.app", "import setproto.cli as commands"),
    ("layers", "setproto.odd", "import os"),
    ("cryptography.hazmat.asn1", "pki.names", "from cryptography.hazmat import asn1"),
    ("cryptography.hazmat.asn1", "setproto.crypto.cms", "from cryptography.hazmat.asn1 import sequence"),
    ("cryptography.hazmat", "setproto.messages.purchase", "from cryptography.hazmat.primitives import hashes"),
    ("cryptography.hazmat", "setproto.roles.gateway", "import cryptography.hazmat.backends"),
    ("cryptography.hazmat", "setproto.cli.main", "from cryptography import hazmat"),
    ("OpenSSL", "pki.keystore", "from OpenSSL import crypto"),
    ("benchmarks", "setproto.demo", "from benchmarks import measure"),
    ("benchmarks", "setproto.cli.vectors", "def late():\n    import benchmarks.raw"),
    ("rich", "setproto.demo", "from rich.table import Table"),
    ("typer", "setproto.server.app", "import typer"),
    ("catch-all except", "setproto.cli.main", "try:\n    pass\nexcept:\n    raise"),
    ("catch-all except", "pki.path", "try:\n    pass\nexcept Exception:\n    pass"),
    ("catch-all except", "pki.path", "try:\n    pass\nexcept* (ValueError, builtins.BaseException) as e:\n    pass"),
    ("assert", "setproto.crypto.dual", "def f(x):\n    assert x"),
    ("print", "setproto.roles.merchant", "print(1)"),
]

# Close to the rules, and allowed.
KEEPING = [
    ("pki.der", "from cryptography.hazmat import asn1"),
    ("pki.engine", "from OpenSSL import crypto\nfrom cryptography import x509"),
    ("setproto.card", "from setproto.errors import UsageError\nfrom .amounts import Amount"),
    ("setproto.crypto.cms", "from cryptography.hazmat.primitives import hashes\nfrom . import dual"),
    ("setproto.messages", "from setproto import errors\nfrom .purchase import PReq\nimport richness, typeradio"),
    ("setproto", "from setproto.roles.merchant import Merchant\nfrom .bank import MemoryIssuer"),
    ("setproto.cli", "import typer\nfrom rich import console\nprint(1)\nfrom setproto import Merchant"),
    ("setproto.cli.bench", "def late():\n    from benchmarks import signatures"),
    ("benchmarks.raw", "from cryptography.hazmat.primitives import hashes\nfrom benchmarks.measure import check"),
    ("pki.names", "try:\n    pass\nexcept (ValueError, MyException):\n    pass"),
    ("pki.names", "'''assert, print(1), except Exception, import rich: only words'''"),
]


def write_module(root: Path, name: str, source: str) -> None:
    parts = name.split(".")
    is_package = name in {"setproto", "setproto.crypto", "setproto.messages", "setproto.cli"}
    path = root.joinpath(*parts, "__init__.py") if is_package else root.joinpath(*parts).with_suffix(".py")
    path.parent.mkdir(parents=True)
    path.write_text(source, encoding="utf-8")


@pytest.mark.parametrize(("rule", "name", "source"), BREAKING)
def test_each_rule_can_fail(tmp_path: Path, rule: str, name: str, source: str) -> None:
    write_module(tmp_path, name, source)
    assert [breach.rule for breach in breaches(tmp_path)] == [rule]


@pytest.mark.parametrize(("name", "source"), KEEPING)
def test_rules_do_not_overreach(tmp_path: Path, name: str, source: str) -> None:
    write_module(tmp_path, name, source)
    assert list(breaches(tmp_path)) == []


def test_every_rule_has_a_case() -> None:
    assert {rule for rule, _, _ in BREAKING} == {"layers", *RESERVED, *BANNED}
