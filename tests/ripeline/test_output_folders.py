"""`-o` never costs anybody their files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Outcome, Ripeline

# What a person may well have in a folder that they name by mistake; each looks like some verb's own output.
MINE = (
    "labels.txt", "manifest.csv", "manifest.json", "SHA256SUMS", "truth.jsonl", "index.html", "report.html",
    "data/photo.jpg", "ripe/photo.jpg", "package.json", "notes.txt",
)  # fmt: skip
COMMANDS = {
    "simulate dataset": ["simulate", "dataset", "OUT", "--per-class", "1"],
    "simulate clip": ["simulate", "clip", "OUT", "--seconds", "2"],
    "train": ["train", "DATA", "-o", "OUT"],
    "export": ["export", "RUN", "-o", "OUT"],
    "evaluate": ["evaluate", "BUNDLE", "DATA", "-o", "OUT"],
    "run": ["run", "BUNDLE", "--source", "CLIP", "-o", "OUT"],
    "demo": ["demo", "-o", "OUT"],
}


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    for name in MINE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def command(
    request: pytest.FixtureRequest, bundle_dir: Path, run_dir: Path, dataset_dir: Path, clip_dir: Path
) -> list[object]:
    real = {"BUNDLE": bundle_dir, "RUN": run_dir, "DATA": dataset_dir, "CLIP": clip_dir / "clip.mp4"}
    return [real.get(word, word) for word in COMMANDS[request.param]]


@pytest.mark.parametrize("command", COMMANDS, indirect=True)
def test_a_folder_that_is_not_empty_is_refused(ripeline: Ripeline, mine: Path, command: list[object]) -> None:
    outcome = ripeline(*(mine if word == "OUT" else word for word in command))
    assert outcome.code == 2
    assert str(mine) in outcome.stderr
    assert "--force" in outcome.stderr
    assert set(contents(mine)) == set(MINE)


@pytest.mark.parametrize("command", COMMANDS, indirect=True)
def test_force_leaves_alone_what_the_verb_did_not_write(ripeline: Ripeline, mine: Path, command: list[object]) -> None:
    outcome = ripeline(*(mine if word == "OUT" else word for word in command), "--force")
    assert outcome.code == 2
    assert str(mine) in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert contents(mine) == {name: name.encode() for name in MINE}


@pytest.mark.parametrize("place", ["DATA/out", "DATA/ripe/out"])
@pytest.mark.parametrize(
    "words", [["train", "DATA"], ["tune", "DATA"], ["audit", "DATA"], ["adapt", "RUN", "DATA"]], ids=lambda w: w[0]
)
def test_nothing_is_written_into_the_pictures_where_it_would_become_a_label(
    ripeline_here: Callable[..., Outcome], run_dir: Path, dataset_dir: Path, words: list[str], place: str
) -> None:
    output = Path(place.replace("DATA", str(dataset_dir)))
    before = contents(dataset_dir)
    outcome = ripeline_here(*({"RUN": run_dir, "DATA": dataset_dir}.get(word, word) for word in words), "-o", output)
    assert outcome.code == 2
    assert f"{output} lies inside the data" in outcome.stderr
    assert contents(dataset_dir) == before


def test_an_adapted_run_is_not_written_into_the_pictures_of_its_parent(
    ripeline_here: Callable[..., Outcome], run_dir: Path, dataset_dir: Path, tmp_path: Path
) -> None:
    output = dataset_dir / "run2"
    outcome = ripeline_here("adapt", run_dir, tmp_path, "-o", output, "--data", dataset_dir)
    assert outcome.code == 2
    assert f"{output} lies inside the data" in outcome.stderr


def test_a_file_is_no_folder(ripeline: Ripeline, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    outcome = ripeline("simulate", "clip", tmp_path / "file", "--force")
    assert outcome.code == 2
    assert "is a file" in outcome.stderr
    assert (tmp_path / "file").read_text() == "mine"


def test_one_verbs_output_is_not_anothers_to_replace(
    ripeline: Ripeline, tmp_path: Path, bundle: Path, clip_dir: Path
) -> None:
    before = contents(bundle)
    outcome = ripeline("run", bundle, "--source", clip_dir / "clip.mp4", "-o", bundle, "--force")
    assert outcome.code == 2
    assert contents(bundle) == before


def test_force_replaces_an_earlier_result_wholly(
    ripeline: Ripeline, tmp_path: Path, bundle_dir: Path, clip_dir: Path
) -> None:
    out = tmp_path / "out"
    words = ["run", bundle_dir, "--source", clip_dir / "clip.mp4", "-o", out]

    def written() -> set[str]:
        # How many crops look unfamiliar is a matter of the model.
        return {name for name in contents(out) if not name.startswith("unfamiliar/")}

    assert ripeline(*words, "--annotate").code == 0
    assert written() == {"decisions.jsonl", "summary.json", "annotated.mp4"}
    (out / "unfamiliar").mkdir(exist_ok=True)
    (out / "unfamiliar" / "earlier.png").touch()
    assert ripeline(*words, "--duration", 1).code == 2
    assert ripeline(*words, "--duration", 1, "--force").code == 0
    assert written() == {"decisions.jsonl", "summary.json"}
    assert "unfamiliar/earlier.png" not in contents(out)


def test_an_empty_folder_is_taken_and_missing_parents_are_made(ripeline: Ripeline, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "not" / "yet"):
        assert ripeline("simulate", "dataset", folder, "--per-class", 1, "--image-size", 32).code == 0
        assert (folder / "labels.txt").is_file()


@pytest.mark.parametrize("kind", ["dataset", "clip"])
def test_a_simulated_folder_says_how_it_was_made_and_can_be_replaced(
    ripeline: Ripeline, tmp_path: Path, kind: str
) -> None:
    folder = tmp_path / kind
    words = ["--per-class", 1, "--image-size", 32] if kind == "dataset" else ["--seconds", 3, "--fps", 5]
    for seed in (1, 2):
        assert ripeline("simulate", kind, folder, *words, "--seed", seed, "--force").code == 0
        assert json.loads((folder / f"simulated-{kind}.json").read_text())["seed"] == seed


def test_predict_overwrites_no_file_unasked(
    ripeline: Ripeline, tmp_path: Path, bundle_dir: Path, dataset_dir: Path
) -> None:
    file = tmp_path / "p.csv"
    file.write_text("mine")
    assert ripeline("predict", bundle_dir, dataset_dir / "ripe", "-o", file).code == 2
    assert file.read_text() == "mine"
    assert ripeline("predict", bundle_dir, dataset_dir / "ripe", "-o", file, "--force").code == 0
    assert file.read_text().startswith("file,label")
    assert ripeline("predict", bundle_dir, dataset_dir / "ripe", "-o", tmp_path, "--force").code == 2
