"""The thinking of the regression gate: policy, history, ratios, JUnit. No engine, no bundle."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from edge_runtime.bundles.bundle import TRAINED_ON, Bundle, read_manifest
from edge_runtime.bundles.manifest import Result
from edge_runtime.deciding.decide import Policy
from edge_runtime.errors import BundleError, ConfigError, InputError
from evaluation.dataset import Dataset, Item
from export.check import Check, in_one_line, reasons, unseen
from export.decisions import compare_decisions
from export.gate import GatePolicy, read_gate_policy
from export.history import Entry, best, read_history, record, trend
from export.junit import Case, junit
from export.parity import FLOAT_MARGINS, Margins
from export.regression import Footprint, check_against_best, check_ratios

LABELS = ("unripe", "ripe")


def gate(tmp_path: Path, text: str) -> GatePolicy:
    file = tmp_path / "gate.toml"
    file.write_text(text, "utf-8")
    return read_gate_policy(file)


def test_a_gate_becomes_margins_and_critical_labels_have_their_own(tmp_path: Path) -> None:
    policy = gate(tmp_path, "[margins]\naccuracy = 0.005\n[critical]\nripe = 0.02\n[largest_ratio]\nlatency = 1.5\n")
    assert policy.allowed(LABELS) == Margins(accuracy=0.005, recall=0.05, agreement=0.0, critical={"ripe": 0.02})
    assert (policy.largest_ratio.latency, policy.largest_ratio.size) == (1.5, None)
    assert gate(tmp_path, "") == GatePolicy()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[margin]\naccuracy = 0.1", "margin"),
        ("[margins]\nacuracy = 0.1", "margins.acuracy"),
        ("[margins]\naccuracy = '1 %'", "margins.accuracy"),
        ("[largest_ratio]\nlatency = -1", "largest_ratio.latency"),
        ("[margins", "gate.toml"),
    ],
)
def test_a_wrong_gate_is_refused_with_the_place(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        gate(tmp_path, text)


def test_a_critical_label_must_exist_and_its_margin_be_a_share(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="rotten"):
        gate(tmp_path, "[critical]\nrotten = 0.02").allowed(LABELS)
    with pytest.raises(ConfigError, match="share"):
        gate(tmp_path, "[critical]\nripe = 2.0").allowed(LABELS)


def test_ratios_beyond_the_gate_say_no_and_others_are_told() -> None:
    old, new = Footprint("e", 1.0, 2.0, 50.0), Footprint("e", 1.6, 2.0, 60.0)
    free = check_ratios("a", new, old, GatePolicy())
    assert free.result is Result.PASS
    assert "latency x1.60" in free.reason
    strict = check_ratios("a", new, old, GatePolicy.model_validate({"largest_ratio": {"latency": 1.5, "memory": 1.3}}))
    assert strict.result is Result.FAIL
    assert strict.reason == "latency is 1.60 times the baseline's, 1.5 at most"


def test_a_gate_tightens_the_margins_of_parity_and_never_loosens_them() -> None:
    gate = GatePolicy.model_validate({"margins": {"accuracy": 0.002, "recall": 0.2}, "critical": {"ripe": 0.03}})
    found = FLOAT_MARGINS.tightened(gate.allowed(LABELS), LABELS)
    assert (found.accuracy, found.critical) == (0.002, {"unripe": 0.05, "ripe": 0.03})
    assert (found.agreement, found.probability) == (FLOAT_MARGINS.agreement, FLOAT_MARGINS.probability)


def test_pictures_that_a_bundle_learned_from_are_left_out(made_bundle: Path, tmp_path: Path) -> None:
    """Whichever of them it was."""
    data, manifest = dataset(4), read_manifest(made_bundle)
    bundles = []
    for name, known in (("new", data.items[:1]), ("old", data.items[:2])):
        (tmp_path / name).mkdir()
        (tmp_path / name / TRAINED_ON).write_text("".join(f"{item.sha256}\n" for item in known))
        bundles.append(Bundle(tmp_path / name, manifest))
    found = unseen(data, bundles)
    assert found.items == data.items[2:]
    assert found.notices == ("2 of 4 pictures are left out: one of the bundles learned from them.",)
    assert unseen(found, bundles) == found
    with pytest.raises(InputError, match="learned from every picture"):
        unseen(dataset(2), bundles)
    (tmp_path / "old" / TRAINED_ON).unlink()
    with pytest.raises(BundleError, match="does not say what it was trained on"):
        unseen(data, bundles)


def dataset(n: int) -> Dataset:
    items = [
        Item(path=Path(f"{i}.jpg"), file=f"{i}.jpg", sha256=f"{i * 7919 % 10007:05d}", box=None,
             label=LABELS[i % 2], group=str(i))
        for i in range(n)
    ]  # fmt: skip
    return Dataset(Path(), LABELS, tuple(items), (), 0, ())


def line(name: str, right: np.ndarray, result: Result = Result.PASS, pictures: str = "x") -> Entry:
    return Entry(
        bundle_id=name, created="2026-01-01T00:00:00+00:00", result=result, refused=result is Result.FAIL,
        labels=LABELS, artefact="tflite-int8", n=len(right), accuracy=float(right.mean()), recall={"ripe": 1.0},
        bytes=1, p50_ms=1.0, pictures=pictures,
        right="".join("1" if one else "0" for one in right),
    )  # fmt: skip


def test_history_keeps_every_line_and_refuses_a_broken_one(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    assert read_history(file) == []
    lines = [line("a", np.ones(4, bool)), line("b", np.array([True, False, True, True]))]
    for one in lines:
        record(file, one)
    assert read_history(file) == lines
    assert lines[1].was_right().tolist() == [True, False, True, True]
    file.write_text(file.read_text() + "{}\n")
    with pytest.raises(InputError, match="line 3"):
        read_history(file)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"right": "101"}, "3 answers for 4 pictures"), ({"result": "FAIL"}, "not refused"), ({"right": "1012"}, "right")],
)
def test_a_line_that_contradicts_itself_is_refused(tmp_path: Path, change: dict[str, str], said: str) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text(json.dumps(line("a", np.ones(4, bool)).model_dump(mode="json") | change) + "\n")
    with pytest.raises(InputError, match=r"line 1 is no entry.*" + said):
        read_history(file)


def test_what_a_gate_said_no_to_is_never_the_best() -> None:
    """An INCONCLUSIVE is one where the gate was strict, and none where it was not."""
    perfect = line("perfect", np.ones(10, bool))
    new = line("new", np.arange(10) > 0)
    for result, strict, refused in [
        (Result.PASS, True, False),
        (Result.INCONCLUSIVE, False, False),
        (Result.INCONCLUSIVE, True, True),
        (Result.FAIL, False, True),
    ]:
        entry = perfect.concluded(result, strict=strict)
        assert (entry.result, entry.refused) == (result, refused)
        assert (best([entry], new) is None) == refused


def test_best_is_the_most_accurate_that_passed_on_the_same_pictures() -> None:
    good, fair = np.arange(10) > 0, np.arange(10) > 1
    new = line("new", fair)
    entries = [
        line("fair", fair),
        line("good", good),
        line("refused", np.ones(10, bool), Result.FAIL),
        line("elsewhere", np.ones(10, bool), pictures="y"),
        line("new", np.ones(10, bool)),
    ]
    found = best(entries, new)
    assert found is not None
    assert found.bundle_id == "good"
    assert best(entries[2:], new) is None


def test_a_slow_slide_is_stopped_by_the_best_though_each_step_is_small() -> None:
    """Ten releases, each half a point worse than the last: every step within the margin, the sum is not."""
    data, n = dataset(2000), 2000
    releases = [line(str(step), np.arange(n) >= 10 * step) for step in range(8)]
    for last, new in pairwise(releases):
        assert check_against_best(new, last, data, Margins()).result is not Result.FAIL
    top = best(releases[:-1], releases[-1])
    assert top is releases[0]
    stopped = check_against_best(releases[-1], top, data, Margins())
    assert stopped.result is Result.FAIL
    assert "accuracy -3.50%" in stopped.reason


def test_the_trend_shows_the_bundles_of_the_same_pictures() -> None:
    entries = [line("a", np.ones(4, bool), pictures="y"), line("b", np.ones(4, bool)), line("c", np.zeros(4, bool))]
    axes = trend(entries).axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["b", "c"]
    accuracy = next(one for one in axes.get_lines() if one.get_label() == "accuracy")
    assert list(accuracy.get_ydata()) == [100, 0]


def test_junit_counts_and_strict_makes_inconclusive_a_failure() -> None:
    cases = [
        Case("self-test", "a on e", Result.PASS),
        Case("parity", "a & b <on> e", Result.FAIL, 'recall of "ripe" -9 %'),
        Case("parity", "c on e", Result.INCONCLUSIVE, "too few"),
    ]
    loose, strict = (ElementTree.fromstring(junit("check", cases, strict=one)) for one in (False, True))
    counts = ("tests", "failures", "skipped")
    assert [loose.get(name) for name in counts] == ["3", "1", "1"]
    assert [strict.get(name) for name in counts] == ["3", "2", "0"]
    assert "recall of" in (loose[1][0].get("message") or "")
    assert [child.tag for case in loose for child in case] == ["failure", "skipped"]


def test_what_failed_is_told_first_and_the_same_of_several_once() -> None:
    checks = [
        Check("ratios", "a", "e", Result.PASS, "latency x1.00"),
        Check("parity", "a", "e", Result.INCONCLUSIVE, "too few"),
        Check("parity", "a", "f", Result.INCONCLUSIVE, "too few"),
        Check("parity", "b", "e", Result.PASS),
        Check("parity", "b", "f", Result.FAIL, "recall"),
    ]
    assert list(reasons(checks).items()) == [
        ("parity: b on f: recall", Result.FAIL),
        ("parity: a on e and 1 more: too few", Result.INCONCLUSIVE),
        ("ratios: a on e: latency x1.00", Result.PASS),
    ]


def test_the_reason_for_a_log_is_one_line() -> None:
    assert in_one_line(["a\nb", "c", "d"]) == "a b (and 2 more)"


def logits(certainty: list[float]) -> np.ndarray:
    """Of two labels, with this probability of the second."""
    share = np.array(certainty)
    return np.stack([np.log(1 - share), np.log(share)], axis=1).astype(np.float32)


def test_decisions_are_counted_by_kind_and_cost() -> None:
    policy, truth = Policy.accepting(LABELS, ["ripe"]), np.array([1, 1, 0, 0, 1, 0])
    before = logits([0.9, 0.9, 0.1, 0.1, 0.5, 0.5])
    now = logits([0.1, 0.9, 0.9, 0.1, 0.9, 0.5])  # a good one diverted, a bad one accepted, one no longer undecided
    found = compare_decisions(policy, LABELS, truth, before, now)
    assert found is not None
    assert (found.flips, found.good_to_diverted, found.bad_to_accepted) == (pytest.approx(3 / 6), 1, 1)
    assert found.abstention == pytest.approx(-1 / 6)
    assert found.cost == pytest.approx((1 + 1 - 0.25) / 6)
    assert found.cost_ci95[0] < found.cost < found.cost_ci95[1]
    same = compare_decisions(policy, LABELS, truth, before, before)
    assert same is not None
    assert (same.flips, same.cost, same.calibration) == (0, 0, 0)
    assert same.cost_ci95[0] < 0 < same.cost_ci95[1], "no flip of six pictures proves little"


def test_decisions_are_judged_under_each_side_s_own_temperature() -> None:
    policy, truth, sharp = Policy.accepting(LABELS, ["ripe"]), np.array([1, 0]), logits([0.95, 0.05])
    found = compare_decisions(policy, LABELS, truth, sharp, sharp * 3, temperatures=(1.0, 3.0))
    assert found is not None
    assert found.flips == 0
    assert found.calibration == pytest.approx(0, abs=1e-6)


def test_there_are_no_decisions_of_outputs_that_are_no_numbers() -> None:
    policy, truth = Policy.accepting(LABELS, ["ripe"]), np.array([1])
    assert compare_decisions(policy, LABELS, truth, logits([0.9]), np.full((1, 2), np.nan, np.float32)) is None
