from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import pytest

from edge_runtime.settings.config_file import load_line_config
from simulator.commissioning import CommissioningLine, open_commissioning

if TYPE_CHECKING:
    from tests.conftest import Outcome

Here = Callable[..., "Outcome"]


def test_a_simulated_line_gives_away_what_it_hides(tmp_path: Path, ripeline_here: Here) -> None:
    file, seed = tmp_path / "line.toml", 1
    done = ripeline_here("line", "commission", "--source", f"sim:commissioning?seed={seed}", "-o", file)
    hidden, config = open_commissioning(seed=seed).hidden, load_line_config(file)
    assert config.camera.delay_ms == pytest.approx(hidden.delay_ms, abs=2)
    assert config.ejector[0].at_mm == pytest.approx(hidden.at_mm, abs=1)
    assert config.ejector[0].latency_ms == pytest.approx(hidden.latency_ms, abs=6)
    assert config.encoder.mm_per_tick == pytest.approx(hidden.mm_per_tick, rel=2e-3)
    # Over the whole picture less than a millimetre.
    assert config.belt.mm_per_px is not None
    assert 720 * abs(config.belt.mm_per_px - hidden.mm_per_px) < 1
    assert config.belt.direction == "right"
    assert done.code in (0, 1)  # 1 where the paper came out too bright
    assert "<img" in (tmp_path / "line.html").read_text("utf-8")


@pytest.fixture(scope="module")
def line() -> CommissioningLine:
    return open_commissioning(seed=1)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory, line: CommissioningLine) -> Path:
    """Pictures of the first sheet's way, without an encoder."""
    folder = tmp_path_factory.mktemp("recording") / "frames"
    folder.mkdir()
    for frame in line.camera.frames():
        if frame.index >= 60:
            break
        if frame.index % 2 == 0:
            cv2.imwrite(str(folder / f"{frame.index:04d}.png"), frame.image[..., ::-1])
    return folder


def test_a_camera_alone_gets_a_scale_and_is_told_what_was_left_out(
    tmp_path: Path, ripeline_here: Here, recording: Path, line: CommissioningLine
) -> None:
    file = tmp_path / "line.toml"
    file.write_text("# ours\n[decide]\nrho = 0.5\n")
    refused = ripeline_here("line", "commission", "--source", recording, "-o", file)
    assert refused.code == 2
    assert "exists already" in refused.stderr
    assert file.read_text() == "# ours\n[decide]\nrho = 0.5\n"
    done = ripeline_here("line", "commission", "--source", recording, "-o", file, "--force", "--json")
    assert set(done.document["values"]) == {"belt.direction", "belt.mm_per_px"}
    states = {each["name"]: each["state"] for each in done.document["findings"]}
    assert states["Belt"] == "good"
    assert states["Scale"] == "good"
    assert states["Encoder"] == states["Camera delay"] == states["Ejector"] == "left out"
    config = load_line_config(file)
    assert config.decide.rho == 0.5
    assert config.belt.mm_per_px == pytest.approx(line.hidden.mm_per_px, rel=2e-3)
    assert file.read_text().startswith("# ours")


def test_with_counts_beside_the_recording_the_delay_and_a_tick_are_found(
    tmp_path: Path, ripeline_here: Here, recording: Path, line: CommissioningLine
) -> None:
    """Frame n of a folder is stamped n rows after the first; the counts are those of the frame's read, so no delay."""
    rows = [f"{n * 80_000_000},{round(7 * (line.encoder.position_mm(n * 80_000_000) or 0))}" for n in range(-2, 40)]
    counts = tmp_path / "encoder.csv"
    counts.write_text("time_ns,ticks\n" + "\n".join(rows) + "\n")
    (recording.parent / "encoder.csv").write_text(counts.read_text())
    try:
        done = ripeline_here("line", "commission", "--source", recording, "-o", tmp_path / "l.toml", "--json")
    finally:
        (recording.parent / "encoder.csv").unlink()
    assert done.document["values"]["encoder.mm_per_tick"] == pytest.approx(line.hidden.mm_per_tick / 7, rel=0.01)


def test_nothing_to_measure_writes_nothing(tmp_path: Path, ripeline_here: Here, clip_dir: Path) -> None:
    file = tmp_path / "line.toml"
    done = ripeline_here(
        "line", "commission", "--source", clip_dir / "clip.mp4", "-o", file, "--duration", "0.5", "--json"
    )
    assert done.code == 1
    assert not file.exists()
    assert done.document["values"] == {}
    assert "Lay it flat on the belt" in done.stderr
    assert "not written" in done.stderr
    page = (tmp_path / "line.html").read_text("utf-8")
    assert "Not good enough yet: scale." in page
    assert "The first picture; no marker was found" in page


def test_what_cannot_be_tried_is_refused(tmp_path: Path, ripeline_here: Here, recording: Path) -> None:
    file = tmp_path / "line.toml"
    done = ripeline_here("line", "commission", "--source", recording, "-o", file, "--ejector", 1)
    assert "has no ejector 1" in done.stderr
    file.write_text("[belt]\nmm_per_px = 1.0\n[[ejector]]\nat_mm = 200.0\n")
    done = ripeline_here("line", "commission", "--source", recording, "-o", file, "--ejector", 1, "--force")
    assert done.code == 2
    assert "live camera" in done.stderr


@pytest.mark.parametrize(
    ("source", "further", "words"),
    [
        ("sim:commissioning?x", (), "sim:commissioning?seed=3, which the sheet rides on"),
        ("sim:calm", (), "sim:commissioning?seed=3, which the sheet rides on"),
        ("sim:commissioning", ("--ejector", 2), "leave out --piece-mm and --ejector"),
        ("sim:commissioning", ("--piece-mm", 40), "leave out --piece-mm and --ejector"),
        ("sim:commissioning", ("--encoder", "encoder.csv"), "leave out --encoder"),
    ],
)
def test_what_a_simulated_line_does_not_have_is_refused_before_it_is_looked_at(
    tmp_path: Path, ripeline_here: Here, source: str, further: tuple[object, ...], words: str
) -> None:
    done = ripeline_here("line", "commission", "--source", source, "-o", tmp_path / "line.toml", *further)
    assert done.code == 2
    assert words in done.stderr
    assert "Found it" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_folders_are_made_and_a_page_of_somebody_else_is_left_alone(
    tmp_path: Path, ripeline_here: Here, recording: Path
) -> None:
    command = ("line", "commission", "--source", recording, "-o", tmp_path / "north" / "line.toml")
    page = tmp_path / "north" / "line.html"
    page.parent.mkdir()
    page.write_text("ours")
    assert f"{page} exists already" in ripeline_here(*command).stderr
    assert page.read_text() == "ours"
    page.unlink()
    page.parent.rmdir()
    assert ripeline_here(*command, "--page", tmp_path / "pages" / "line.html").code in (0, 1)
    assert load_line_config(tmp_path / "north" / "line.toml").belt.mm_per_px
    assert "<img" in (tmp_path / "pages" / "line.html").read_text("utf-8")


def test_the_sheet_is_drawn_for_the_printer(tmp_path: Path, ripeline_here: Here) -> None:
    done = ripeline_here("line", "sheet", "-o", tmp_path / "sheet.pdf", "--square-mm", 20)
    assert "156 by 140 mm" in done.stderr
    assert (tmp_path / "sheet.pdf").read_bytes().startswith(b"%PDF")
    assert ripeline_here("line", "sheet", "-o", tmp_path / "sheet.pdf").code == 2
    assert ".pdf or .png" in ripeline_here("line", "sheet", "-o", tmp_path / "sheet.docx").stderr
