"""A person's own mistake: exit code 2, the name of what is wrong, what to do, and never a traceback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from edge_runtime.cameras import open_camera

if TYPE_CHECKING:
    from tests.conftest import Outcome, Ripeline

Seal = Callable[[Path], None]


def assert_refused(outcome: Outcome, *said: object) -> None:
    assert outcome.code == 2, outcome.stderr
    for words in said:
        assert str(words) in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert outcome.stdout == ""


def picture(file: Path, seed: int = 0, shape: tuple[int, ...] = (48, 48, 3)) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 60, shape)
    assert cv2.imwrite(str(file), (noise + 40 * (seed % 5)).astype(np.uint8))
    return file


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six pictures of each of two labels."""
    for label in ("unripe", "ripe"):
        for i in range(6):
            picture(tmp_path / "photos" / label / f"{i}.jpg", seed=i + 10 * (label == "ripe"))
    return tmp_path / "photos"


@pytest.mark.parametrize(
    "words",
    [
        ["train", "NOWHERE", "-o", "OUT"],
        ["evaluate", "BUNDLE", "NOWHERE"],
        ["evaluate", "NOWHERE", "DATA"],
        ["predict", "BUNDLE", "NOWHERE", "-o", "OUT"],
        ["export", "NOWHERE", "-o", "OUT"],
        ["export", "RUN", "-o", "OUT", "--data", "NOWHERE"],
        ["check", "NOWHERE"],
        ["check", "BUNDLE", "NOWHERE"],
        ["check", "BUNDLE", "DATA", "--baseline", "NOWHERE"],
        ["check", "BUNDLE", "DATA", "--run", "NOWHERE"],
        ["run", "NOWHERE", "--source", "CLIP", "-o", "OUT"],
        ["run", "BUNDLE", "--source", "NOWHERE", "-o", "OUT"],
        ["run", "BUNDLE", "--source", "CLIP", "--config", "NOWHERE", "-o", "OUT"],
        ["run", "BUNDLE", "--source", "CLIP", "--encoder", "NOWHERE", "-o", "OUT"],
        ["simulate", "clip", "OUT", "--fruit-images", "NOWHERE"],
    ],
    ids=" ".join,
)
def test_what_is_not_there_is_named(
    ripeline: Ripeline, tmp_path: Path, words: list[str],
    bundle_dir: Path, run_dir: Path, dataset_dir: Path, clip_dir: Path,
) -> None:  # fmt: skip
    real = {
        "NOWHERE": tmp_path / "nowhere", "OUT": tmp_path / "out", "BUNDLE": bundle_dir, "RUN": run_dir,
        "DATA": dataset_dir, "CLIP": clip_dir / "clip.mp4",
    }  # fmt: skip
    assert_refused(ripeline(*(real.get(word, word) for word in words)), tmp_path / "nowhere")
    assert not (tmp_path / "out" / "decisions.jsonl").exists()


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (lambda photos: shutil.rmtree(photos / "unripe"), [], "only the label ripe"),
        (lambda photos: [file.unlink() for file in (photos / "unripe").iterdir()], [], "unripe"),
        (lambda photos: [file.write_text("no") for file in (photos / "unripe").iterdir()], [], "unripe"),
        (str, ["--labels", "unripe,overripe"], "overripe"),
        (str, ["--labels", "ripe"], "only the label ripe"),
        (str, ["--weights", "nowhere.weights.h5"], "nowhere.weights.h5"),
        (str, ["--alpha", "0.4"], "0.4"),
        (str, ["--image-size", "5"], "image-size"),
    ],
    ids=["one class", "empty class", "no picture is one", "unknown label", "one label", "weights", "width", "size"],
)
def test_pictures_and_settings_that_cannot_train_are_refused(
    ripeline_here: Ripeline,
    photos: Path,
    tmp_path: Path,
    change: Callable[[Path], object],
    options: list[str],
    said: str,
) -> None:
    change(photos)
    assert_refused(ripeline_here("train", photos, "-o", tmp_path / "run", *options), said)
    assert not (tmp_path / "run").exists()


def test_odd_pictures_are_left_out_with_a_notice_or_understood(
    ripeline: Ripeline, photos: Path, tmp_path: Path
) -> None:
    whole = (photos / "ripe" / "0.jpg").read_bytes()
    (photos / "ripe" / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "ripe" / "text.jpg").write_text("This is not a picture.")
    (photos / "unripe" / "empty.jpg").write_bytes(b"")
    picture(photos / "unripe" / "alpha.png", 21, (48, 48, 4))
    picture(photos / "unripe" / "grey.jpg", 22, (48, 48))
    picture(photos / "ripe" / "deep.png", 23)
    options = ["--weights", "none", "--image-size", 32, "--epochs", 1, "--fine-tune-epochs", 0, "--json"]
    outcome = ripeline("train", photos, "-o", tmp_path / "run", *options)
    assert outcome.code == 0, outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert "3 files damaged or no picture, left out" in outcome.stderr
    for name in ("ripe/truncated.jpg", "ripe/text.jpg", "unripe/empty.jpg"):
        assert name in outcome.stderr
    used = (tmp_path / "run" / "splits.csv").read_text("utf-8")
    for name in ("unripe/alpha.png", "unripe/grey.jpg", "ripe/deep.png"):
        assert name in used
    assert "truncated" not in used


def test_odd_pictures_do_not_stop_a_prediction(
    ripeline: Ripeline, photos: Path, tmp_path: Path, bundle_dir: Path
) -> None:
    (photos / "ripe" / "text.jpg").write_text("This is not a picture.")
    picture(photos / "unripe" / "alpha.png", 21, (48, 48, 4))
    picture(photos / "unripe" / "grey.png", 22, (30, 60))
    outcome = ripeline("predict", bundle_dir, photos, "-o", tmp_path / "p.csv", "--json")
    assert outcome.code == 0
    assert outcome.document["n"] == 14
    assert outcome.document["unreadable"] == ["ripe/text.jpg"]
    assert "ripe/text.jpg" in outcome.stderr


def test_a_folder_without_a_known_label_is_refused(ripeline: Ripeline, tmp_path: Path, bundle_dir: Path) -> None:
    picture(tmp_path / "photos" / "banana" / "1.jpg")
    for words in (["evaluate", bundle_dir], ["check", bundle_dir]):
        assert_refused(ripeline(*words, tmp_path / "photos"), tmp_path / "photos", "unripe, ripe")


@pytest.mark.parametrize("name", ["tflite-int8.tflite", "measured.json", "golden.npz"])
def test_a_bundle_with_one_changed_byte_is_refused_everywhere(
    ripeline: Ripeline, bundle: Path, name: str, dataset_dir: Path, clip_dir: Path, tmp_path: Path
) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 0x10
    (bundle / name).write_bytes(content)
    assert_refused(ripeline("run", bundle, "--source", clip_dir / "clip.mp4", "-o", tmp_path / "out"), bundle, name)
    assert_refused(ripeline("evaluate", bundle, dataset_dir), bundle, name)
    assert not (tmp_path / "out").exists()
    check = ripeline("check", bundle, "--json")
    assert check.code == 1
    assert check.document["result"] == "FAIL"
    assert name in check.document["reasons"][0]


def test_a_rejected_bundle_does_not_run_and_its_check_says_no(
    ripeline: Ripeline, bundle: Path, seal: Seal, clip_dir: Path, tmp_path: Path
) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
    (bundle / "manifest.json").write_text(json.dumps(manifest | {"result": "FAIL"}), "utf-8")
    seal(bundle)
    outcome = ripeline("run", bundle, "--source", clip_dir / "clip.mp4", "-o", tmp_path / "out")
    assert_refused(outcome, bundle, "rejected", "parity.html")
    report = tmp_path / "junit.xml"
    check = ripeline("check", bundle, "--junit", report, "--json")
    assert check.code == 1
    assert "rejected" in check.document["reasons"][0]
    assert 'classname="parity when exported"' in report.read_text("utf-8")


def test_an_inconclusive_bundle_runs_with_a_notice(
    ripeline: Ripeline, bundle: Path, seal: Seal, clip_dir: Path, tmp_path: Path
) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
    (bundle / "manifest.json").write_text(json.dumps(manifest | {"result": "INCONCLUSIVE"}), "utf-8")
    seal(bundle)
    outcome = ripeline("run", bundle, "--source", clip_dir / "clip.mp4", "-o", tmp_path / "out")
    assert outcome.code == 0
    assert "INCONCLUSIVE" in outcome.stderr


def test_a_video_without_its_end_cannot_be_opened_and_is_named(
    ripeline: Ripeline, bundle_dir: Path, clip_dir: Path, tmp_path: Path
) -> None:
    content = (clip_dir / "clip.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) // 2])
    outcome = ripeline("run", bundle_dir, "--source", tmp_path / "cut.mp4", "-o", tmp_path / "out")
    assert_refused(outcome, tmp_path / "cut.mp4", "cut off")


def test_a_video_that_ends_early_is_decided_as_far_as_it_goes(
    ripeline: Ripeline, bundle_dir: Path, clip_dir: Path, tmp_path: Path
) -> None:
    clip = tmp_path / "clip.avi"
    frames = [frame.image for frame in open_camera(str(clip_dir / "clip.mp4")).frames()]
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"MJPG"), 30, (width, height))
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    content = clip.read_bytes()
    clip.write_bytes(content[: len(content) * 6 // 10])
    outcome = ripeline("run", bundle_dir, "--source", clip, "-o", tmp_path / "out", "--json")
    assert outcome.code == 0, outcome.stderr
    assert f"of {len(frames)} frames" in outcome.stderr
    assert str(clip) in outcome.document["notices"][0]
    assert len(frames) // 3 < outcome.document["frames"]["processed"] < len(frames)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("97", "97"),
        ("gopher://belt/1", "gopher://belt/1"),
        ("sim:nothing", "calm"),
        ("http://127.0.0.1:9/video.mjpg", "127.0.0.1:9"),
        ("rtsp://user:secret@127.0.0.1:9/stream", "user:***@127.0.0.1:9"),
        ("TEXT", "clip.mp4"),
        ("EMPTY", "no pictures"),
    ],
)
@pytest.mark.usefixtures("the_line")
def test_a_source_that_gives_no_pictures_is_named(
    ripeline: Ripeline, bundle_dir: Path, tmp_path: Path, source: str, said: str
) -> None:
    (tmp_path / "clip.mp4").write_text("not a video")
    (tmp_path / "empty").mkdir()
    real = {"TEXT": tmp_path / "clip.mp4", "EMPTY": tmp_path / "empty"}
    outcome = ripeline("run", bundle_dir, "--source", real.get(source, source), "-o", tmp_path / "out")
    assert_refused(outcome, said)
    assert "secret" not in outcome.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("source", "said"), [("sim:clam", "calm, "), ("sim:calm?seed=1&seed=2", "twice")])
def test_a_simulated_line_that_there_is_not_is_told_before_engines_are_measured(
    ripeline: Ripeline, bundle_dir: Path, tmp_path: Path, source: str, said: str
) -> None:
    outcome = ripeline("run", bundle_dir, "--source", source, "-o", tmp_path / "out")
    assert_refused(outcome, said)
    assert ", bundle " not in outcome.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[belt\n", "line.toml"),
        ("[belt]\nmm_per_pixel = 0.4\n", "mm_per_px"),
        ("[decide]\ndecide_at = 2\n", "decide_at"),
        ('[policy]\naccept = ["golden"]\n', "golden"),
        ("[policy.costs.ripe]\nACCEPT = 0\nDIVERT = 1\nUNDECIDED = 0.5\n", "unripe"),
    ],
)
def test_a_wrong_line_toml_is_explained(
    ripeline: Ripeline, bundle_dir: Path, clip_dir: Path, tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "line.toml").write_text(text)
    words = ["run", bundle_dir, "--source", clip_dir / "clip.mp4", "-o", tmp_path / "out"]
    assert_refused(ripeline(*words, "--config", tmp_path / "line.toml"), said)
    assert not (tmp_path / "out").exists()


def test_the_cost_table_of_line_toml_decides_and_is_named(
    ripeline: Ripeline, bundle_dir: Path, clip_dir: Path, tmp_path: Path
) -> None:
    costs = "".join(f"[policy.costs.{label}]\nACCEPT = 1\nDIVERT = 1\nUNDECIDED = 0\n" for label in ("unripe", "ripe"))
    (tmp_path / "line.toml").write_text(costs)
    words = ["run", bundle_dir, "--source", clip_dir / "clip.mp4", "-o", tmp_path / "out", "--json"]
    document = ripeline(*words, "--config", tmp_path / "line.toml").document
    assert document["policy"] == str(tmp_path / "line.toml")
    assert document["verdicts"] == {"ACCEPT": 0, "DIVERT": 0, "UNDECIDED": document["fruits"]}
    assert document["fruits"] > 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--engine", "tensorrt"], "ai-edge-litert"),
        (["--artefact", "tflite-int4"], "tflite-int8"),
        (["--artefact", "onnx-fp32", "--engine", "tflite-runtime"], "onnxruntime"),
    ],
)
def test_an_engine_or_artefact_that_is_not_there_is_answered_with_what_is(
    ripeline: Ripeline, bundle_dir: Path, clip_dir: Path, tmp_path: Path, options: list[str], said: str
) -> None:
    words = ["run", bundle_dir, "--source", clip_dir / "clip.mp4", "-o", tmp_path / "out"]
    assert_refused(ripeline(*words, *options), said)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--accept", "golden"], "unripe, ripe"),
        (["--accept", ","], "accepts no label"),
        (["--formats", "tflite-int4"], "tflite-int8"),
    ],
)
def test_export_refuses_what_it_does_not_know(
    ripeline: Ripeline, run_dir: Path, tmp_path: Path, options: list[str], said: str
) -> None:
    assert_refused(ripeline("export", run_dir, "-o", tmp_path / "b", *options), said)
    assert not (tmp_path / "b").exists()


def test_the_parts_of_a_run_that_are_lost_are_named(ripeline: Ripeline, run_dir: Path, tmp_path: Path) -> None:
    for name in ("run.json", "model.keras", "splits.csv"):
        run = Path(shutil.copytree(run_dir, tmp_path / name))
        (run / name).unlink()
        assert_refused(ripeline("export", run, "-o", tmp_path / "b"), run, name)
    (run / "splits.csv").write_text("file\nx\n")
    assert_refused(ripeline("export", run, "-o", tmp_path / "b"), run, "splits.csv")


def test_options_of_bundles_do_not_apply_to_runs(ripeline: Ripeline, run_dir: Path, dataset_dir: Path) -> None:
    assert_refused(ripeline("evaluate", run_dir, dataset_dir, "--engine", "onnxruntime"), run_dir, "bundle")


def test_comparing_without_pictures_is_refused(ripeline: Ripeline, bundle_dir: Path) -> None:
    assert_refused(ripeline("check", bundle_dir, "--baseline", bundle_dir), "--baseline")
