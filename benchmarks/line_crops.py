"""Labelled pictures of simulated lines, cut by the runtime itself as `ripeline collect` does, sorted by the truth.

A user sorts such pictures by hand; here the simulator knows. What the localiser, the lens, the belt's light and the
neighbours do to a crop is in them, and so are several frames of each fruit as the line sees them.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Mapping
from pathlib import Path

from edge_runtime.collecting import Collector, Follower
from edge_runtime.records import TrackedDetection
from edge_runtime.reporters.crops import COLUMNS, CropFolder
from edge_runtime.settings.config import LineConfig
from edge_runtime.settings.vision_settings import BeltSettings
from simulator.evidence import Evidence, Row
from simulator.fruit import LABELS
from simulator.line import SimulatedLine, line_of
from simulator.matching import match
from simulator.scenario import Scenario
from simulator.world import build_world

MARGIN = 0.1
EVERY_MM = 140.0
"""Between two pictures of one fruit: two or three of each on its way through."""


def write_line_crops(folder: Path, lines: Mapping[str, Scenario], *, seed: int) -> int:
    """Write `folder/<label>/*.png`, `labels.txt` and `manifest.csv`; returns the number of pictures.

    Args:
        folder: Created if missing.
        lines: Scenarios by name, each as long as its `seconds` say.
        seed: Of the first line's fruit; each line has others.
    """
    for label in LABELS:
        (folder / label).mkdir(parents=True, exist_ok=True)
    (folder / "labels.txt").write_text("\n".join(LABELS) + "\n", "utf-8")
    kept = 0
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        manifest = csv.DictWriter(stream, ("label", *COLUMNS), lineterminator="\n")
        manifest.writeheader()
        for place, (name, scenario) in enumerate(lines.items()):
            line = line_of(build_world(scenario, seed=seed + place), name=name)
            with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
                collected, label_of = _collect(Path(scratch) / name, line, name)
                for row in collected:
                    number = row["fruit"].rpartition("-")[2]
                    if (label := label_of.get(int(number))) is not None:
                        picture, fruit = Path(scratch) / name / row["file"], f"{name}-{number}"
                        # Names that no pixel changes: what is split and shuffled by them stays as it is.
                        file = f"{label}/{fruit}-{int(row['frame']):07d}.png"
                        row |= {"label": label, "file": file, "fruit": fruit, "group": fruit}
                        picture.rename(folder / row["file"])
                        manifest.writerow(row)
                        kept += 1
    return kept


def _collect(folder: Path, line: SimulatedLine, name: str) -> tuple[list[dict[str, str]], dict[int, str]]:
    """Rows of the manifest that a line's pictures have, and the true label of each fruit that is one."""
    belt = BeltSettings(direction=line.direction, mm_per_px=line.mm_per_px, lanes=line.lanes)
    follower, seen = Follower(LineConfig(belt=belt)), dict[int, list[TrackedDetection]]()
    with CropFolder(folder, source="lines", run=name, margin=MARGIN) as crops:
        collector = Collector(crops.add, every_px=EVERY_MM / line.mm_per_px, until_decided=False)
        for frame in line.camera.frames():
            step = follower.step(frame)
            collector.on_frame(frame, step)
            for view in step.tracked:
                if not view.detection.touches_border:
                    seen.setdefault(view.fruit_id, []).append(view)
    found = match(Evidence([_as_decided(views) for views in seen.values()], line.truth(), {}, scene=line.scene()))
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return rows, {fruit_id: fruit["label"] for fruit_id, fruit in found.fruit_of.items()}


def _as_decided(views: list[TrackedDetection]) -> Row:
    """What `match` asks of a decision, of a fruit that was followed and not decided."""
    last = views[-1]
    return {
        "fruit_id": last.fruit_id,
        "position_mm": last.position_mm,
        "across_mm": last.across_mm,
        "first_frame": views[0].frame_index,
        "last_frame": last.frame_index,
        "box_px": last.detection.box.as_list(),
    }
