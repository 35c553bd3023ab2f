"""Which training images a quantiser sees: stratified by label and source, reproducible."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from evaluation.dataset import Item

QUANTIZATION_SAMPLES = 128
MORE_SAMPLES = 512
"""Where the usual number turned out to be too few."""


def choose_samples(items: Sequence[Item], count: int, seed: int) -> list[Item]:
    """Up to `count` items, taken in turn from each (label, source), at random within one.

    Fewer of them are the first of more.
    """
    strata: dict[tuple[str, str], list[Item]] = defaultdict(list)
    for item in items:
        strata[item.label, item.source or ""].append(item)
    rng = np.random.default_rng(seed)
    queues = [[members[i] for i in rng.permutation(len(members))] for _, members in sorted(strata.items())]
    chosen: list[Item] = []
    while len(chosen) < min(count, len(items)):
        for queue in queues:
            if queue and len(chosen) < count:
                chosen.append(queue.pop())
    return chosen
