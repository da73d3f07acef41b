"""Benchmarks: what signing and paying cost, measured against the raw cryptography in the same process.

How and why is in README.md beside this file.  The command is ``setproto bench``; the library imports nothing of this.
"""

from setproto.errors import UsageError


class BenchmarkError(UsageError):
    """Something was not as it must be before it may be timed, or a report makes no sense."""

    def __str__(self) -> str:
        return self.detail
