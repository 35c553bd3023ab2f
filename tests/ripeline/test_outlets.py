"""More outlets than good and bad, by `line.toml`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Ripeline

TWO = """[belt]
mm_per_px = 0.4
[[ejector]]
at_mm = 200.0
labels = ["unripe"]
[[ejector]]
at_mm = 320.0
verdicts = ["ACCEPT", "DIVERT", "UNDECIDED"]
labels = ["ripe"]
"""


def test_each_label_goes_out_at_its_own_outlet(ripeline: Ripeline, bundle_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "line.toml").write_text(TWO)
    source = ("--source", "sim:calm?seed=2", "--config", tmp_path / "line.toml", "--duration", 12)
    done = ripeline("run", bundle_dir, *source, "-o", tmp_path / "out", "--trace", "--artefact", "tflite-fp32")
    assert done.code == 0, done.stderr
    rows = {
        name: [json.loads(line) for line in (tmp_path / "out" / f"{name}.jsonl").read_text("utf-8").splitlines()]
        for name in ("decisions", "firings")
    }
    outlet = {row["fruit_id"]: ("unripe", "ripe").index(row["label"]) for row in rows["decisions"]}
    assert set(outlet.values()) == {0, 1}
    fired = [row for row in rows["firings"] if row["reason"] is None]
    assert {row["ejector"] for row in fired} == {0, 1}
    assert all(outlet[row["fruit_id"]] == row["ejector"] for row in rows["firings"])


def test_an_outlet_for_a_label_that_no_fruit_can_get_is_refused(
    ripeline: Ripeline, bundle_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "line.toml").write_text(TWO.replace('["unripe"]', '["unripe", "mouldy"]'))
    source = ("--source", "sim:calm", "--config", tmp_path / "line.toml")
    done = ripeline("run", bundle_dir, *source, "-o", tmp_path / "out")
    assert done.code == 2
    assert "takes mouldy: the model knows none such" in done.stderr
    assert "labels out of unripe, ripe" in done.stderr
    assert not (tmp_path / "out").exists()
