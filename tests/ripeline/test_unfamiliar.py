"""Pictures of unfamiliar fruit are kept within a disk budget, however often a run starts again."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_runtime.pipeline import Step
from edge_runtime.records import Box, Decision, Detection, Frame, TrackedDetection, Verdict
from ripeline.run_outputs import RunOutputs
from tests.broker import wait_until
from tests.disks import hanging_disk

BUDGET_MB = 0.03


def unlike_anything(index: int) -> tuple[Frame, Step]:
    """Noise, of which a picture takes about 4.5 kB."""
    image = np.random.default_rng(index).integers(0, 256, (60, 60, 3), np.uint8)
    view = TrackedDetection(index, Detection(Box(10, 10, 32, 32), 800.0), index, index, None, None, 0)
    box, shares = [10, 10, 32, 32], {"ripe": 0.9, "unripe": 0.1}
    words = (1, index, index, index, index, None, None, 0, box, "b", "p")
    decision = Decision(index, Verdict.UNDECIDED, "ripe", shares, *words, unfamiliar=True)
    return Frame(image, index, index), Step([view], [decision], {})


def kept_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*.png"))


def test_a_run_that_starts_again_has_what_is_left_of_the_budget(tmp_path: Path) -> None:
    outputs = RunOutputs(tmp_path, "0", margin=0.1, unfamiliar_mb=BUDGET_MB)
    with outputs() as look_on:
        for index in range(3):
            look_on(*unlike_anything(index))
    first = kept_bytes(tmp_path)
    assert 0 < first < BUDGET_MB * 1e6
    for start in range(1, 5):
        with outputs(start) as look_on:
            for index in range(10 * start, 10 * start + 3):
                look_on(*unlike_anything(index))
    assert first < kept_bytes(tmp_path) <= BUDGET_MB * 1e6
    assert (tmp_path / "restart-1" / "unfamiliar" / "unsorted").is_dir()
    assert not (tmp_path / "restart-4").exists()


def test_a_live_line_does_not_wait_for_a_disk_that_hangs(tmp_path: Path) -> None:
    with hanging_disk(tmp_path / "disk") as disk:
        outputs = RunOutputs(disk.folder / "out", "0", margin=0.1, unfamiliar_mb=1.0, live=True)
        with outputs() as look_on:
            with disk.hanging():
                for index in range(100):
                    look_on(*unlike_anything(index))
                assert disk.hangs, "they were handed over meanwhile"
            wait_until(lambda: kept_bytes(disk.folder) > 0, "pictures, once it no longer hangs")
        assert len(list(disk.folder.rglob("*.png"))) < 20, "the others were left out, and no memory holds them"


def test_a_live_line_keeps_its_last_pictures(tmp_path: Path) -> None:
    with RunOutputs(tmp_path, "0", margin=0.1, unfamiliar_mb=1.0, live=True)() as look_on:
        for index in range(5):
            look_on(*unlike_anything(index))
    assert len(list(tmp_path.rglob("*.png"))) == 5
