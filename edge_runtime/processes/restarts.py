"""When a process that died is started again. Pure."""

from __future__ import annotations

from collections import deque

WINDOW_S = 60.0


class Restarts:
    """At once as long as the budget lasts, then seldom, but always: in the morning the camera may be back.

    Args:
        budget: Restarts within a minute.
        slow_s: From a death to the restart once they are used up.
    """

    def __init__(self, budget: int, slow_s: float) -> None:
        self._budget, self._slow_s = budget, slow_s
        self._deaths: deque[float] = deque()
        self.count = 0

    def wait_s(self, now_s: float) -> float:
        """It died at this time: how long until it is started again."""
        self.count += 1
        self._deaths.append(now_s)
        while self._deaths[0] <= now_s - WINDOW_S:
            self._deaths.popleft()
        return 0.0 if len(self._deaths) <= self._budget else self._slow_s
