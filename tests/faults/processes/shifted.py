"""``setproto`` with a clock that can jump: it adds the seconds in the file ``clock`` beside the configuration."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from setproto.server import gateway, merchant

CLOCK = Path(sys.argv[-1]).with_name("clock")


def _now() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=float(CLOCK.read_text()) if CLOCK.exists() else 0)


gateway.now = merchant.now = _now

if __name__ == "__main__":
    from setproto.cli import app

    app()
