from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edge_runtime.deciding.decide import Costs, Policy, fuse, log_softmax, softmax
from edge_runtime.errors import InputError
from edge_runtime.records import Verdict

LABELS = ("spoiled", "unripe", "ripe")

logits_of_views = st.integers(1, 6).flatmap(
    lambda views: arrays(np.float32, (views, 3), elements=st.floats(-20, 20, width=32))
)


def plain() -> Policy:
    return Policy.accepting(LABELS, ["ripe"])


@pytest.mark.parametrize(
    ("ripe", "verdict"),
    [
        (0.0, Verdict.DIVERT),
        (0.249, Verdict.DIVERT),
        (0.251, Verdict.UNDECIDED),
        (0.749, Verdict.UNDECIDED),
        (0.751, Verdict.ACCEPT),
        (1.0, Verdict.ACCEPT),
    ],
)
def test_the_plain_table_is_undecided_between_a_quarter_and_three_quarters(ripe: float, verdict: Verdict) -> None:
    assert plain().verdict({"spoiled": (1 - ripe) / 2, "unripe": (1 - ripe) / 2, "ripe": ripe}) is verdict


@pytest.mark.parametrize(("ripe", "verdict"), [(0.25, Verdict.DIVERT), (0.75, Verdict.UNDECIDED)])
def test_at_equal_cost_the_verdict_that_keeps_the_fruit_out_wins(ripe: float, verdict: Verdict) -> None:
    assert plain().verdict({"spoiled": 1 - ripe, "unripe": 0.0, "ripe": ripe}) is verdict


def test_all_verdicts_at_the_same_cost_divert() -> None:
    same = Costs(ACCEPT=1, DIVERT=1, UNDECIDED=1)
    assert Policy(costs={"a": same, "b": same}, origin="x").verdict({"a": 0.5, "b": 0.5}) is Verdict.DIVERT


def test_several_labels_may_be_good() -> None:
    policy = Policy.accepting(LABELS, ["unripe", "ripe"])
    assert policy.verdict({"spoiled": 0.1, "unripe": 0.45, "ripe": 0.45}) is Verdict.ACCEPT
    assert policy.accepted() == ("unripe", "ripe")


def test_a_dear_escape_moves_the_line() -> None:
    good, bad = Costs(ACCEPT=0, DIVERT=1, UNDECIDED=0.5), Costs(ACCEPT=20, DIVERT=0, UNDECIDED=0.5)
    policy = Policy(costs={"spoiled": bad, "unripe": bad, "ripe": good}, origin="line.toml")
    assert policy.verdict({"spoiled": 0.03, "unripe": 0.0, "ripe": 0.97}) is Verdict.UNDECIDED
    assert policy.verdict({"spoiled": 0.02, "unripe": 0.0, "ripe": 0.98}) is Verdict.ACCEPT


@given(arrays(np.float64, 3, elements=st.floats(0.001, 1)), st.lists(st.floats(0, 10), min_size=9, max_size=9))
def test_no_other_verdict_would_have_cost_less(weights: np.ndarray, costs: list[float]) -> None:
    rows = [Costs(ACCEPT=a, DIVERT=d, UNDECIDED=u) for a, d, u in np.reshape(costs, (3, 3)).tolist()]
    policy = Policy(costs=dict(zip(LABELS, rows, strict=True)), origin="x")
    shares = weights / weights.sum()
    chosen = policy.verdict(dict(zip(LABELS, shares.tolist(), strict=True)))
    expected = dict(zip(Verdict, shares @ policy.table(LABELS), strict=True))
    assert expected[chosen] <= min(expected.values()) + 1e-9


def test_the_table_follows_the_order_of_labels_and_verdicts() -> None:
    table = plain().table(("ripe", "spoiled", "unripe"))
    np.testing.assert_array_equal(table, [[0, 1, 0.25], [1, 0, 0.25], [1, 0, 0.25]])
    assert list(Verdict) == ["ACCEPT", "DIVERT", "UNDECIDED"]


@pytest.mark.parametrize(("accept", "word"), [(["purple"], "purple"), (["ripe", "purple"], "purple"), ([], "no label")])
def test_a_label_that_the_model_does_not_know_cannot_be_accepted(accept: list[str], word: str) -> None:
    with pytest.raises(InputError, match=word) as caught:
        Policy.accepting(LABELS, accept)
    assert "ripe" in str(caught.value.expected)


@pytest.mark.parametrize("labels", [("spoiled", "unripe"), (*LABELS, "overripe")])
def test_a_table_must_cover_exactly_the_models_labels(labels: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=r"ripe"):
        plain().table(labels)


def test_softmax_keeps_what_large_logits_say() -> None:
    np.testing.assert_allclose(softmax(np.array([1000.0, 1001.0])), [1 / (1 + np.e), np.e / (1 + np.e)])
    np.testing.assert_allclose(log_softmax(np.array([0.0, -5000.0])), [0, -5000])


@given(logits_of_views, st.floats(0.1, 10))
def test_a_temperature_changes_confidence_and_not_the_label(logits: np.ndarray, temperature: float) -> None:
    probabilities = softmax(logits, temperature)
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1)
    np.testing.assert_allclose(probabilities, softmax(logits / temperature), rtol=1e-4)
    if temperature > 1:
        assert (probabilities.max(axis=-1) <= softmax(logits).max(axis=-1) + 1e-9).all()


@given(logits_of_views)
def test_at_rho_0_views_count_as_independent(logits: np.ndarray) -> None:
    product = np.exp(log_softmax(logits).sum(axis=0) - log_softmax(logits).sum(axis=0).max())
    np.testing.assert_allclose(fuse(logits, temperature=1, rho=0), product / product.sum(), atol=1e-9)


@given(logits_of_views)
def test_at_rho_1_many_views_say_what_their_average_says(logits: np.ndarray) -> None:
    np.testing.assert_allclose(fuse(logits, temperature=1, rho=1), softmax(log_softmax(logits).mean(axis=0)), atol=1e-9)


@given(arrays(np.float32, (1, 3), elements=st.floats(-20, 20, width=32)), st.floats(0, 1), st.floats(0.2, 5))
def test_one_view_is_its_own_probabilities_at_any_rho(view: np.ndarray, rho: float, temperature: float) -> None:
    fused = fuse(view, temperature=temperature, rho=rho)
    np.testing.assert_allclose(fused, softmax(view[0], temperature), atol=1e-9)


@given(logits_of_views, st.floats(0, 1))
def test_the_order_of_views_does_not_matter(logits: np.ndarray, rho: float) -> None:
    np.testing.assert_allclose(
        fuse(logits, temperature=1, rho=rho), fuse(logits[::-1], temperature=1, rho=rho), atol=1e-9
    )


def test_more_of_the_same_view_convinces_less_the_more_views_are_correlated() -> None:
    views = np.tile(np.array([[0.0, 0.0, 1.0]], np.float32), (10, 1))
    shares = [fuse(views, temperature=1, rho=rho)[2] for rho in (0.0, 0.3, 0.7, 1.0)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.99
    np.testing.assert_allclose(shares[-1], softmax(views[0])[2])


def test_the_evidence_of_k_views_is_that_of_the_effective_number() -> None:
    views = np.tile(np.array([[0.0, 0.5, 2.0]], np.float32), (4, 1))
    effective = 4 / (1 + 3 * 0.5)
    np.testing.assert_allclose(fuse(views, temperature=1, rho=0.5), softmax(views[0] * effective))
