from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.bundles.manifest import Result
from evaluation.intervals import tango_lower_bound
from export.parity import FLOAT_MARGINS, PARITY_MARGINS, Margins, compare_shares, judge, pairs_to_conclude

LABELS = ("unripe", "ripe")
ROOMY = Margins(agreement=0.0)


def logits(answers: np.ndarray, sure: float = 4.0) -> np.ndarray:
    """Logits `[n, 2]` whose larger one is at `answers`."""
    return (np.eye(2, dtype=np.float32)[answers] * sure).astype(np.float32)


def flip(answers: np.ndarray, places: list[int]) -> np.ndarray:
    changed = answers.copy()
    changed[places] = 1 - changed[places]
    return changed


def shares(n: int, gained: int, lost: int) -> tuple[np.ndarray, np.ndarray]:
    """Right before and right now, with so many gained and lost."""
    before, now = np.ones(n, bool), np.ones(n, bool)
    before[:gained] = False
    now[gained : gained + lost] = False
    return before, now


def test_the_same_outputs_on_enough_images_pass() -> None:
    truth = np.arange(400) % 2
    parity = judge(LABELS, truth, logits(truth), logits(truth))
    assert (parity.result, parity.reasons, parity.images_needed) == (Result.PASS, (), None)
    assert (parity.agreement, parity.max_abs_diff, parity.max_logit_diff) == (1.0, 0.0, 0.0)
    assert set(parity.recall) == set(LABELS)


def test_the_same_outputs_on_few_images_are_inconclusive_and_say_how_many_would_do() -> None:
    truth = np.arange(40) % 2
    parity = judge(LABELS, truth, logits(truth), logits(truth))
    assert parity.result is Result.INCONCLUSIVE
    assert parity.images_needed is not None
    assert str(parity.images_needed) in parity.reasons[0]


@pytest.mark.parametrize("n", [20, 40, 100, 250])
def test_the_number_of_images_asked_for_settles_it_and_a_tenth_less_does_not(n: int) -> None:
    truth = (np.arange(n) % 10 == 0).astype(np.int64)  # a label of which there is little decides
    needed = judge(LABELS, truth, logits(truth), logits(truth)).images_needed
    assert needed is not None
    more = (np.arange(needed) % 10 == 0).astype(np.int64)
    assert judge(LABELS, more, logits(more), logits(more)).result is Result.PASS
    fewer = more[: needed * 9 // 10]
    assert judge(LABELS, fewer, logits(fewer), logits(fewer)).result is Result.INCONCLUSIVE


@given(st.integers(20, 400), st.integers(0, 4), st.integers(0, 4), st.sampled_from([0.01, 0.02, 0.05]))
@settings(max_examples=60, deadline=None)
def test_pairs_to_conclude_really_conclude(n: int, gained: int, lost: int, margin: float) -> None:
    comparison = compare_shares(*shares(n, gained, lost), margin)
    if comparison.result is not Result.INCONCLUSIVE or (gained - lost) / n < -0.8 * margin:
        return  # settled, or so near the margin that rounding the counts decides
    needed = comparison.images_needed
    assert needed is not None
    assert needed > n
    scaled = [round(count * needed / n) for count in (gained, lost)]
    assert compare_shares(*shares(needed, *scaled), margin).result is Result.PASS


def test_an_estimate_on_the_margin_itself_is_called_that_and_no_number_of_images_is_named() -> None:
    assert pairs_to_conclude(0, 1, 100, 0.01) is None
    truth = np.arange(1000) % 2
    parity = judge(LABELS, truth, logits(truth), logits(flip(truth, list(range(10)))))
    assert (parity.result, parity.images_needed) == (Result.INCONCLUSIVE, None)
    assert parity.reasons == (
        "accuracy -1.00% lies on the margin of 1.0% itself, where no number of images would settle it",
    )


def test_groups_asked_for_are_as_many_as_the_rarest_failure_needs() -> None:
    """One flip in 40 groups of 50 leaves open what 1 in 100 groups does; 268 groups would tell, 13,400 pictures."""
    names = np.repeat(np.arange(40), 50)
    before, now = shares(2000, 0, 1)
    needed = compare_shares(before, now, 0.01, names).images_needed
    assert needed is not None
    assert 268 * 50 < needed < 1.25 * 268 * 50


def test_pass_begins_where_the_lower_bound_clears_the_margin() -> None:
    results = {n: compare_shares(*shares(n, 0, 0), 0.01).result for n in range(200, 400)}
    first = min(n for n, result in results.items() if result is Result.PASS)
    assert tango_lower_bound(0, 0, first) > -0.01 >= tango_lower_bound(0, 0, first - 1)
    # Without any discordant pair the score bound is z^2 / (n + z^2), z = 1.645.
    assert first == int(2.7055 * 99) + 1
    assert all((result is Result.PASS) == (n >= first) for n, result in results.items())


def test_fail_begins_where_the_estimate_itself_passes_the_margin() -> None:
    assert compare_shares(*shares(1000, 0, 10), 0.01).result is Result.INCONCLUSIVE
    assert compare_shares(*shares(1000, 0, 11), 0.01).result is Result.FAIL
    assert compare_shares(*shares(1000, 5, 16), 0.01).result is Result.FAIL


def test_gains_are_no_reason_to_fail() -> None:
    comparison = compare_shares(*shares(500, 50, 0), 0.01)
    assert (comparison.result, comparison.difference) == (Result.PASS, 0.1)


def test_a_loss_of_accuracy_beyond_the_margin_fails_and_is_named() -> None:
    truth = np.arange(1000) % 2
    parity = judge(LABELS, truth, logits(truth), logits(flip(truth, list(range(12)))))
    assert parity.result is Result.FAIL
    assert any("accuracy -1.20%" in reason for reason in parity.reasons)


def test_one_label_lost_fails_though_the_mean_looks_fine() -> None:
    truth = (np.arange(2000) < 1900).astype(np.int64)
    parity = judge(LABELS, truth, logits(truth), logits(flip(truth, list(range(1990, 2000)))))
    assert parity.accuracy.result is not Result.FAIL
    assert parity.result is Result.FAIL
    assert any("recall of unripe" in reason for reason in parity.reasons)


def test_equally_good_but_other_answers_fail_parity_and_not_regression() -> None:
    truth = np.arange(4000) % 2
    before = logits(flip(truth, list(range(0, 60))))
    now = logits(flip(truth, list(range(60, 120))))
    parity = judge(LABELS, truth, before, now, PARITY_MARGINS)
    assert parity.agreement == pytest.approx(1 - 120 / 4000)
    assert parity.result is Result.FAIL
    assert "agrees" in parity.reasons[0]
    assert judge(LABELS, truth, before, now, ROOMY).result is not Result.FAIL


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_outputs_that_are_no_numbers_fail(value: float) -> None:
    truth = np.arange(400) % 2
    broken = logits(truth)
    broken[3, 0] = value
    parity = judge(LABELS, truth, logits(truth), broken)
    assert parity.result is Result.FAIL
    assert "not finite" in parity.reasons[0]
    parity.model_dump_json()
    assert np.isfinite([parity.max_abs_diff, parity.max_logit_diff]).all()


def test_differences_are_the_largest_of_probabilities_and_of_logits() -> None:
    truth = np.array([0, 1])
    parity = judge(LABELS, truth, np.array([[0, 0], [0, 2]], np.float32), np.array([[1, 0], [0, 2]], np.float32))
    assert parity.max_logit_diff == 1.0
    assert parity.max_abs_diff == pytest.approx(1 / (1 + np.exp(-1)) - 0.5)


def test_a_label_without_images_is_not_judged() -> None:
    truth = np.ones(400, np.int64)
    assert set(judge(LABELS, truth, logits(truth), logits(truth)).recall) == {"ripe"}


@pytest.mark.parametrize(("n", "rows"), [(0, 0), (3, 2)])
def test_images_and_outputs_that_do_not_belong_together_are_no_question(n: int, rows: int) -> None:
    with pytest.raises(ValueError, match="images"):
        judge(LABELS, np.zeros(n, np.int64), np.zeros((rows, 2), np.float32), np.zeros((rows, 2), np.float32))


def test_a_candidate_that_is_worse_by_the_margin_hardly_ever_passes() -> None:
    """A true loss of 1 point at 3 % discordant pairs: PASS in at most 5 of 100 draws (simulated, and its noise)."""
    rng = np.random.default_rng(3)
    draws, n = 1500, 3000
    gained, lost = rng.multinomial(n, [0.01, 0.02, 0.97], size=draws)[:, :2].T
    passed = np.mean([compare_shares_of(int(g), int(x), n) is Result.PASS for g, x in zip(gained, lost, strict=True)])
    assert passed <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / draws)


@pytest.mark.parametrize("together", [1.0, 0.5])
def test_a_worse_candidate_hardly_ever_passes_when_pictures_come_in_groups(together: float) -> None:
    """The same with four pictures a group, of which all or half change together."""
    rng, draws, groups, size, margin = np.random.default_rng(5), 120, 300, 4, 0.05
    names, rates = np.repeat(np.arange(groups), size).astype(str), [0.04, 0.09, 0.87]
    passed, alone = [], []
    for _ in range(draws):
        of_group = rng.choice([1, -1, 0], groups, p=rates).repeat(size)
        of_picture = rng.choice([1, -1, 0], groups * size, p=rates)
        change = np.where(rng.random(groups * size) < together, of_group, of_picture)
        before, now = change != 1, change != -1
        passed.append(compare_shares(before, now, margin, names).result is Result.PASS)
        alone.append(compare_shares(before, now, margin).result is Result.PASS)
    allowed = 0.05 + 3 * np.sqrt(0.05 * 0.95 / draws)
    assert np.mean(passed) <= allowed
    if together == 1.0:
        assert np.mean(alone) > allowed, "grouping is what holds the promise"


def test_a_candidate_that_is_as_good_passes_when_the_images_are_many() -> None:
    rng = np.random.default_rng(4)
    gained, lost = rng.multinomial(4000, [0.005, 0.005, 0.99], size=200)[:, :2].T
    results = [compare_shares_of(int(g), int(x), 4000) for g, x in zip(gained, lost, strict=True)]
    assert np.mean([result is Result.PASS for result in results]) > 0.95


def compare_shares_of(gained: int, lost: int, n: int) -> Result:
    return compare_shares(*shares(n, gained, lost), 0.01).result


def test_pictures_of_one_group_count_once() -> None:
    truth, groups = np.arange(400) % 2, np.repeat(np.arange(80), 5).astype(str)
    alone = judge(LABELS, truth, logits(truth), logits(truth))
    grouped = judge(LABELS, truth, logits(truth), logits(truth), groups=groups)
    assert (alone.result, alone.units) == (Result.PASS, 400)
    assert (grouped.result, grouped.units) == (Result.INCONCLUSIVE, 80)
    assert grouped.accuracy.lower_bound == pytest.approx(tango_lower_bound(0, 0, 80))
    assert grouped.images_needed is not None
    assert grouped.images_needed >= 5 * 268 * 0.99, "as many groups as there would have to be pictures"


def test_a_float_artefact_is_bound_to_the_probabilities() -> None:
    truth = np.arange(400) % 2
    near = logits(truth, 4.0) + np.array([[2e-3, 0]], np.float32)
    assert judge(LABELS, truth, logits(truth), near, PARITY_MARGINS).result is Result.PASS
    judged = judge(LABELS, truth, logits(truth), near + np.float32(0.01) * near, FLOAT_MARGINS)
    assert judged.result is Result.FAIL
    assert "probabilities differ by up to" in judged.reasons[0]
    assert judge(LABELS, truth, logits(truth), logits(truth) + np.float32(1e-5), FLOAT_MARGINS).result is Result.PASS


def test_outputs_that_are_always_the_same_fail_with_a_cause() -> None:
    truth = np.arange(400) % 2
    parity = judge(LABELS, truth, logits(truth), np.tile(np.float32([1, 0]), (400, 1)))
    assert parity.result is Result.FAIL
    assert "same output for every image" in parity.reasons[0]


def test_one_other_answer_of_few_pictures_fails_and_the_reason_says_that_they_are_few() -> None:
    truth = np.arange(40) % 2
    parity = judge(LABELS, truth, logits(truth), logits(flip(truth, [3])))
    assert parity.result is Result.FAIL
    assert "a single other answer is enough" in parity.reasons[0]
    assert "50 images or more" in parity.reasons[0]


def test_p99_lies_between_the_median_and_the_largest_difference() -> None:
    truth = np.arange(1000) % 2
    now = logits(truth)
    now[:5] *= 0.5
    parity = judge(LABELS, truth, logits(truth), now)
    assert 0 == parity.p99_abs_diff < parity.max_abs_diff
    now[:50] *= 0.5
    assert judge(LABELS, truth, logits(truth), now).p99_abs_diff > 0


def test_a_label_that_lost_five_points_is_named_by_a_critical_margin() -> None:
    truth = np.arange(2000) % 2
    worse = logits(flip(truth, list(range(1, 100, 2))))
    margins = Margins(accuracy=0.1, recall=0.1, agreement=0.0, critical={"ripe": 0.02})
    parity = judge(LABELS, truth, logits(truth), worse, margins)
    assert parity.reasons == ("recall of ripe -5.00%, beyond the margin of 2.0%",)
