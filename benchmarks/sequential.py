"""What does it cost to stop looking early?

The frames of each scenario go to two pipelines at once: one stops looking at a fruit when further views would not pay,
as it ships, the other looks at every view up to `decide_at`. Both are scored against the truth. The difference in cost
is of the fruit that both found, in pairs, with the 95 % interval of its mean. `promised` is the error that the
probabilities at the stop expect. Scenarios are as dense as in the long form of `line_truth.py`.

    python benchmarks/sequential.py [--bundle BUNDLE] [--fruit N] [--quick] [--json]
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from line_jobs import LONG_FORM_HZ, SEED, as_toml, dense, simulated_bundle
from line_truth import in_columns
from record import arguments, publish

from edge_runtime.bundles.bundle import Bundle, open_bundle
from edge_runtime.bundles.select import Selection, select_engine
from edge_runtime.pipeline import Pipeline
from edge_runtime.records import Decision
from edge_runtime.settings.config import LineConfig
from edge_runtime.settings.decision_settings import DecideSettings
from edge_runtime.settings.vision_settings import BeltSettings
from simulator.evidence import Evidence
from simulator.line import SimulatedLine, line_of
from simulator.line_score import score
from simulator.matching import Matched, match, strokes
from simulator.scenario import load_scenario, parse_scenario, scenario_names
from simulator.world import build_world

FEWER_BAR = 0.3


def main() -> None:
    """Run, compare, publish."""
    options = arguments(
        __doc__ or "",
        ("--bundle", {"type": Path, "help": "default: one made now from simulated fruit"}),
        ("--fruit", {"type": int, "default": 300, "help": "of each scenario, about"}),
    )
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as scratch:
        bundle = open_bundle(options.bundle or simulated_bundle(Path(scratch), quick=options.quick))
        chosen, rows = select_engine(bundle), []
        for name in scenario_names():
            rows.append(compare(bundle, chosen, name, 20 if options.quick else options.fruit))
            print(f"{name} done", file=sys.stderr, flush=True)
    rho = bundle.manifest.provenance.get("view_correlation")
    publish("sequential", {"seed": SEED, "fewer_bar": FEWER_BAR, "rho": rho, "rows": rows}, table(rows), options)


class Looks:
    """An engine that counts its inferences, behind a pipeline of its own and the decisions that came out."""

    def __init__(self, bundle: Bundle, chosen: Selection, line: SimulatedLine, decide: DecideSettings) -> None:
        belt = BeltSettings(direction=line.direction, mm_per_px=line.mm_per_px, lanes=line.lanes)
        self.name, self._engine, self.inferences = chosen.engine.name, chosen.engine, 0
        self.pipeline = Pipeline(
            bundle.manifest,
            self,
            chosen.temperature,
            bundle.manifest.policy,
            LineConfig(belt=belt, decide=decide),
            chosen.energy_limit,
        )
        self.decisions: list[Decision] = []

    def logits(self, inputs: Any) -> Any:
        """See `edge_runtime.ports.Engine`."""
        self.inferences += len(inputs)
        return self._engine.logits(inputs)


def compare(bundle: Bundle, chosen: Selection, name: str, fruit: int) -> dict[str, Any]:
    """One scenario, both ways."""
    denser, seconds = dense(load_scenario(name), fruit)
    changes = {"fruit": denser, "camera": {"frame_rate_hz": LONG_FORM_HZ}}
    scenario = parse_scenario(as_toml(name, changes), name).model_copy(update={"seconds": seconds})
    line = line_of(build_world(scenario, seed=SEED), name=name)
    ways = {
        "stopped": Looks(bundle, chosen, line, DecideSettings()),
        "all_views": Looks(bundle, chosen, line, DecideSettings(view_cost=0.0)),
    }
    last_ns = 0
    for frame in line.camera.frames():
        last_ns = frame.captured_ns
        for way in ways.values():
            way.decisions += way.pipeline.step(frame).decisions
    for way in ways.values():
        way.decisions += way.pipeline.finish(last_ns)
    policy = bundle.manifest.policy
    costs = {label: one.model_dump() for label, one in policy.costs.items()}
    truth, scene = line.truth(), line.scene()
    row: dict[str, Any] = {"scenario": name}
    matched = {}
    for key, way in ways.items():
        evidence = Evidence([asdict(one) for one in way.decisions], truth, {"costs": costs}, scene=scene)
        matched[key] = match(evidence)
        grading = score(evidence, matched[key], strokes(evidence, matched[key]), accepted=policy.accepted())["grading"]
        error = 1 - grading["accuracy"]["share"]
        row[key] = {
            "inferences": way.inferences,
            "fruit": grading["accuracy"]["n"],
            "cost": grading["cost"]["mean"],
            "error": round(error, 6),
            "promised_error": grading["promised_error"]["mean"],
        }
    row["fewer"] = round(1 - row["stopped"]["inferences"] / row["all_views"]["inferences"], 4)
    row["dearer"] = paired(*(fruit_costs(matched[key], costs) for key in ("stopped", "all_views")))
    return row


def fruit_costs(matched: Matched, costs: dict[str, dict[str, float]]) -> dict[int, float]:
    """What the verdict about each found fruit cost."""
    return {
        one.truth["fruit_id"]: costs[one.truth["label"]][one.decision["verdict"]]
        for one in matched.outcomes
        if one.decision is not None
    }


def paired(ones: dict[int, float], others: dict[int, float]) -> dict[str, Any]:
    """Mean difference over the fruit in both, with its interval."""
    differences = np.array([ones[fruit] - others[fruit] for fruit in ones.keys() & others.keys()])
    mean, half = float(differences.mean()), 1.96 * float(differences.std(ddof=1)) / len(differences) ** 0.5
    return {"mean": round(mean, 5), "n": len(differences), "ci95": [round(mean - half, 5), round(mean + half, 5)]}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """For a terminal."""
    lines = [["scenario", "fruit", "looks", "of", "fewer", "cost", "all views", "dearer by", "error", "promised"]]
    for one in rows:
        stopped, every, dearer = one["stopped"], one["all_views"], one["dearer"]
        lines.append(
            [
                one["scenario"],
                str(dearer["n"]),
                str(stopped["inferences"]),
                str(every["inferences"]),
                f"{one['fewer']:.0%}",
                f"{stopped['cost']:.4f}",
                f"{every['cost']:.4f}",
                f"{dearer['mean']:+.4f} ({dearer['ci95'][0]:+.4f} to {dearer['ci95'][1]:+.4f})",
                f"{stopped['error']:.3f}",
                f"{stopped['promised_error']:.3f}",
            ]
        )
    return in_columns(lines)


if __name__ == "__main__":
    main()
