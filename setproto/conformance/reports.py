"""What runs found, as JSON, as JUnit XML, and as a page with one column per implementation."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final
from xml.etree import ElementTree

from setproto.conformance.harness import Outcome, Result
from setproto.conformance.xfail import Judged

FORMAT: Final = 1
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 §2.2 does not allow: an implementation chooses parts of these texts."""


def status(judged: Judged, result: Result) -> str:
    """The outcome for people: with "expected" before it where the failure was expected."""
    return f"expected {result.outcome}" if result.case.id in judged.expected else str(result.outcome)


def counts(judged: Judged) -> dict[str, int]:
    """How many vectors had each outcome; every outcome is there."""
    found = Counter(result.outcome for result in judged.run.results)
    return {str(outcome): found[outcome] for outcome in Outcome}


def as_json(judged: Sequence[Judged]) -> str:
    """Everything, for programs."""
    return json.dumps({"format": FORMAT, "runs": [_run(one) for one in judged]}, indent=1) + "\n"


def _run(judged: Judged) -> dict[str, Any]:
    run = judged.run
    return {
        "implementation": {
            "command": run.command,
            "name": run.hello.name,
            "version": run.hello.version,
            "suites": sorted(run.hello.suites),
            "features": sorted(run.hello.features),
            "ops": sorted(run.hello.ops),
        },
        "ok": judged.ok,
        "seed": run.seed,
        "strict": run.strict,
        "seconds": round(run.seconds, 3),
        "restarts": run.restarts,
        "counts": counts(judged),
        "accepted": sorted(result.case.id for result in run.results if result.verdict.accepted),
        "failed": sorted(judged.failed),
        "stale": [{"id": entry.id, "reason": entry.reason} for entry in judged.stale],
        "results": [
            {
                "id": result.case.id,
                "area": result.case.area,
                "suite": result.case.suite,
                "op": result.case.op,
                "outcome": result.outcome,
                "detail": result.verdict.detail,
                "accepted": result.verdict.accepted,
                "expected_failure": result.case.id in judged.expected,
                "milliseconds": round(result.milliseconds, 1),
            }
            for result in run.results
        ],
    }


def as_junit(judged: Sequence[Judged]) -> str:
    """JUnit XML: one suite per implementation and area; a stale entry is a case that failed."""
    root = ElementTree.Element("testsuites")
    for one in judged:
        areas = sorted({result.case.area for result in one.run.results})
        for area in areas:
            results = [result for result in one.run.results if result.case.area == area]
            _suite(root, one, f"{one.run.hello.name} {area}", results)
        if one.stale:
            suite = ElementTree.SubElement(root, "testsuite", name=_xml(f"{one.run.hello.name} expected failures"))
            for entry in one.stale:
                case = ElementTree.SubElement(suite, "testcase", classname="xfail", name=_xml(entry.id))
                ElementTree.SubElement(case, "failure", message=_xml(f"does not fail any more: {entry.reason}"))
            _number(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


_AS_ERROR: Final = (Outcome.HANG, Outcome.CRASH, Outcome.HARNESS_ERROR)


def _suite(root: ElementTree.Element, judged: Judged, name: str, results: Sequence[Result]) -> None:
    suite = ElementTree.SubElement(root, "testsuite", name=_xml(name))
    for result in results:
        seconds = f"{result.milliseconds / 1000:.3f}"
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=_xml(f"{result.case.area}.{result.case.op}"),
            name=_xml(result.case.id),
            time=seconds,
        )
        said = _xml(f"{status(judged, result)}: {result.verdict.detail}")
        if result.case.id in judged.failed:
            ElementTree.SubElement(case, "error" if result.outcome in _AS_ERROR else "failure", message=said)
        elif result.case.id in judged.expected or result.outcome in (Outcome.SKIPPED, Outcome.UNSUPPORTED):
            ElementTree.SubElement(case, "skipped", message=said)
        elif result.outcome is not Outcome.PASS:
            ElementTree.SubElement(case, "system-out").text = said
    _number(suite)


def _number(suite: ElementTree.Element) -> None:
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(len(suite.findall(f"testcase/{tag}"))))
    suite.set("tests", str(len(suite.findall("testcase"))))


def _xml(text: str) -> str:
    return _NOT_XML.sub("�", text)


_STYLE: Final = """\
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em; color: #222; background: #fff }
table { border-collapse: collapse } th, td { padding: .15em .6em; text-align: left; border-bottom: 1px solid #ddd }
th { position: sticky; top: 0; background: #fff } td:first-child { font-family: ui-monospace, monospace }
.pass { color: #176f2c } .fail, .hang, .crash, .harness_error { color: #fff; background: #b3261e }
.wrong_reason { background: #ffe08a } .unsupported, .skipped, .expected { color: #777 }
.accepted { font-weight: bold; outline: 2px solid #000 }
"""


def as_html(judged: Sequence[Judged]) -> str:
    """One page, without scripts and without anything from elsewhere: vectors down, implementations across."""
    text = html.escape
    names = "".join(f"<th>{text(one.run.hello.name)} {text(one.run.hello.version)}</th>" for one in judged)
    totals = "".join(f"<tr><td>{outcome}</td>{_total(judged, outcome)}</tr>\n" for outcome in Outcome)
    by_id = [{result.case.id: result for result in one.run.results} for one in judged]
    order = sorted({name: None for found in by_id for name in found})
    rows = "".join(
        f"<tr><td>{text(name)}</td>"
        + "".join(_cell(one, found.get(name)) for one, found in zip(judged, by_id, strict=True))
        + "</tr>\n"
        for name in order
    )
    stale = "".join(
        f"<li>{text(one.run.hello.name)}: {text(entry.id)}: does not fail any more ({text(entry.reason)})</li>\n"
        for one in judged
        for entry in one.stale
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>setproto conformance</title>\n'
        f"<style>\n{_STYLE}</style></head><body>\n<h1>setproto conformance</h1>\n"
        f"<table><thead><tr><th>outcome</th>{names}</tr></thead><tbody>\n{totals}</tbody></table>\n"
        + (f"<h2>Stale expected failures</h2>\n<ul>\n{stale}</ul>\n" if stale else "")
        + f"<h2>Vectors</h2>\n<table><thead><tr><th>vector</th>{names}</tr></thead><tbody>\n{rows}</tbody></table>\n"
        "</body></html>\n"
    )


def _total(judged: Sequence[Judged], outcome: Outcome) -> str:
    return "".join(f"<td>{counts(one)[outcome]}</td>" for one in judged)


def _cell(judged: Judged, result: Result | None) -> str:
    if result is None:
        return "<td></td>"
    kind = "expected" if result.case.id in judged.expected else str(result.outcome)
    kind += " accepted" if result.verdict.accepted else ""
    detail = html.escape(result.verdict.detail)
    return f'<td class="{kind}" title="{detail}">{status(judged, result)}</td>'
