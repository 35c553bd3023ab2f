from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.errors import InputError, RipelineError
from edge_runtime.journaling.journal_facts import FACTS, write_facts
from edge_runtime.monitoring.health import CameraFacts, LineFacts, ProcessFacts, SceneFacts
from edge_runtime.monitoring.health_server import HealthServer, ask, running_lines
from edge_runtime.monitoring.scene_watch import SceneReporter, SceneWatch, measure_scene, read_scene
from edge_runtime.records import Image
from simulator.line import open_source
from tests.broker import free_port, wait_until
from tests.disks import hanging_disk

FACTS_OF_NORTH = LineFacts(
    "test-north",
    "running",
    cameras=(CameraFacts("camera", frames=30, dropped=2, age_ms=20.0),),
    processes=(
        ProcessFacts("vision", 7, restarts=1, ended="ended with SIGKILL"),
        ProcessFacts("capture"),
        ProcessFacts("reporter", 8),
    ),
    decided={"ACCEPT": 5, "DIVERT": 1, "UNDECIDED": 0},
    fired=1,
)


class Owner:
    """What a supervisor would say."""

    def __init__(self) -> None:
        self.facts, self.resumed = FACTS_OF_NORTH, 0

    def resume(self) -> None:
        self.resumed += 1


@pytest.fixture
def owner() -> Owner:
    return Owner()


@pytest.fixture
def server(owner: Owner, tmp_path: Path) -> Iterator[tuple[HealthServer, int]]:
    port = free_port()
    write_reporting(tmp_path)
    made = HealthServer("test-north", tmp_path, port, lambda: owner.facts, owner.resume)
    yield made, port
    made.close()


def write_reporting(runtime: Path) -> None:
    journal = {"file": "journal.db", "recorded": 6, "labels": {"ripe": 5, "unripe": 1}}
    receivers = [{"name": "plant", "connected": True, "waiting": 3}]
    write_facts(runtime / FACTS, {"journal": {"set_aside": [], **journal}, "reporters": receivers})


def http(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def ripeline(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ripeline.main", *arguments], check=False, capture_output=True, text=True
    )


def test_a_line_tells_how_it_is(server: tuple[HealthServer, int], owner: Owner) -> None:
    document = ask("test-north")
    assert (document["line"], document["sorts"], document["alarms"]) == ("test-north", True, [])
    assert document["journal"]["recorded"] == 6
    assert document["reporters"][0]["waiting"] == 3
    assert "test-north" in running_lines()
    owner.facts = dataclasses.replace(owner.facts, state="safe", faults=("camera black",))
    wait_until(lambda: ask("test-north")["alarms"], "the alarm")
    assert not ask("test-north")["sorts"]


def test_the_verb_speaks_to_people_and_to_programs(server: tuple[HealthServer, int], owner: Owner) -> None:
    done = ripeline("status", "--line", "test-north", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == ask("test-north")
    assert "Line test-north sorts" in done.stderr
    assert "No alarms." in done.stderr
    assert "Receiver plant takes decisions; 3 wait." in done.stderr
    assert "Process vision: pid 7, started again once (the last one ended with SIGKILL)." in done.stderr
    assert "Process capture: not there." in done.stderr
    owner.facts = dataclasses.replace(owner.facts, state="safe", faults=("camera black",))
    wait_until(lambda: ask("test-north")["alarms"], "the alarm")
    done = ripeline("status", "--line", "test-north")
    assert done.returncode == 1
    assert "does NOT sort (safe)" in done.stderr
    assert "To do: Look whether the light is on" in done.stderr
    done = ripeline("status", "--line", "test-south")
    assert done.returncode == 2
    assert 'No line named "test-south" runs' in done.stderr


def test_an_operators_word_reaches_the_line(server: tuple[HealthServer, int], owner: Owner) -> None:
    assert ripeline("status", "--line", "test-north", "--resume").returncode == 0
    assert owner.resumed == 1
    assert "only root" in server[0].answer("resume", trusted=False)["error"]
    assert owner.resumed == 1
    with pytest.raises(RipelineError, match="unknown command"):
        ask("test-north", "reboot")


def test_programs_read_health_and_metrics(server: tuple[HealthServer, int], owner: Owner) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    _, port = server
    assert http(port, "/healthz") == (200, '{"line": "test-north", "state": "running", "alarms": []}')
    status, page = http(port, "/metrics")
    assert status == 200
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    assert samples["ripeline_sorting", "test-north"] == 1
    assert samples["ripeline_fruit_total", "ACCEPT", "test-north"] == 5
    assert samples["ripeline_frames_dropped_total", "camera", "test-north"] == 2
    assert samples["ripeline_process_restarts_total", "test-north", "vision"] == 1
    assert samples["ripeline_receiver_waiting", "plant", "test-north"] == 3
    assert samples["ripeline_fruit_by_label_total", "ripe", "test-north"] == 5
    assert http(port, "/")[0] == 404
    owner.facts = dataclasses.replace(owner.facts, state="safe", faults=("camera black",))
    wait_until(lambda: http(port, "/healthz")[0] == 503, "the line to be unwell")
    assert "camera black" in http(port, "/healthz")[1]
    assert 'ripeline_alarm{about="",code="camera black",line="test-north"} 1.0' in http(port, "/metrics")[1]


def test_two_servers_of_one_line_are_refused(server: tuple[HealthServer, int], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="run each line once"):
        HealthServer("test-north", tmp_path, None, lambda: FACTS_OF_NORTH)


def test_an_owner_that_cannot_say_is_not_called_well(server: tuple[HealthServer, int], owner: Owner) -> None:
    well, owner.facts = owner.facts, None  # type: ignore[assignment]
    wait_until(lambda: http(server[1], "/healthz")[0] == 503, "the line to be called unknown")
    assert "unknown: AttributeError" in ask("test-north")["state"]
    owner.facts = well
    wait_until(lambda: ask("test-north")["sorts"], "the line to be well again")


def test_a_reporter_that_has_gone_silent_is_not_quoted(owner: Owner, tmp_path: Path) -> None:
    import os

    write_reporting(tmp_path)
    os.utime(tmp_path / FACTS, (1, 1))
    server = HealthServer("test-silent", tmp_path, None, lambda: owner.facts)
    try:
        assert server.report.journal is None
    finally:
        server.close()


# Light, focus and colour.


@pytest.fixture(scope="module")
def belt() -> list[Image]:
    """Pictures of a simulated belt with fruit on it."""
    camera = open_source("calm", duration_s=2).camera
    return [frame.image for frame in camera.frames() if frame.index % 5 == 0]


def looked_at(watch: SceneWatch, pictures: list[Image]) -> SceneFacts:
    for one in pictures:
        facts = watch.update(one)
    return facts


def test_fruit_that_pass_change_nothing(belt: list[Image]) -> None:
    watch = SceneWatch()
    assert looked_at(watch, (belt * 5)[:59]) == SceneFacts()
    facts = looked_at(watch, belt * 3)
    assert all(0.95 < share < 1.05 for share in dataclasses.astuple(facts))


def test_what_changes_is_named_and_nothing_else(belt: list[Image]) -> None:
    def dimmer(image: Image) -> Image:
        return (image * 0.6).astype(np.uint8)

    def blurred(image: Image) -> Image:
        return cv2.GaussianBlur(image, (0, 0), 2.0).astype(np.uint8)

    def redder(image: Image) -> Image:
        return np.clip(image * np.array([1.2, 1.0, 1.0]), 0, 255).astype(np.uint8)

    def changed(by: object) -> SceneFacts:
        watch = SceneWatch()
        looked_at(watch, belt * 5)
        assert callable(by)
        return looked_at(watch, [by(one) for one in belt] * 3)

    dim, soft, red = changed(dimmer), changed(blurred), changed(redder)
    assert dim.light == pytest.approx(0.6, abs=0.03)
    assert dim.focus == pytest.approx(1.0, abs=0.15)
    assert soft.focus is not None
    assert soft.focus < 0.5
    assert soft.light == pytest.approx(1.0, abs=0.03)
    assert red.red == pytest.approx(1.2, abs=0.03)
    assert (red.blue, red.focus) == (pytest.approx(1.0, abs=0.03), pytest.approx(1.0, abs=0.15))


def test_the_reference_outlives_a_restart(belt: list[Image], tmp_path: Path) -> None:
    kept = tmp_path / "scene.json"
    first = SceneReporter(tmp_path, kept=kept)
    for second, picture in enumerate(belt * 5):
        first.look(picture, second * 1_000_000_000)
        first.look(np.zeros_like(picture), second * 1_000_000_000 + 1)  # within the second: passed over
    wait_until(kept.exists, "the reference to be kept")
    again = SceneReporter(tmp_path, kept=kept)
    for second, picture in enumerate(belt * 3):
        again.look((picture * 0.5).astype(np.uint8), second * 1_000_000_000)
    light = read_scene(tmp_path, "camera").light
    assert light == pytest.approx(0.5, abs=0.03)
    assert measure_scene(belt[0]).light > 20


def test_keeping_the_reference_waits_for_no_disk_that_hangs(belt: list[Image], tmp_path: Path) -> None:
    with hanging_disk(tmp_path / "disk") as disk:
        kept = disk.folder / "scene.json"
        reporter = SceneReporter(tmp_path, kept=kept)
        with disk.hanging():
            for second in range(70):
                reporter.look(belt[0], second * 1_000_000_000)
            assert disk.hangs, "it has looked on meanwhile"
            assert read_scene(tmp_path, "camera").light == 1.0
        wait_until(kept.exists, "the reference to be kept")
