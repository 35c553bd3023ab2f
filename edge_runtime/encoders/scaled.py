"""An encoder in other units: of one that counts, or whose wheel is not as large as it believes."""

from __future__ import annotations

from edge_runtime.ports import Encoder


class ScaledEncoder:
    """`mm_per_tick` times what another encoder says.

    Args:
        encoder: Counts, or believes to count millimetres.
        mm_per_tick: Belt millimetres for one of its units.
    """

    def __init__(self, encoder: Encoder, mm_per_tick: float) -> None:
        self._encoder, self._mm_per_tick = encoder, mm_per_tick

    def position_mm(self, captured_ns: int) -> float | None:
        """See `edge_runtime.ports.Encoder`."""
        counted = self._encoder.position_mm(captured_ns)
        return None if counted is None else self._mm_per_tick * counted
