"""The machine's own clock, behind its port."""

from __future__ import annotations

import time


class SystemClock:
    """See `edge_runtime.ports.Clock`."""

    def monotonic_ns(self) -> int:
        """Since the machine started."""
        return time.monotonic_ns()

    def wall_ns(self) -> int:
        """Since 1970."""
        return time.time_ns()
