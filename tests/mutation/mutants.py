"""The mutants: the library with one check taken out, made as it is imported.

A check is an ``if`` whose whole body raises, which is made never to hold, or, where several conditions are joined by
``or``, one of them; or a call made for its exceptions alone, to a function whose name says that it checks, which is
left out.  What raises UsageError or TypeError, or ValueError in a constructor, guards against the caller's own
mistakes, which no message can make, and is no check here.  Mutants are named by module, function and the text of the
check, so that a report stays readable when lines move.
"""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]

MODULES = (
    *(f"pki.{name}" for name in ("checking", "extensions", "suites", "signed", "rules", "engine")),
    *(f"pki.{name}" for name in ("revocation", "bci", "path")),
    *(f"setproto.crypto.{name}" for name in ("signed", "sealed", "recipients", "dual", "possession", "suites")),
    *(f"setproto.messages.{name}" for name in ("common", "wrapper", "payment", "registration")),
    *(f"setproto.roles.{name}" for name in ("credentials", "party", "endpoint", "registration")),
    *(f"setproto.roles.{name}" for name in ("cardholder", "applicant")),
    *(f"setproto.roles.gateway.{name}" for name in ("__init__", "instruction", "authorization", "clearing")),
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


class _Checks(ast.NodeTransformer):
    """Finds the checks of a module in order, and takes the one of number ``out`` out."""

    def __init__(self, out: int | None = None) -> None:
        self.found: list[tuple[str, str]] = []
        self._out = out
        self._inside: list[str] = []

    def _named(self, node: ast.ClassDef | ast.FunctionDef) -> ast.AST:
        self._inside.append(node.name)
        self.generic_visit(node)
        self._inside.pop()
        return node

    visit_ClassDef = _named
    visit_FunctionDef = _named

    def _is_out(self, text: str) -> bool:
        self.found.append((".".join(self._inside) or "module", " ".join(text.split())[:110]))
        return self._out == len(self.found) - 1

    def visit_If(self, node: ast.If) -> ast.AST:
        self.generic_visit(node)
        constructing = self._inside[-1:] == ["__init__"]
        if node.orelse or not all(
            isinstance(item, ast.Raise) and not _own_mistake(item, constructing) for item in node.body
        ):
            return node
        test = node.test
        if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or):
            for place, part in enumerate(test.values):
                if self._is_out(f"if {ast.unparse(part)}"):
                    test.values[place] = ast.copy_location(ast.Constant(False), part)
        elif self._is_out(f"if {ast.unparse(test)}"):
            node.test = ast.copy_location(ast.Constant(False), test)
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.value, ast.Call):
            called = node.value.func
            name = getattr(called, "attr", getattr(called, "id", ""))
            if name.lstrip("_").startswith(CHECKING) and self._is_out(ast.unparse(node.value)):
                return ast.copy_location(ast.Pass(), node)
        return node


def mutants() -> Iterator[Mutant]:
    """Every one there is."""
    for module in MODULES:
        checks = _Checks()
        checks.visit(ast.parse(source_of(module).read_text(encoding="utf-8")))
        for number, (function, text) in enumerate(checks.found):
            yield Mutant(module, number, function, text)


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, fullname: str, path: str, number: int) -> None:
        super().__init__(fullname, path)
        self._number = number

    def source_to_code(self, data, path, *, _optimize: int = -1):  # type: ignore[no-untyped-def]
        tree = _Checks(self._number).visit(ast.parse(data))
        return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True, optimize=_optimize)

    def get_code(self, fullname: str):  # type: ignore[no-untyped-def]
        # Never the cached byte code, which is that of the whole module, and never one that others would find.
        return self.source_to_code(self.get_data(self.path), self.path)


class Inject(importlib.abc.MetaPathFinder):
    """Put first in ``sys.meta_path``: what is imported as this module is the mutant."""

    def __init__(self, mutant: Mutant) -> None:
        self._fullname = mutant.module.removesuffix(".__init__")
        self._package = mutant.module.endswith(".__init__")
        self._path = source_of(mutant.module)
        self._number = mutant.number

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The mutant's, if it is asked for."""
        if fullname != self._fullname:
            return None
        loader = _Loader(fullname, str(self._path), self._number)
        places = [str(self._path.parent)] if self._package else None
        return importlib.util.spec_from_file_location(
            fullname, self._path, loader=loader, submodule_search_locations=places
        )


def inject(mutant: Mutant) -> None:
    """From now on that module is the mutant.  RuntimeError if it has been imported already."""
    finder = Inject(mutant)
    if mutant.module.removesuffix(".__init__") in sys.modules:
        raise RuntimeError("too late: the module is here already")
    sys.meta_path.insert(0, finder)
