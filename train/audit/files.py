"""Pictures that cannot show ripeness: damaged, too small, too dark, too bright, blurred.

Each bound lies beyond what 1,613 usable photographs of strawberries from seven sources reach; what a probe on frozen
features loses there, on pictures that were made worse on purpose, stands beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from evaluation.dataset import Dataset
from train.audit.findings import Finding, Kind, Severity
from train.audit.looks import Looks

SMALLEST_PX = 32
"""Longer side. At 32 nothing is lost, at 24 one point of accuracy, at 16 seven; usable pictures have 60 and more."""
DARKEST_LIGHT = 60.0
"""95 of 100 pixels darker than this: usable pictures have 104 and more, at 61 accuracy is down from 0.95 to 0.90."""
BRIGHTEST_DARK = 195.0
"""Three of four pixels lighter than this: usable pictures have 178 at most; at threefold light
accuracy is 11 points down."""
BLURRIEST = 0.7
"""`blur_effect`: usable pictures reach 0.69; a Gaussian of 3 px in 160 (0.77) costs 5 points of balanced accuracy."""


def unreadable_findings(dataset: Dataset) -> list[Finding]:
    """One for each file that is no whole picture."""
    return [
        Finding(
            kind=Kind.UNREADABLE,
            severity=Severity.SERIOUS,
            sentence="A file is damaged or no picture.",
            files=(file,),
        )
        for file in dataset.unreadable
    ]


def look_findings(files: Sequence[str], looks: Looks) -> list[Finding]:
    """Pictures beyond a bound; one that is too dark, bright or small is not called blurred as well."""
    found = []
    dark, bright = looks.light_end < DARKEST_LIGHT, looks.dark_end > BRIGHTEST_DARK
    small = looks.side_px < SMALLEST_PX
    blurred = (looks.blur > BLURRIEST) & ~dark & ~bright & ~small
    found += _each(Kind.SMALL, files, small, -looks.side_px, "Its longer side has {:.0f} pixels.", looks.side_px)
    found += _each(
        Kind.DARK, files, dark, -looks.light_end, "19 of 20 pixels are darker than {:.0f} of 255.",
        looks.light_end,
    )  # fmt: skip
    found += _each(
        Kind.BRIGHT, files, bright, looks.dark_end, "Three of four pixels are lighter than {:.0f} of 255.",
        looks.dark_end,
    )  # fmt: skip
    found += _each(Kind.BLURRED, files, blurred, looks.blur, "Its blur is {:.2f} of 1.", looks.blur)
    return found


def _each(
    kind: Kind,
    files: Sequence[str],
    where: npt.NDArray[np.bool_],
    badness: npt.NDArray[np.generic],
    sentence: str,
    figures: npt.NDArray[np.generic],
) -> list[Finding]:
    return [
        Finding(
            kind=kind,
            severity=Severity.WARNING,
            sentence=sentence.format(float(figures[at])),
            files=(files[at],),
            score=float(badness[at]),
        )
        for at in np.flatnonzero(where)
    ]
