from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.bundles import engine_choice, select
from edge_runtime.bundles.bundle import Bundle, open_bundle
from edge_runtime.bundles.engine_choice import Choice, choose_engine, this_machine
from tests.conftest import Ripeline

ENGINE = "onnxruntime"
"""One is enough for what is remembered and when; `bench` tries them all."""


class Measured:
    """Counts what is measured."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, _engine: object, _inputs: object) -> float:
        self.times += 1
        return 1.0


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Measured:
    counter = Measured()
    monkeypatch.setattr(select, "median_latency_ms", counter)
    return counter


@pytest.fixture(scope="module")
def bundle(bundle_dir: Path) -> Bundle:
    return open_bundle(bundle_dir)


def test_is_measured_once_and_proven_each_time(
    bundle: Bundle, tmp_path: Path, measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "deep" / "engines.json"
    first = choose_engine(bundle, engine=ENGINE, cache=cache)
    times = measured.times
    assert times == 1
    proven: list[tuple[str, str]] = []
    prove = select.open_proven_engine
    monkeypatch.setattr(select, "open_proven_engine", lambda b, a, e, t: (proven.append((a, e)), prove(b, a, e, t))[1])
    again = choose_engine(bundle, engine=ENGINE, cache=cache)
    assert (first.remembered, again.remembered, measured.times) == (False, True, times)
    assert (again.selection.artefact, again.selection.engine.name) == (first.selection.artefact, ENGINE)
    assert proven == [(first.selection.artefact, ENGINE)]
    assert again.selection.candidates == first.selection.candidates
    assert again.selection.temperature == first.selection.temperature


@pytest.mark.parametrize("change", ["bundle", "machine", "threads", "engine version", "request", "anew"])
def test_is_measured_again_when_something_has_changed(
    bundle: Bundle, tmp_path: Path, measured: Measured, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    cache = tmp_path / "engines.json"
    choose_engine(bundle, engine=ENGINE, cache=cache)
    times = measured.times
    more: dict[str, Any] = {}
    match change:
        case "bundle":
            monkeypatch.setattr(engine_choice, "CHECKSUMS", "manifest.json")  # as if the checksums were others
        case "machine":
            monkeypatch.setattr(engine_choice, "this_machine", lambda: "another")
        case "threads":
            more = {"threads": 2}
        case "engine version":
            monkeypatch.setattr(engine_choice, "version", lambda _: "99")
        case "request":
            more = {"engine": "ai-edge-litert"}
        case "anew":
            more = {"anew": True}
    assert not choose_engine(bundle, cache=cache, **{"engine": ENGINE} | more).remembered
    assert measured.times > times


@pytest.mark.parametrize("damage", ["not json", "[]", "gone pair", "other form", "no place"])
def test_a_memory_that_is_of_no_use_costs_a_measurement_and_nothing_else(
    bundle: Bundle, tmp_path: Path, measured: Measured, damage: str
) -> None:
    cache = tmp_path / "engines.json"
    first = choose_engine(bundle, engine=ENGINE, cache=cache)
    known = json.loads(cache.read_text())
    (key,) = known
    match damage:
        case "not json" | "[]":
            cache.write_text(damage)
        case "gone pair":
            cache.write_text(json.dumps({key: known[key] | {"artefact": "tflite-int4"}}))
        case "other form":
            cache.write_text(json.dumps({key: {"winner": 3}}))
        case "no place":
            cache.unlink()
            cache.mkdir()
    again = choose_engine(bundle, engine=ENGINE, cache=cache)
    assert not again.remembered
    assert again.selection.engine.name == first.selection.engine.name


def test_the_machine_is_named_in_words() -> None:
    assert " x " in this_machine()
    assert this_machine() == this_machine()


def test_bench_shows_the_table_and_fills_the_memory(
    bundle_dir: Path, bundle: Bundle, ripeline: Ripeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    done = ripeline("bench", bundle_dir, "--json")
    assert done.code == 0
    document = json.loads(done.stdout)
    times = {(one["artefact"], one["engine"]): one["p50_ms"] for one in document["candidates"]}
    chosen = document["artefact"], document["engine"]
    assert times[chosen] == min(time for time in times.values() if time is not None)
    assert set(times) == {(entry.name, name) for entry, name, _ in bundle.manifest.pairs()}
    rows = [row.split() for row in done.stderr.splitlines() if row.endswith("fastest")]
    assert [row[:2] for row in rows] == [list(chosen)]
    remembered: Choice = choose_engine(bundle)
    assert remembered.remembered
    assert (remembered.selection.artefact, remembered.selection.engine.name) == chosen
    assert f"`run` takes {chosen[0]} on {chosen[1]}." in done.stderr
    assert "`run` takes" not in ripeline("bench", bundle_dir, "--threads", 2).stderr, "run has one thread"
