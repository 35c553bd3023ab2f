"""How far fruit really ride for what the encoder says, as their way through the picture tells. Pure.

An encoder's wheel slips, and fruit stand nearer to the camera than the belt whose scale was measured. Either way a
fruit that has yet to cross half the picture is before the ejector earlier or later than scale and encoder say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from edge_runtime.tracking.belt_motion import Extent, edge_shifts_px

LARGEST = 0.05
"""What lies farther from 1 than this is an encoder or a scale that is stated wrongly, which no figure here mends."""

MEMORY = 0.7
"""Picture lengths of belt after which a way counts for a third: slip comes and goes."""

DOUBT = 0.1
"""Picture lengths that a fruit must ride for its word to count as much as that of the settings."""

JITTER = 0.12
"""Of its length, by which the ends of a fruit may be seen off their places; beyond it, its outline has changed.

Wide, and around what the encoder says, not what fruit have said: what is left out must not be one side's jitter, which
a coarse working picture has much of.
"""


class Stretch:
    """The ratio of the way in the picture to the encoder's; 1 until fruit say otherwise.

    A mean of the ways of all fruit, weighted by how lately they went: `ratio = sum(seen) / sum(said)`.
    """

    def __init__(self) -> None:
        self.ratio = 1.0
        self._seen, self._said = 0.0, 0.0

    def take(self, rides: Sequence[tuple[Extent, Extent]], said_px: float, along_px: int) -> None:
        """Take in what rode from one frame to the next.

        Args:
            rides: Places of fruit in the frame before and in this one; of those that a picture's edge cuts, nothing is
                taken.
            said_px: The encoder's way between the two, in picture pixels by the stated scale.
            along_px: Length of the picture along the belt.
        """
        fade = math.exp(-abs(said_px) / (MEMORY * along_px))
        self._seen, self._said = fade * self._seen, fade * self._said
        for before, after in rides:
            shifts = edge_shifts_px(before, after)
            allowed_px = JITTER * before.length + LARGEST * said_px
            if len(shifts) == 2 and all(abs(shift - said_px) <= allowed_px for shift in shifts):
                self._seen += sum(shifts) / 2 / along_px
                self._said += said_px / along_px
        # A belt that runs back undoes its ways, beyond which they tell nothing.
        ratio = (max(self._seen, 0.0) + DOUBT) / (max(self._said, 0.0) + DOUBT)
        self.ratio = min(max(ratio, 1 - LARGEST), 1 + LARGEST)
