"""The mutants: the library with one check taken out, by a switch that is put in as it is imported.

A check is an ``if`` whose whole body raises, or returns the code of a refusal, which is made never to hold, or, where
several conditions are joined by ``or``, one of them; or a call made for its exceptions alone, to a function whose name
says that it checks, which is left out. What raises UsageError or TypeError, or ValueError in a constructor, guards
against the caller's own mistakes, which no message can make, and is no check here. Mutants are named by module,
function and the text of the check, so that a report stays readable when lines move.

Every check gets a switch when its module is imported, and :data:`SWITCH` says which one is out, and notes which checks
have refused something: a check that refuses nothing in a run can be taken out without anybody noticing in that run, so
only those vectors need be asked in which it refuses.
"""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Final

ROOT = Path(__file__).resolve().parents[2]

MODULES = (
    *(f"pki.{name}" for name in ("names", "checking", "extensions", "suites", "signed", "rules", "engine")),
    *(f"pki.{name}" for name in ("revocation", "bci", "path")),
    *(
        f"setproto.crypto.{name}"
        for name in ("parts", "signed", "sealed", "recipients", "dual", "possession", "suites")
    ),
    *(f"setproto.messages.{name}" for name in ("common", "wrapper", "error")),
    *(f"setproto.messages.{name}" for name in ("payment", "batch", "registration")),
    *(f"setproto.{name}" for name in ("amounts", "card")),
    *(f"setproto.roles.{name}" for name in ("credentials", "party", "endpoint", "registration")),
    *(f"setproto.roles.{name}" for name in ("cardholder", "applicant")),
    *(f"setproto.roles.gateway.{name}" for name in ("__init__", "instruction", "authorization", "clearing")),
    *(f"setproto.roles.gateway.{name}" for name in ("batches", "batch_admin", "records")),
    *(f"setproto.roles.merchant.{name}" for name in ("__init__", "responses")),
    "setproto.roles.authority.__init__",
)
"""The verifying code."""

CHECKING = ("check", "verify", "require", "agree", "validate")
"""How the name of a function begins that is called for its exceptions."""


@dataclass(frozen=True)
class Mutant:
    """One check in one module."""

    module: str
    number: int
    """Its place among the checks of the module."""
    function: str
    text: str

    @property
    def name(self) -> str:
        """For people, and for the table of equivalent ones."""
        return f"{self.module.removesuffix('.__init__')}:{self.function}: {self.text}"


def source_of(module: str) -> Path:
    """Where a module of this repository lies."""
    return ROOT.joinpath(*module.split(".")).with_suffix(".py")


def _own_mistake(node: ast.Raise, constructing: bool) -> bool:
    called = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
    own = ("UsageError", "TypeError", "ValueError") if constructing else ("UsageError", "TypeError")
    return isinstance(called, ast.Name) and called.id in own


def _refuses(node: ast.stmt, constructing: bool) -> bool:
    """Whether a statement refuses: raises, or returns the code of a refusal."""
    if isinstance(node, ast.Raise):
        return not _own_mistake(node, constructing)
    if not isinstance(node, ast.Return) or node.value is None:
        return False
    names = [part for part in ast.walk(node.value) if isinstance(part, ast.Attribute)]
    calls = [part.func for part in ast.walk(node.value) if isinstance(part, ast.Call)]
    return any(isinstance(called, ast.Name) and called.id == "_refusal" for called in calls) or any(
        isinstance(name.value, ast.Name) and name.value.id in REFUSALS and name.attr not in FINE for name in names
    )


REFUSALS: Final = ("AuthRevCode", "BAStatus", "CapCode", "CapRevOrCredCode", "CertStatusCode")
"""The lists of codes that are returned."""
FINE: Final = ("success", "approved", "requestComplete")
"""Codes that refuse nothing."""


@dataclass
class Switch:
    """What the code with switches asks."""

    out: tuple[str, int] | None = None
    """Module and number of the check that is taken out."""
    refusing: set[tuple[str, int]] = field(default_factory=set)
    """The checks that have refused something, or that something was raised in."""

    def on(self, module: str, number: int) -> bool:
        """Is this check in?"""
        if (module, number) == self.out:
            return False
        self.refusing.add((module, number))
        return True

    def passed(self, module: str, number: int, refused: object) -> object:
        """The outcome of a check that is in, as it came."""
        if not refused:
            self.refusing.discard((module, number))
        return refused


SWITCH = Switch()
_NAME = "__mutation__"
"""What modules with switches call it."""


class _Checks(ast.NodeTransformer):
    """Finds the checks of a module in order, and puts a switch to each."""

    def __init__(self, module: str) -> None:
        self.found: list[tuple[str, str]] = []
        self._module = module
        self._inside: list[str] = []

    def _named(self, node: ast.ClassDef | ast.FunctionDef) -> ast.AST:
        self._inside.append(node.name)
        self.generic_visit(node)
        self._inside.pop()
        return node

    visit_ClassDef = _named
    visit_FunctionDef = _named

    def _next(self, text: str) -> None:
        self.found.append((".".join(self._inside) or "module", " ".join(text.split())[:110]))

    def _ask(self, method: str, *more: ast.expr) -> ast.expr:
        here = [ast.Constant(self._module), ast.Constant(len(self.found) - 1)]
        asked = ast.Attribute(ast.Name(_NAME, ast.Load()), method, ast.Load())
        return ast.Call(asked, [*here, *more], [])

    def _switched(self, part: ast.expr) -> ast.expr:
        self._next(f"if {ast.unparse(part)}")
        return ast.BoolOp(ast.And(), [self._ask("on"), self._ask("passed", part)])

    def visit_If(self, node: ast.If) -> ast.AST:
        constructing = self._inside[-1:] == ["__init__"]
        if node.orelse or not all(_refuses(item, constructing) for item in node.body):
            self.generic_visit(node)
            return node
        test = node.test
        if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or):
            test.values = [self._switched(part) for part in test.values]
        else:
            node.test = self._switched(test)
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        if not isinstance(node.value, ast.Call):
            return node
        called = node.value.func
        name = getattr(called, "attr", getattr(called, "id", ""))
        if not name.lstrip("_").startswith(CHECKING):
            return node
        self._next(ast.unparse(node.value))
        return ast.If(self._ask("on"), [node, ast.Expr(self._ask("passed", ast.Constant(False)))], [])


def mutants() -> Iterator[Mutant]:
    """Every one there is."""
    for module in MODULES:
        checks = _Checks(module)
        checks.visit(ast.parse(source_of(module).read_text(encoding="utf-8")))
        for number, (function, text) in enumerate(checks.found):
            yield Mutant(module, number, function, text)


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, fullname: str, module: str) -> None:
        super().__init__(fullname, str(source_of(module)))
        self._module = module

    def source_to_code(self, data, path, *, _optimize: int = -1):  # type: ignore[no-untyped-def, override]
        tree = _Checks(self._module).visit(ast.parse(data))
        return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True, optimize=_optimize)

    def get_code(self, fullname: str):  # type: ignore[no-untyped-def]
        # Never the cached byte code, which has no switches, and never one that others would find.
        return self.source_to_code(self.get_data(self.path), self.path)

    def exec_module(self, module: ModuleType) -> None:
        setattr(module, _NAME, SWITCH)
        super().exec_module(module)


class _Finder(importlib.abc.MetaPathFinder):
    """Put first in ``sys.meta_path``: what is imported of MODULES has switches."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """That of a module with switches; None for every other."""
        module = next((name for name in MODULES if name.removesuffix(".__init__") == fullname), None)
        if module is None:
            return None
        source = source_of(module)
        places = [str(source.parent)] if module != fullname else None
        return importlib.util.spec_from_file_location(
            fullname, source, loader=_Loader(fullname, module), submodule_search_locations=places
        )


def install() -> None:
    """From now on modules are imported with switches.  RuntimeError if one has been imported already without."""
    early = [name for name in MODULES if name.removesuffix(".__init__") in sys.modules]
    if early:
        raise RuntimeError(f"too late: {', '.join(early)} is here already, without switches")
    sys.meta_path.insert(0, _Finder())
