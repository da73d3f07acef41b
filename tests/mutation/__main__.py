"""``make mutants``: take each check out, run the vectors, and say which vector noticed.

Exit 0 if every mutant is noticed, or is in ``survivors.toml`` with a reason; 1 otherwise, and for a reason that is
stale.  Writes docs/mutants.md.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections import Counter
from pathlib import Path

from tests.mutation.mutants import MODULES, ROOT, Mutant, mutants
from tests.mutation.running import Verdict, judge_all, questions

SURVIVORS = Path(__file__).with_name("survivors.toml")
REPORT = ROOT / "docs" / "mutants.md"


def reasons() -> dict[str, str]:
    """Name of a mutant that no vector notices → why not."""
    return dict(tomllib.loads(SURVIVORS.read_text(encoding="utf-8")))


def render(verdicts: dict[Mutant, Verdict], known: dict[str, str]) -> str:
    """The report."""
    noticed = {mutant: verdict for mutant, verdict in verdicts.items() if verdict.noticed_by is not None}
    left = [mutant for mutant in verdicts if mutant not in noticed]
    parts = [
        "# Do the vectors bite?",
        '<!-- Written by "make mutants". Do not edit. -->',
        "Each check of the verifying code is taken out, one at a time, and the vectors are run through the library's"
        " own adapter. A mutant is noticed if any vector then has another result, reason or output than expected.",
        f"{len(verdicts)} mutants, {len(noticed)} noticed, {len(left)} not,"
        f" of which {sum(m.name in known for m in left)} for a stated reason.",
        "| module | mutants | noticed |\n| --- | ---: | ---: |\n"
        + "\n".join(
            f"| `{module.removesuffix('.__init__')}` | {total} | {Counter(m.module for m in noticed)[module]} |"
            for module, total in sorted(Counter(m.module for m in verdicts).items())
        ),
        "## Not noticed",
        "\n".join(f"* `{mutant.name}`: {known.get(mutant.name, '**no reason**')}" for mutant in left) or "None.",
    ]
    return "\n\n".join(parts) + "\n"


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--only", metavar="TEXT", action="append", help="mutants with this in their name; no report")
    parser.add_argument(
        "--without", metavar="TEXT", action="append", default=[], help="no vectors with this in their id"
    )
    parser.add_argument("--within", metavar="TEXT", default="", help="vectors with this in their id; no report")
    options = parser.parse_args()
    chosen = [one for one in mutants() if options.only is None or any(text in one.name for text in options.only)]
    within = [one for one in questions() if options.within in one.id]
    asked = [one for one in within if not any(text in one.id for text in options.without)]
    verdicts = {}
    for mutant, verdict in judge_all(chosen, asked):
        verdicts[mutant] = verdict
        by = f"noticed by {verdict.noticed_by}: {verdict.detail}" if verdict.noticed_by else "NOT NOTICED"
        by += "" if verdict.noticed_by else f" (refuses in {verdict.refused_in})"
        print(f"{len(verdicts)}/{len(chosen)} {mutant.name}: {by}", flush=True)
    known = reasons()
    left = {mutant.name for mutant, verdict in verdicts.items() if verdict.noticed_by is None}
    names = {mutant.name for mutant in mutants()}
    whole = options.only is None and not options.without and not options.within
    stale = [name for name in known if name not in names or (whole and name not in left)]
    if whole:
        by_place = sorted(verdicts, key=lambda mutant: (MODULES.index(mutant.module), mutant.number))
        ordered = {mutant: verdicts[mutant] for mutant in by_place}
        REPORT.write_text(render(ordered, known), encoding="utf-8")
    for name in sorted(left - known.keys()):
        print(f"no vector notices, and no reason is given: {name}")
    for name in stale:
        print(f"a reason that is stale: {name}")
    return 1 if left - known.keys() or stale else 0


if __name__ == "__main__":
    sys.exit(main())
