"""A coverage-guided target for long runs, by hand: the first octet says who gets the rest.

Atheris is no dependency of this project.  In an environment of its own::

    python -m venv /tmp/fuzz && /tmp/fuzz/bin/pip install -e . atheris pytest
    /tmp/fuzz/bin/python -m tests.faults.fuzz.atheris_target --seeds corpus     # the valid messages, as a start
    /tmp/fuzz/bin/python -m tests.faults.fuzz.atheris_target corpus -max_len=20000 -rss_limit_mb=600

An exception that comes out of ``handle()`` stops the run; libFuzzer writes the input to ``crash-…``.  Without atheris,
``--once FILE`` gives one input to the target.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

from setproto.messages.common import Role
from tests.faults.fuzz.captured import Case, cases

ROLES = (Role.cardholder, Role.merchant, Role.gateway)


def receivers() -> dict[Role, list[Case]]:
    """Role → the moments at which it gets its messages."""
    found: dict[Role, list[Case]] = {role: [] for role in ROLES}
    for case in cases().values():
        found[case.to.party.role].append(case)
    return found


def target(data: bytes) -> None:
    """One input: two octets choose the receiver and its state, the rest is what it gets."""
    if len(data) < 2:
        return
    choices = receivers()[ROLES[data[0] % len(ROLES)]]
    case = choices[data[1] % len(choices)]
    case.restore()
    case.deliver(data[2:])


def seeds(folder: Path) -> None:
    """The valid messages, each addressed to whoever expects it."""
    folder.mkdir(parents=True, exist_ok=True)
    for role, expecting in receivers().items():
        for number, case in enumerate(expecting):
            (folder / case.name).write_bytes(bytes((ROLES.index(role), number)) + case.data)


def main(arguments: list[str]) -> None:
    """As the module's text says."""
    warnings.simplefilter("ignore")
    if arguments[:1] == ["--seeds"]:
        seeds(Path(arguments[1]))
    elif arguments[:1] == ["--once"]:
        target(Path(arguments[1]).read_bytes())
    else:
        import atheris  # type: ignore[import-not-found]

        atheris.instrument_all()
        atheris.Setup([sys.argv[0], *arguments], target)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
