from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
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


@pytest.mark.parametrize("seed", range(5))
def test_groups_that_share_a_file_are_in_one_split_whatever_their_order(seed: int) -> None:
    items = many(300)
    # A chain over four groups: a-b share one file, c-d another, then b-c a third.
    for one, other in ((10, 200), (77, 150), (200, 77)):
        place = next(i for i, item in enumerate(items) if item.group == f"g{one}")
        items.append(replace(items[place], file=f"copy of {one}", group=f"g{other}"))
    for order in (items, items[::-1]):
        splits = assign_splits(order, seed).splits
        joined = {s for i, s in zip(order, splits, strict=True) if i.group in {"g10", "g200", "g77", "g150"}}
        assert joined == {next(s for i, s in zip(order, splits, strict=True) if i.group == "g10")}
        alone = assign_splits(many(300), seed).splits
        others = dict(zip((i.file for i in many(300)), alone, strict=True))
        assert all(others[i.file] is s for i, s in zip(order, splits, strict=True)
                   if i.group not in {"g10", "g200", "g77", "g150"})  # fmt: skip


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
