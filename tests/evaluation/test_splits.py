from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pytest

from evaluation.dataset import Item
from evaluation.split import Split, assign_splits


def items_of(groups: dict[str, list[str]]) -> list[Item]:
    """Items from `{group: labels of its pictures}`."""
    return [
        Item(path=Path(f"{group}-{i}"), file=f"{group}-{i}", sha256=f"{group}-{i}", label=label, group=group)
        for group, labels in groups.items()
        for i, label in enumerate(labels)
    ]


def many(n: int) -> list[Item]:
    return items_of({f"g{i}": ["red" if i % 3 else "green"] * (1 + i % 4) for i in range(n)})


def test_a_group_is_in_one_split() -> None:
    items = many(300)
    seen = defaultdict(set)
    for item, split in zip(items, assign_splits(items, 0).splits, strict=True):
        seen[item.group].add(split)
    assert all(len(splits) == 1 for splits in seen.values())


def test_shares_come_out_as_asked() -> None:
    items = many(3000)
    counts = Counter(assign_splits(items, 1, (0.6, 0.3, 0.1)).splits)
    assert counts[Split.TRAIN] / len(items) == pytest.approx(0.6, abs=0.03)
    assert counts[Split.VALIDATION] / len(items) == pytest.approx(0.3, abs=0.03)
    assert counts[Split.TEST] / len(items) == pytest.approx(0.1, abs=0.03)


def test_adding_pictures_and_changing_their_order_moves_none() -> None:
    before, after = many(200), list(reversed(many(400)))
    old = dict(zip((i.file for i in before), assign_splits(before, 5).splits, strict=True))
    new = dict(zip((i.file for i in after), assign_splits(after, 5).splits, strict=True))
    assert all(new[file] is split for file, split in old.items())


def test_the_seed_matters_and_only_the_seed() -> None:
    items = many(200)
    assert assign_splits(items, 1) == assign_splits(items, 1)
    assert assign_splits(items, 1).splits != assign_splits(items, 2).splits


@pytest.mark.parametrize("seed", range(30))
def test_three_groups_a_label_suffice_for_all_splits(seed: int) -> None:
    items = items_of({f"{label}{i}": [label] for label in ("green", "pink", "red") for i in range(3)})
    splits = assign_splits(items, seed).splits
    assert Counter(zip((i.label for i in items), splits, strict=True)) == Counter(
        {(label, split): 1 for label in ("green", "pink", "red") for split in Split}
    )


@pytest.mark.parametrize("seed", range(10))
def test_groups_of_several_labels_still_reach_every_split(seed: int) -> None:
    items = items_of({f"plant{i}": ["green", "red"] for i in range(3)})
    splits = assign_splits(items, seed).splits
    assert set(splits) == set(Split)


@pytest.mark.parametrize("seed", range(10))
def test_with_two_groups_learning_and_testing_come_first(seed: int) -> None:
    items = items_of({"a": ["red"], "b": ["red"], **{f"g{i}": ["green"] for i in range(40)}})
    assignment = assign_splits(items, seed)
    mine = {s for i, s in zip(items, assignment.splits, strict=True) if i.label == "red"}
    assert mine == {Split.TRAIN, Split.TEST}
    assert any("'red' has few pictures" in warning and "0 for validation" in warning for warning in assignment.warnings)


def test_plenty_of_pictures_gives_no_warning() -> None:
    assert assign_splits(many(600), 0).warnings == ()
