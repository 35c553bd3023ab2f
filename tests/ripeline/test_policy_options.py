from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Outcome, Ripeline

COSTS = """
[unripe]
ACCEPT = 10
DIVERT = 0
UNDECIDED = 1

[ripe]
ACCEPT = 0
DIVERT = 2
UNDECIDED = 1
"""
COST = {"ACCEPT": 3.0, "DIVERT": 2.0, "UNDECIDED": 1.0}


@pytest.fixture
def costs(tmp_path: Path) -> Path:
    path = tmp_path / "costs.toml"
    path.write_text(COSTS)
    return path


def test_evaluate_counts_what_the_verdicts_cost(
    ripeline: Ripeline, bundle_dir: Path, dataset_dir: Path, costs: Path
) -> None:
    plain = ripeline("evaluate", bundle_dir, dataset_dir, "--json")
    dear = ripeline("evaluate", bundle_dir, dataset_dir, "--costs", costs, "--json")
    turned = ripeline("evaluate", bundle_dir, dataset_dir, "--accept", "unripe", "--json")
    assert (plain.code, dear.code, turned.code) == (0, 0, 0), dear.stderr
    assert plain.document["cost"]["policy"]["costs"]["ripe"]["ACCEPT"] == 0  # the bundle's own policy
    assert turned.document["cost"]["policy"]["costs"]["ripe"]["ACCEPT"] == 1
    assert dear.document["cost"]["policy"]["costs"]["unripe"]["ACCEPT"] == 10
    assert (dear.document["cost"]["constant"], dear.document["cost"]["constant_mean"]) == ("DIVERT", 1.0)
    for outcome in (plain, dear, turned):
        cost = outcome.document["cost"]
        assert cost["mean_ci95"][0] <= cost["mean"] <= cost["mean_ci95"][1]
        assert cost["mean"] < cost["constant_mean"]
        assert sum(sum(row.values()) for row in cost["verdicts"].values()) == outcome.document["n"]
    assert "Cost a fruit" in dear.stderr


def test_a_run_and_its_bundle_are_measured_alike(
    ripeline: Ripeline, run_dir: Path, bundle_dir: Path, dataset_dir: Path
) -> None:
    run = ripeline("evaluate", run_dir, dataset_dir, "--json").document
    bundle = ripeline("evaluate", bundle_dir, dataset_dir, "--artefact", "tflite-fp32", "--json").document
    assert run["cost"]["verdicts"] == bundle["cost"]["verdicts"]
    assert run["calibrated"]["temperature"] == pytest.approx(bundle["calibrated"]["temperature"], rel=0.02)
    assert run["expected_calibration_error"] == pytest.approx(bundle["expected_calibration_error"], abs=2e-3)


def test_what_a_run_says_of_its_policy_and_of_views_goes_into_the_bundle(
    ripeline: Ripeline, run_dir: Path, dataset_dir: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(run_dir, tmp_path / "run"))
    record = json.loads((run / "run.json").read_text())
    assert record["evidence"]["view_correlation"]["origin"] == "default"  # a handful of validation fruits
    record["evidence"]["view_correlation"] |= {"rho": 0.31, "origin": "measured"}
    record["config"]["policy"] = {"accept": None, "costs": dict.fromkeys(("unripe", "ripe"), COST)}
    (run / "run.json").write_text(json.dumps(record))
    words = ["--formats", "tflite-fp32", "--data", dataset_dir]
    outcome = ripeline("export", run, "-o", tmp_path / "bundle", *words)
    assert outcome.code == 0, outcome.stderr
    assert "no --accept given" not in outcome.stderr
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert manifest["policy"] == {"costs": {"unripe": COST, "ripe": COST}, "origin": "bundle"}
    assert manifest["view_correlation"] == 0.31


@pytest.mark.parametrize("verb", ["evaluate", "export"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (COSTS.replace("unripe", "green"), "unknown green"),
        (COSTS.replace("ACCEPT = 10", "ACCEPT = -1"), "unripe.ACCEPT"),
        (COSTS + "[spoiled]\nACCEPT = 1\nDIVERT = 0\n", "spoiled.UNDECIDED is missing"),
    ],
)
def test_a_wrong_cost_table_is_refused(
    ripeline_here: Callable[..., Outcome],
    run_dir: Path,
    dataset_dir: Path,
    tmp_path: Path,
    verb: str,
    text: str,
    said: str,
) -> None:
    (tmp_path / "costs.toml").write_text(text)
    rest = [dataset_dir] if verb == "evaluate" else ["-o", tmp_path / "out", "--data", dataset_dir]
    outcome = ripeline_here(verb, run_dir, *rest, "--costs", tmp_path / "costs.toml")
    assert outcome.code == 2
    assert said in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_accept_and_costs_together_are_refused(
    ripeline_here: Callable[..., Outcome], run_dir: Path, dataset_dir: Path, costs: Path
) -> None:
    outcome = ripeline_here("evaluate", run_dir, dataset_dir, "--accept", "ripe", "--costs", costs)
    assert outcome.code == 2
    assert "contradict" in outcome.stderr
