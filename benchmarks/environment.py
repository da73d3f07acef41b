"""On what it was measured: what a reader needs to know of the machine, and nothing that names it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import cryptography
import pyperf
from cryptography.hazmat.backends.openssl import backend

from benchmarks import openssl
from benchmarks.measure import Settings
from setproto import __version__

_ROOT: Final = Path(__file__).parent.parent


def environment(settings: Settings) -> dict[str, Any]:
    """The environment block of a report, as it is before anything is measured.

    Machine facts are pyperf's; what it could not find out is null.
    """
    found = pyperf.Benchmark([pyperf.Run([1.0], metadata={"name": "environment"})]).get_metadata()
    return {
        "date": found.get("date", "")[:10],
        "cpu": found.get("cpu_model_name"),
        "cores": os.cpu_count() or 1,
        "load": found.get("load_avg_1min"),
        "platform": f"{platform.system()} {platform.machine()}",
        "python": found.get("python_version"),
        "implementation": found.get("python_implementation"),
        "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
        "cryptography": cryptography.__version__,
        "openssl": backend.openssl_version_text(),
        "openssl_command": openssl.version(),
        "pyperf": pyperf.__version__,
        "setproto": __version__,
        "commit": _commit(),
        "quick": settings.quick,
        "samples": settings.samples,
    }


def _commit() -> str | None:
    """The commit that is checked out here, with a ``+`` if files differ from it; None outside a repository."""
    if not (_ROOT / ".git").exists():  # installed, perhaps inside of a repository of somebody else's
        return None
    try:
        head, changed = (
            subprocess.run(["git", *command], cwd=_ROOT, capture_output=True, text=True, check=True).stdout.strip()
            for command in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if changed else "")
