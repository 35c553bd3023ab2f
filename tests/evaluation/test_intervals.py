from __future__ import annotations

import math

import numpy as np
import pytest

from evaluation.intervals import (
    accuracy_interval,
    balanced_accuracy_interval,
    bootstrap,
    cluster_bootstrap,
    effective_sample_size,
    independent_groups,
    paired_interval,
    tango_interval,
    tango_lower_bound,
    wilson,
)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    # Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_published_values(successes: int, n: int, low: float, high: float) -> None:
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_at_the_ends() -> None:
    assert wilson(20, 20).high == 1.0
    assert wilson(20, 20).low == pytest.approx(1 - wilson(0, 20).high)
    assert wilson(0, 0) == (0.0, 1.0)


def test_tango_without_discordant_pairs_has_a_closed_form() -> None:
    z2 = 1.959964**2
    assert tango_interval(0, 0, 100) == pytest.approx((-z2 / (100 + z2), z2 / (100 + z2)), abs=1e-6)


def test_tango_mirrors_when_the_two_change_places() -> None:
    low, high = tango_interval(12, 5, 80)
    assert tango_interval(5, 12, 80) == pytest.approx((-high, -low), abs=1e-9)
    assert low < 7 / 80 < high


def test_tango_ends_solve_the_score_equation_by_brute_force() -> None:
    b, c, n = 9, 3, 60
    low, high = tango_interval(b, c, n)
    for delta in (low, high):
        # Maximise the multinomial likelihood under the constraint on a fine grid instead of by Tango's formula.
        p21 = np.linspace(1e-7, (1 - delta) / 2, 2_000_001)
        p21 = p21[(p21 + delta > 0) & (2 * p21 + delta < 1)]
        best = p21[np.argmax(b * np.log(p21 + delta) + c * np.log(p21) + (n - b - c) * np.log(1 - 2 * p21 - delta))]
        z = (b - c - n * delta) / math.sqrt(n * (2 * best + delta * (1 - delta)))
        assert abs(z) == pytest.approx(1.959964, abs=1e-3)


@pytest.mark.parametrize(("n", "p12", "p21"), [(60, 0.10, 0.10), (200, 0.03, 0.01), (400, 0.005, 0.015)])
def test_tango_covers_what_it_promises(n: int, p12: float, p21: float) -> None:
    draws = np.random.default_rng(0).multinomial(n, [p12, p21, 1 - p12 - p21], size=3000)
    cases, counts = np.unique(draws[:, :2], axis=0, return_counts=True)
    truth = p12 - p21
    two_sided = one_sided = 0
    for (b, c), count in zip(cases.tolist(), counts.tolist(), strict=True):
        low, high = tango_interval(b, c, n)
        two_sided += count * (low <= truth <= high)
        one_sided += count * (tango_lower_bound(b, c, n) <= truth)
    assert 0.93 < two_sided / 3000 < 0.985
    assert 0.93 < one_sided / 3000 < 0.985


def test_one_sided_bound_is_the_end_of_a_wider_two_sided_interval() -> None:
    assert tango_lower_bound(4, 9, 300, 0.95) == pytest.approx(tango_interval(4, 9, 300, 0.90).low)


def test_tango_refuses_impossible_counts() -> None:
    with pytest.raises(ValueError, match="impossible"):
        tango_interval(30, 30, 50)


def test_paired_interval_of_single_pictures_is_tango_s() -> None:
    change = np.array([1] * 4 + [-1] * 9 + [0] * 287)
    assert paired_interval(change) == pytest.approx(tango_interval(4, 9, 300))
    assert paired_interval(change, np.arange(300).astype(str)) == pytest.approx(tango_interval(4, 9, 300))
    assert paired_interval(change * 2.5, largest=2.5) == pytest.approx(np.multiply(tango_interval(4, 9, 300), 2.5))


def test_paired_interval_without_any_change_counts_each_group_once() -> None:
    groups = np.repeat(np.arange(60), 5).astype(str)
    assert paired_interval(np.zeros(300), groups) == pytest.approx(tango_interval(0, 0, 60), abs=1e-6)


@pytest.mark.parametrize(("size", "rho"), [(1, 0.0), (4, 0.8)])
def test_paired_bound_covers_what_it_promises_when_groups_change_together(size: int, rho: float) -> None:
    """2 % gained and 4 % lost; the one-sided 95 % bound, within Monte-Carlo error."""
    rng, draws, groups = np.random.default_rng(7), 200, 150
    names = np.repeat(np.arange(groups), size).astype(str)
    covered = 0
    for _ in range(draws):
        of_group = rng.choice([1, -1, 0], p=[0.02, 0.04, 0.94], size=groups).repeat(size)
        own = rng.choice([1, -1, 0], p=[0.02, 0.04, 0.94], size=groups * size)
        change = np.where(np.repeat(rng.random(groups), size) < rho, of_group, own)
        covered += paired_interval(change, names, 0.90).low <= -0.02
    noise = 3 * np.sqrt(0.05 * 0.95 / draws)
    assert 0.95 - noise <= covered / draws < 1


def rare_failures(
    rng: np.random.Generator, groups: int, size: int, failing: float, single: float
) -> tuple[np.ndarray, np.ndarray]:
    """Changes where a share of the groups fails as a whole and single pictures go either way; and the groups' names."""
    own = rng.choice([1, -1, 0], p=[single / 2, single / 2, 1 - single], size=groups * size)
    return np.where(np.repeat(rng.random(groups) < failing, size), -1, own), np.repeat(np.arange(groups), size)


@pytest.mark.parametrize(
    ("groups", "size", "failing", "single"), [(300, 10, 0.01, 0.02), (60, 10, 0.05, 0.04), (40, 50, 0.01, 0.01)]
)
def test_paired_bound_covers_what_it_promises_when_whole_groups_fail_rarely(
    groups: int, size: int, failing: float, single: float
) -> None:
    """The hard case: single changes say that pictures are independent, and the one group that is lost may be unseen."""
    rng, draws = np.random.default_rng(3), 100
    missed = 0
    for _ in range(draws):
        change, names = rare_failures(rng, groups, size, failing, single)
        missed += paired_interval(change, names, 0.90).low > -failing
    assert missed / draws <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / draws)


@pytest.mark.parametrize("order", ["scattered", "group by group", "a group, then scattered"])
@pytest.mark.parametrize(("groups", "size"), [(40, 50), (100, 4)])
def test_a_further_loss_never_makes_the_paired_bound_better(groups: int, size: int, order: str) -> None:
    rng, n = np.random.default_rng(1), groups * size
    names = np.repeat(np.arange(groups), size)
    places = np.arange(n) if order == "group by group" else rng.permutation(n)
    if order == "a group, then scattered":
        places = np.concatenate([np.arange(size), rng.permutation(np.arange(size, n))])
    change = np.zeros(n)
    lows = [paired_interval(change, names, 0.90).low]
    for place in places[:60]:
        change[place] = -1
        lows.append(paired_interval(change, names, 0.90).low)
    assert max(np.diff(lows)) <= 0


def test_no_paired_bound_is_nearer_than_the_groups_are_few() -> None:
    """Gains and losses of single pictures in every group leave it open what a group does that was not seen."""
    change, names = np.tile([1, -1] + [0] * 48, 40), np.repeat(np.arange(40), 50)
    assert paired_interval(change, names, 0.90).low <= tango_lower_bound(0, 0, 40) + 1e-9


def grouped(
    rng: np.random.Generator, groups: int, size: int, rho: float, share: float
) -> tuple[np.ndarray, np.ndarray]:
    """Beta-binomial answers: correlation `rho` inside groups."""
    strength = (1 - rho) / rho
    p = rng.beta(share * strength, (1 - share) * strength, groups)
    return (rng.random((groups, size)) < p[:, None]).ravel(), np.repeat(np.arange(groups), size)


def test_effective_sample_size_finds_the_correlation() -> None:
    right, groups = grouped(np.random.default_rng(0), 2000, 6, 0.4, 0.8)
    assert effective_sample_size(right, groups) == pytest.approx(12_000 / (1 + 5 * 0.4), rel=0.06)


def test_effective_sample_size_at_the_extremes() -> None:
    assert effective_sample_size([1, 0, 1, 1], ["a", "b", "c", "d"]) == 4
    assert effective_sample_size([1] * 12, ["a"] * 4 + ["b"] * 4 + ["c"] * 4) == 3
    assert effective_sample_size([1, 1, 0, 0, 1, 1], ["a", "a", "b", "b", "c", "c"]) == pytest.approx(3)


def test_effective_sample_size_needs_many_events_to_believe_in_independence() -> None:
    groups = np.repeat(np.arange(400), 5)

    def worth(events: int) -> float:
        values = np.zeros(2000)
        values[np.arange(events) * 5] = 1
        return effective_sample_size(values, groups)

    assert worth(0) == pytest.approx(400)
    assert worth(1) == pytest.approx(2000 / (1 + 4 * 10 / 11))
    assert worth(10) == pytest.approx(2000 / (1 + 4 / 2))
    assert worth(390) > 0.9 * 2000


def test_large_groups_count_for_less_where_pictures_of_a_group_are_alike() -> None:
    assert independent_groups(["a", "b", "b", "c"]) == pytest.approx(16 / 6)
    assert independent_groups(range(7)) == 7


def test_bootstrap_over_groups_is_wider_than_over_pictures() -> None:
    right, groups = grouped(np.random.default_rng(3), 60, 8, 0.6, 0.8)
    whole, single = cluster_bootstrap(right, groups), cluster_bootstrap(right, np.arange(len(right)))
    assert whole.high - whole.low > 1.5 * (single.high - single.low)
    assert cluster_bootstrap(right, groups) == whole


def test_accuracy_interval_of_a_perfect_score_is_not_a_point() -> None:
    assert accuracy_interval([True] * 20, range(20)) == pytest.approx((0.8389, 1.0), abs=1e-4)
    assert accuracy_interval([True] * 20, [i // 4 for i in range(20)]).low == pytest.approx(wilson(5, 5).low)
    assert accuracy_interval([], []) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("groups", "size", "rho", "share"), [(50, 4, 0.3, 0.95), (120, 3, 0.5, 0.9), (40, 1, 0.01, 0.97)]
)
def test_accuracy_interval_covers_the_truth(groups: int, size: int, rho: float, share: float) -> None:
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(200):
        low, high = accuracy_interval(*grouped(rng, groups, size, rho, share))
        hits += low <= share <= high
    assert hits >= 180


def test_the_bootstrap_draws_the_same_however_many_fit_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    totals = np.random.default_rng(0).normal(size=(50, 2))
    at_once = bootstrap(totals, lambda drawn: drawn[:, 0] - drawn[:, 1], draws=40)
    monkeypatch.setattr("evaluation.intervals._BOOTSTRAP_CELLS", 170)
    in_pieces = bootstrap(totals, lambda drawn: drawn[:, 0] - drawn[:, 1], draws=40)
    np.testing.assert_array_equal(at_once, in_pieces)
    assert len(np.unique(at_once)) == 40


def test_balanced_accuracy_of_all_right_is_not_plus_or_minus_nothing() -> None:
    low, high = balanced_accuracy_interval([1] * 30, [0] * 20 + [1] * 10, range(30))
    assert high == 1.0
    assert 0.8 < low < 0.9


def test_a_small_label_widens_the_interval_of_balanced_accuracy() -> None:
    correct = [1, 0] * 60
    even = balanced_accuracy_interval(correct, [0, 0, 1, 1] * 30, range(120))
    lopsided = balanced_accuracy_interval(correct, [1] * 4 + [0] * 116, range(120))
    assert lopsided.high - lopsided.low > 1.5 * (even.high - even.low)


@pytest.mark.parametrize("group_size", [1, 4])
def test_balanced_accuracy_covers_what_it_promises(group_size: int) -> None:
    rng = np.random.default_rng(5)
    recalls, covered = np.array([0.95, 0.8, 0.9]), 0
    for _ in range(200):
        label = rng.choice(3, 60, p=[0.6, 0.15, 0.25])
        shared = rng.random(60) < recalls[label]
        truth, correct = np.repeat(label, group_size), np.repeat(shared, group_size)
        low, high = balanced_accuracy_interval(correct, truth, np.repeat(np.arange(60), group_size))
        present = np.unique(truth)
        covered += low <= recalls[present].mean() <= high
    assert covered >= 0.93 * 200
