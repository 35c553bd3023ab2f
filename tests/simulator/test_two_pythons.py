"""The same seed on another Python, whose OpenCV and NumPy differ: the same truth, and nearly the same light.

`RIPELINE_OTHER_PYTHON` names an interpreter with the edge extra, for example of a virtual environment with Python 3.12.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from simulator.line import open_scenario
from simulator.scenario import scenario_names

SECONDS = 3.0
FRAMES = (0, 40, 80)
LARGEST_DIFFERENCE = 4
ROOT = Path(__file__).parents[2]

_WRITE = """
import json, sys
from pathlib import Path
import cv2, numpy as np
cv2.setNumThreads(1)
from simulator.line import open_scenario
folder, seconds, frames, names = Path(sys.argv[1]), float(sys.argv[2]), json.loads(sys.argv[3]), json.loads(sys.argv[4])
for name in names:
    line = open_scenario(name, seed=6, duration_s=seconds)
    (folder / name).mkdir()
    line.write_truth(folder / name)
    stamps = line.world.shutter.stamped_ns
    np.save(folder / name / "encoder.npy", [line.encoder.count(int(time_ns)) for time_ns in stamps])
    np.save(folder / name / "stamps.npy", stamps)
    np.save(folder / name / "frames.npy", np.stack([line.camera.picture(index) for index in frames]))
"""


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    python = os.environ.get("RIPELINE_OTHER_PYTHON")
    if not python:
        pytest.skip("RIPELINE_OTHER_PYTHON names no second interpreter")
    return _written(python, tmp_path_factory.mktemp("other"))


def _written(python: str, folder: Path) -> Path:
    words = [str(folder), str(SECONDS), json.dumps(FRAMES), json.dumps(scenario_names())]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([python, "-c", _WRITE, *words], env=environment, check=True, timeout=600)
    return folder


@pytest.mark.parametrize("name", scenario_names())
def test_truth_and_encoder_are_the_same_and_frames_nearly(name: str, other: Path, tmp_path: Path) -> None:
    line = open_scenario(name, seed=6, duration_s=SECONDS)
    line.write_truth(tmp_path)
    for file in ("truth.jsonl", "scene.json"):
        assert (tmp_path / file).read_bytes() == (other / name / file).read_bytes()
    stamps = line.world.shutter.stamped_ns
    assert np.array_equal(np.load(other / name / "stamps.npy"), stamps)
    counts = [line.encoder.count(int(time_ns)) for time_ns in stamps]
    assert np.load(other / name / "encoder.npy").tolist() == counts
    theirs = np.load(other / name / "frames.npy")
    ours = np.stack([line.camera.picture(index) for index in FRAMES])
    assert np.abs(theirs.astype(int) - ours).max() <= LARGEST_DIFFERENCE
