"""A run that is killed, again and again, in every stage, ends like one that was left alone."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.errors import InputError
from evaluation.split import Split
from tests.train.conftest import LABELS, draw_folder
from train import load_keras_model, read_run, resume_run
from train.engine import WORTH_CONVERTING
from train.journal import Journal, State

# Runs in a process of its own: starts a run or goes on with one, and is killed at an event such as "fine_tune 6", or
# just after a state such as "fine_tune-1.part.npz" was saved.
SCRIPT = """
import json, os, signal, sys
from pathlib import Path
from train import TrainConfig, journal, resume_run, train_run

journal.SAVE_EVERY_S = 0.0
config, output, moment = json.loads(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]

def tell(name):
    print(name)
    if name == moment:
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGKILL)

write = journal.Journal._write

def write_and_tell(self, name, state):
    write(self, name, state)
    tell(name)

journal.Journal._write = write_and_tell

def name_of(event):
    match type(event).__name__:
        case "Progress": return f"{event.stage} {event.done}"
        case "EpochRow": return f"{event.phase} {event.epoch}"
        case "RecipeEvent": return event.kind
    return "notice"

def watch(event):
    tell(name_of(event))

if config:
    train_run(TrainConfig.model_validate(config), output, on_event=watch)
else:
    resume_run(output, on_event=watch)
"""


def run_until(moment: str, output: Path, config: dict[str, object] | None = None) -> list[str]:
    """What the process told; it must have been killed at `moment`, or ended well if that is empty."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(config), str(output), moment],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == (-signal.SIGKILL if moment else 0), done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Three sources to hold out, caches on disk, enough views for TFLite, a backbone that has everything to learn.

    The rate is so high that the guard goes back several times before phase two holds.
    """
    data = draw_folder(tmp_path_factory.mktemp("sourced") / "data", 44)
    rows = [f"{label}/{label}_{i:03}.jpg,{'abc'[i % 3]}" for label in LABELS for i in range(44)]
    (data / "manifest.csv").write_text("\n".join(["file,source", *rows]))
    return {
        "data": str(data), "weights": "none", "size_px": 64, "epochs": 4, "fine_tune_epochs": 3, "views": 10,
        "head_rate": 1e-3, "fine_tune_at": 143, "fine_tune_rate": 1e-3, "cache_budget_mb": 0,
    }  # fmt: skip


def test_killed_in_every_stage_it_ends_with_the_same_weights_bit_for_bit(
    config: dict[str, object], tmp_path: Path
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    story = run_until("", whole, config)
    assert story.count("chosen") == story.count("kept") == 1
    assert story.count("diverged") >= 1
    used = read_run(whole).record.data.pictures
    assert (used[Split.TRAIN] + used[Split.VALIDATION]) * 10 >= WORTH_CONVERTING
    retried, tuned = (
        [name for name in story if re.fullmatch(rf"{stage}-\d\.part\.npz", name)][-1]
        for stage in ("search-143", "fine_tune")
    )
    assert retried != "search-143-0.part.npz"
    moments = ["features of train 48", "head 3", retried, "boundaries 1", tuned, "evaluate 0"]
    assert set(moments) <= set(story)

    run_until(moments[0], broken, config)
    for moment in moments[1:]:
        assert not broken.exists()
        run_until(moment, broken)
    with pytest.raises(InputError, match="no run folder"):
        read_run(broken)
    run_until("", broken)

    first, second = (load_keras_model(read_run(folder)) for folder in (whole, broken))
    for one, other in zip(first.weights, second.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    one, other = read_run(whole).record, read_run(broken).record
    assert (one.events, one.choice, one.test) == (other.events, other.choice, other.test)
    assert {path.name for path in whole.iterdir()} == {path.name for path in broken.iterdir()}
    assert {path.name for path in tmp_path.iterdir()} == {"whole", "broken"}
    with pytest.raises(InputError, match="is finished"):
        resume_run(broken)


def test_a_run_does_not_go_on_with_other_pictures(config: dict[str, object], tmp_path: Path) -> None:
    run_until("data 1", tmp_path / "RUN", config)
    victim = Path(str(config["data"])) / "red" / "red_043.jpg"
    kept = victim.read_bytes()
    victim.write_bytes((victim.parent / "red_042.jpg").read_bytes())
    try:
        with pytest.raises(InputError, match="changed since the run was started"):
            resume_run(tmp_path / "RUN")
    finally:
        victim.write_bytes(kept)
    assert (tmp_path / ".RUN.partial").is_dir()  # restore the picture, and it can still go on


def test_a_run_does_not_go_on_with_another_manifest(config: dict[str, object], tmp_path: Path) -> None:
    run_until("data 1", tmp_path / "RUN", config)
    manifest = Path(str(config["data"])) / "manifest.csv"
    kept = manifest.read_text()
    manifest.write_text(kept.replace(",a\n", ",b\n"))
    try:
        with pytest.raises(InputError, match="manifest changed since the run was started"):
            resume_run(tmp_path / "RUN")
    finally:
        manifest.write_text(kept)


def test_an_unfinished_run_of_another_version_is_refused_with_what_to_do(
    config: dict[str, object], tmp_path: Path
) -> None:
    output, folder = tmp_path / "my RUN", tmp_path / ".my RUN.partial"
    run_until("data 1", output, config)
    start, state = folder / "start.json", Journal(folder / "work")
    written, began = json.loads(start.read_text()), state.finished("start")
    assert began is not None
    for text, place in ((json.dumps(written | {"warmth": 3}), "warmth"), ("{", "the whole")):
        start.write_text(text)
        with pytest.raises(InputError, match=f"start.json, {place}") as caught:
            resume_run(output)
        assert f"-o '{output}' --force" in str(caught.value)
    start.write_text(json.dumps(written))
    state.finish("start", State(began.facts | {"Ripeline's own code": "of last year"}))
    with pytest.raises(InputError, match="Ripeline's own code changed since the run was started"):
        resume_run(output)
    (folder / "work" / "start.done.npz").write_bytes(b"PK, and then the disk was full")
    with pytest.raises(InputError, match=r"start\.done\.npz is damaged"):
        resume_run(output)


def test_a_run_killed_just_before_it_gets_its_name_is_found(config: dict[str, object], tmp_path: Path) -> None:
    run_until("", tmp_path / "RUN", config)
    (tmp_path / "RUN").rename(tmp_path / ".RUN.partial")
    assert resume_run(tmp_path / "RUN").folder == tmp_path / "RUN"
    assert not (tmp_path / ".RUN.partial").exists()
