"""Train, validation and test by a hash of the group, so that adding pictures never moves the others."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from evaluation.dataset import Item

FEW_PICTURES = 10
"""Below this many pictures of a label in validation or test, its recall says little: a warning."""


class Split(StrEnum):
    """What a picture is used for."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Assignment:
    """The split of each item, in the items' order, with warnings for people."""

    splits: tuple[Split, ...]
    warnings: tuple[str, ...]


# Where there are too few groups for all three, learning and an honest test come before validation.
_NEED = (Split.TRAIN, Split.TEST, Split.VALIDATION)


def assign_splits(
    items: Sequence[Item], seed: int, fractions: tuple[float, float, float] = (0.7, 0.15, 0.15)
) -> Assignment:
    """Give each group to one split.

    A group's split depends on the seed and its own name alone; groups that share a file (the same bytes) are one, of
    the name that sorts first, so that no copy of a training picture is tested. Only where that leaves a label without
    any picture in some split (small sets) is a group moved there, the one whose hash lies nearest, from the split that
    has most groups of the label; a label with fewer groups than splits stays without validation first, then without
    test.

    Args:
        items: Labelled pictures.
        seed: Another seed, another split.
        fractions: Expected shares of train, validation and test; they sum to 1.
    """
    order = tuple(Split)
    starts = {split: sum(fractions[:i]) for i, split in enumerate(order)}
    groups = _joined_by_copies(items)
    labels_of: dict[str, set[str]] = defaultdict(set)
    for item, group in zip(items, groups, strict=True):
        labels_of[group].add(item.label)
    place = {group: _unit_hash(seed, group) for group in labels_of}
    split_of = {
        group: next(split for split in reversed(order) if at >= starts[split] or split is order[0])
        for group, at in place.items()
    }
    middle = {split: starts[split] + fractions[i] / 2 for i, split in enumerate(order)}
    for label in sorted({item.label for item in items}):
        _fill_empty(label, labels_of, place, split_of, middle)
    splits = tuple(split_of[group] for group in groups)
    return Assignment(splits, tuple(_warnings(items, splits)))


def _joined_by_copies(items: Sequence[Item]) -> list[str]:
    """Each item's group, or the first by name of those that it is joined with by copies of files (union-find)."""
    parent = {item.group: item.group for item in items}

    def root(group: str) -> str:
        while parent[group] != group:
            parent[group] = group = parent[parent[group]]
        return group

    first: dict[str, str] = {}
    for item in items:
        one, other = sorted((root(item.group), root(first.setdefault(item.sha256, item.group))))
        parent[other] = one
    return [root(item.group) for item in items]


def _fill_empty(
    label: str,
    labels_of: dict[str, set[str]],
    place: dict[str, float],
    split_of: dict[str, Split],
    middle: dict[Split, float],
) -> None:
    mine = sorted(group for group, labels in labels_of.items() if label in labels)
    for split in _NEED[: len(mine)]:
        counts = Counter(split_of[group] for group in mine)
        if counts[split]:
            continue
        # Spare groups first: never one that another label needs where it is.
        donors = [group for group in mine if counts[split_of[group]] > 1 or split_of[group] not in _NEED[: len(mine)]]
        free = [group for group in donors if not _needed_by_others(group, label, labels_of, split_of)]
        candidates = free or donors
        if candidates:
            most = max(counts[split_of[group]] for group in candidates)
            crowded = [group for group in candidates if counts[split_of[group]] == most]
            split_of[min(crowded, key=lambda group: abs(place[group] - middle[split]))] = split


def _needed_by_others(group: str, label: str, labels_of: dict[str, set[str]], split_of: dict[str, Split]) -> bool:
    alone = {other for other in labels_of[group] if other != label}
    for name, labels in labels_of.items():
        if name != group and split_of[name] is split_of[group]:
            alone -= labels
    return bool(alone)


def _unit_hash(seed: int, group: str) -> float:
    """Uniform in [0, 1)."""
    digest = hashlib.sha256(f"{seed}\0{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _warnings(items: Sequence[Item], splits: Sequence[Split]) -> list[str]:
    counts = Counter((item.label, split) for item, split in zip(items, splits, strict=True))
    warnings = []
    for label in dict.fromkeys(item.label for item in items):
        few = [split for split in Split if counts[label, split] < FEW_PICTURES]
        if few:
            numbers = " and ".join(f"{counts[label, split]} for {split}" for split in few)
            warnings.append(
                f"Label '{label}' has few pictures: {numbers}. Its figures will be uncertain; add pictures."
            )
    return warnings
