"""The pipeline and the line, on drawn frames from a camera in memory and with an engine that looks at colours."""

from __future__ import annotations

import itertools
import json
import threading
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_runtime.bundles.manifest import Artefact, EngineRecord, FloatTolerance, Manifest, Result
from edge_runtime.deciding.decide import Policy
from edge_runtime.errors import CameraError, InputError
from edge_runtime.line import LineSummary, Tally, run_line
from edge_runtime.pipeline import STAGES, Pipeline, Step
from edge_runtime.preprocess import InputSpec
from edge_runtime.records import BeltDirection, Decision, Frame, Image, Verdict
from edge_runtime.reporters.jsonl import JsonlReporter
from edge_runtime.settings.config import LineConfig
from edge_runtime.settings.decision_settings import DecideSettings
from edge_runtime.settings.vision_settings import BeltSettings

WIDTH_PX, HEIGHT_PX = 480, 270
STEP_PX = 12
MM_PER_PX = 0.5
RED, GREEN = (200, 35, 30), (70, 160, 60)
LABELS = ("unripe", "ripe")
FIELDS = {
    "fruit_id", "verdict", "label", "probabilities", "views", "first_frame", "last_frame", "first_captured_ns",
    "decided_ns", "position_mm", "across_mm", "lane", "box_px", "bundle_id", "policy", "unfamiliar",
}  # fmt: skip


@dataclass(frozen=True)
class Fruit:
    """A disc; its centre enters the picture when the belt has run `way_px`."""

    way_px: int
    colour: tuple[int, int, int]
    y_px: int = 135
    radius_px: int = 30


LOAD = (Fruit(40, RED), Fruit(190, GREEN, 90), Fruit(330, RED, 180), Fruit(460, GREEN), Fruit(600, RED, 100))


class DrawnCamera:
    """Discs on a dark belt that runs right, a lossless source unless told that it is live."""

    def __init__(self, fruit: Sequence[Fruit], frames: int, *, encoder: bool = True, live: bool = False) -> None:
        self.name, self.live, self.dropped, self.frame_rate_hz = "drawn", live, 0, 30.0
        self.closed = 0
        self._fruit, self._frames, self._encoder = fruit, frames, encoder
        self._noise = np.random.default_rng(0).integers(0, 8, (HEIGHT_PX, WIDTH_PX, 1), np.uint8)

    def draw(self, way_px: int) -> Image:
        image = np.full((HEIGHT_PX, WIDTH_PX, 3), 40, np.uint8) + self._noise
        for one in self._fruit:
            cv2.circle(image, (way_px - one.way_px, one.y_px), one.radius_px, one.colour, -1, cv2.LINE_AA)
        return image

    def frames(self) -> Iterator[Frame]:
        for index in range(self._frames):
            way_px = index * STEP_PX
            belt_mm = way_px * MM_PER_PX if self._encoder else None
            yield Frame(self.draw(way_px), index, round(index * 1e9 / 30), belt_mm)

    def close(self) -> None:
        self.closed += 1


class ColourEngine:
    """Logits from the middle of the crop: the more red beats green, the riper."""

    name = "colour"

    def __init__(self) -> None:
        self.batches: list[int] = []

    def logits(self, inputs: np.ndarray) -> np.ndarray:
        self.batches.append(len(inputs))
        assert inputs.dtype == np.uint8
        middle = inputs[:, 12:20, 12:20].astype(np.float32).mean(axis=(1, 2))
        redness = (middle[:, 0] - middle[:, 1]) / 40
        return np.stack([-redness, redness], axis=1)


MANIFEST = Manifest(
    bundle_id="0123456789abcdef",
    created="2026-01-01T00:00:00+00:00",
    result=Result.PASS,
    labels=LABELS,
    input=InputSpec(size_px=32),
    policy=Policy.accepting(LABELS, ["ripe"]),
    view_correlation=0.7,
    default_artefact="a",
    artefacts=(
        Artefact(
            name="a", file="a.tflite", format="tflite-fp32", bytes=1,
            engines={
                "colour": EngineRecord(
                    temperature=1.0, parity=Result.PASS, golden=FloatTolerance(max_logit_difference=1e-3)
                )
            },
        ),
    ),
    provenance={},
)  # fmt: skip
CONFIG = LineConfig(belt=BeltSettings(direction=BeltDirection.RIGHT, mm_per_px=MM_PER_PX))
PATIENT = CONFIG.model_copy(update={"decide": DecideSettings(view_cost=0)})
"""Looks at every fruit until it must decide."""


class Dull(ColourEngine):
    """Sees the same, but hardly."""

    def logits(self, inputs: np.ndarray) -> np.ndarray:
        return super().logits(inputs) * 0.05


class Kept(list[Decision]):
    """A reporter in memory."""

    def report(self, decision: Decision) -> None:
        self.append(decision)

    def close(self) -> None: ...

    def __enter__(self) -> Kept:
        return self

    def __exit__(self, *_: object) -> None: ...


def run(
    camera: DrawnCamera, config: LineConfig = CONFIG, policy: Policy = MANIFEST.policy, **options: object
) -> tuple[LineSummary, Kept]:
    kept = Kept()
    pipeline = Pipeline(MANIFEST, ColourEngine(), 1.0, policy, config)
    summary = run_line(camera, None, pipeline, [kept], labels=LABELS, **options)  # type: ignore[arg-type]
    return summary, kept


def test_every_fruit_gets_one_decision_and_the_right_one() -> None:
    summary, kept = run(DrawnCamera(LOAD, 110))
    assert [decision.label for decision in kept] == ["ripe", "unripe", "ripe", "unripe", "ripe"]
    assert [decision.verdict for decision in kept] == ["ACCEPT", "DIVERT", "ACCEPT", "DIVERT", "ACCEPT"]
    assert [decision.fruit_id for decision in kept] == [1, 2, 3, 4, 5]
    assert summary.fruits == 5
    assert summary.verdicts == {"ACCEPT": 3, "DIVERT": 2, "UNDECIDED": 0}
    assert summary.labels == {"unripe": 2, "ripe": 3}
    assert summary.frames == {"read": 110, "processed": 110, "dropped": 0}


def test_positions_are_where_the_fruit_lie_on_the_belt() -> None:
    _, kept = run(DrawnCamera(LOAD, 110))
    for decision, fruit in zip(kept, LOAD, strict=True):
        # The encoder reads this when the fruit's centre leaves the picture.
        assert decision.position_mm == pytest.approx((fruit.way_px + WIDTH_PX) * MM_PER_PX, abs=1.5)
        assert decision.across_mm == pytest.approx(fruit.y_px * MM_PER_PX, abs=1.5)


def test_without_an_encoder_there_are_decisions_and_no_positions() -> None:
    _, kept = run(DrawnCamera(LOAD, 110, encoder=False))
    assert len(kept) == 5
    assert all(decision.position_mm is None for decision in kept)


def test_the_encoder_fills_in_positions_that_frames_lack() -> None:
    class Belt:
        def position_mm(self, captured_ns: int) -> float:
            return captured_ns * 30 / 1e9 * STEP_PX * MM_PER_PX

    with_frames, filled = run(DrawnCamera(LOAD, 110))[1], Kept()
    pipeline = Pipeline(MANIFEST, ColourEngine(), 1.0, MANIFEST.policy, CONFIG)
    run_line(DrawnCamera(LOAD, 110, encoder=False), Belt(), pipeline, [filled], labels=LABELS)
    assert [one.position_mm for one in filled] == pytest.approx([one.position_mm for one in with_frames], abs=1e-3)


def test_a_decision_falls_when_the_fruit_comes_to_the_stated_place() -> None:
    for decide_at in (0.5, 0.8):
        config = CONFIG.model_copy(update={"decide": DecideSettings(decide_at=decide_at, view_cost=0)})
        _, kept = run(DrawnCamera(LOAD, 110), config)
        for decision, fruit in zip(kept, LOAD, strict=True):
            due = next(i for i in itertools.count() if i * STEP_PX - fruit.way_px >= decide_at * WIDTH_PX)
            assert abs(decision.last_frame - due) <= 1
            assert decision.decided_ns == round(decision.last_frame * 1e9 / 30)


def test_fruit_still_on_the_belt_when_the_pictures_end_are_decided_too() -> None:
    _, kept = run(DrawnCamera(LOAD[:2], 32))  # the second one is in the middle of the picture by then
    assert [decision.label for decision in kept] == ["ripe", "unripe"]


def test_the_pictures_edge_does_not_vote_while_there_are_whole_views() -> None:
    _, kept = run(DrawnCamera([Fruit(40, RED)], 60), PATIENT)
    decision = kept[0]
    whole = [i for i in range(60) if 30 < i * STEP_PX - 40 < WIDTH_PX - 30]
    frames = range(decision.first_frame, decision.last_frame + 1)
    assert decision.views <= len([i for i in frames if i in whole]) + 1
    assert decision.views >= 12  # from decide_from to decide_at


def test_a_clear_fruit_is_looked_at_once_and_decided_as_soon_as_it_is_surely_there() -> None:
    engine, kept = ColourEngine(), Kept()
    pipeline = Pipeline(MANIFEST, engine, 1.0, MANIFEST.policy, CONFIG)
    run_line(DrawnCamera(LOAD, 110), None, pipeline, [kept], labels=LABELS)
    patient = run(DrawnCamera(LOAD, 110), PATIENT)[1]
    assert [one.verdict for one in kept] == [one.verdict for one in patient]
    assert [one.views for one in kept] == [1] * 5
    assert sum(engine.batches) < 0.2 * sum(one.views for one in patient)
    for decision, fruit in zip(kept, LOAD, strict=True):
        due = next(i for i in itertools.count() if i * STEP_PX - fruit.way_px >= 0.3 * WIDTH_PX)
        assert abs(decision.last_frame - due) <= 1


def test_nothing_is_looked_at_before_a_decision_may_fall() -> None:
    engine = ColourEngine()
    pipeline = Pipeline(MANIFEST, engine, 1.0, MANIFEST.policy, PATIENT)
    ways = []
    for frame in DrawnCamera(LOAD[:1], 60).frames():
        before = len(engine.batches)
        pipeline.step(frame)
        ways += [(frame.index * STEP_PX - LOAD[0].way_px) / WIDTH_PX] * (len(engine.batches) - before)
    assert min(ways) == pytest.approx(0.3, abs=0.03)
    assert max(ways) == pytest.approx(0.6, abs=0.03)


@pytest.mark.parametrize("ends", ["pictures", "fruit"])
def test_a_fruit_that_comes_no_farther_is_decided_by_the_view_that_was_held(ends: str) -> None:
    engine, kept = ColourEngine(), Kept()
    upto = next(i for i in itertools.count() if i * STEP_PX - 40 >= 0.25 * WIDTH_PX)

    class Taken(DrawnCamera):
        def frames(self) -> Iterator[Frame]:
            for frame in super().frames():
                gone = DrawnCamera([], 0).draw(0) if frame.index >= upto else frame.image
                yield Frame(gone, frame.index, frame.captured_ns, frame.belt_mm)

    camera = DrawnCamera(LOAD[:1], upto) if ends == "pictures" else Taken(LOAD[:1], upto + 40)
    pipeline = Pipeline(MANIFEST, engine, 1.0, MANIFEST.policy, CONFIG)
    run_line(camera, None, pipeline, [kept], labels=LABELS)
    assert [(one.label, one.views) for one in kept] == [("ripe", 1)]
    assert engine.batches == [1]


def test_an_unclear_fruit_is_looked_at_for_longer() -> None:
    kept = Kept()
    pipeline = Pipeline(MANIFEST, Dull(), 1.0, MANIFEST.policy, CONFIG)
    run_line(DrawnCamera(LOAD[:1], 60), None, pipeline, [kept], labels=LABELS)
    assert kept[0].views >= 5


class OneEyed(ColourEngine):
    """Sees the left half of a crop alone, and is not sure of it."""

    def logits(self, inputs: np.ndarray) -> np.ndarray:
        return super().logits(np.repeat(inputs[:, :, 8:12], 8, axis=2)) * 0.1


def test_a_doubtful_view_is_looked_at_mirrored_as_well_and_stays_one_view() -> None:
    class Halves(DrawnCamera):
        def draw(self, way_px: int) -> Image:
            image = super().draw(way_px)
            cv2.ellipse(image, (way_px - LOAD[0].way_px, LOAD[0].y_px), (LOAD[0].radius_px,) * 2, 90, 0, 180, GREEN, -1)
            return image

    engine, kept = OneEyed(), Kept()
    pipeline = Pipeline(MANIFEST, engine, 1.0, MANIFEST.policy, CONFIG)
    run_line(Halves([replace(LOAD[0], colour=RED)], 60), None, pipeline, [kept], labels=LABELS)
    # A green left half and a red right one: neither the one nor the other, by its picture and its mirror image.
    assert kept[0].probabilities["ripe"] == pytest.approx(0.5, abs=0.1)
    assert engine.batches[:2] == [1, 1]
    assert kept[0].views < len(engine.batches) <= 2 * kept[0].views


@pytest.mark.parametrize(("limit", "unfamiliar"), [(None, False), (0.0, False), (-20.0, True)])
def test_what_is_unlike_the_training_pictures_is_undecided(limit: float | None, unfamiliar: bool) -> None:
    kept = Kept()
    pipeline = Pipeline(MANIFEST, ColourEngine(), 1.0, MANIFEST.policy, CONFIG, limit)
    run_line(DrawnCamera(LOAD, 110), None, pipeline, [kept], labels=LABELS)
    assert {one.unfamiliar for one in kept} == {unfamiliar}
    assert {one.verdict for one in kept} == ({Verdict.UNDECIDED} if unfamiliar else {Verdict.ACCEPT, Verdict.DIVERT})


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    ways=st.lists(st.integers(70, 160), min_size=1, max_size=6),
    steps=st.lists(st.integers(0, 30), min_size=20, max_size=50),
    blind=st.sets(st.integers(0, 50), max_size=12),
)
def test_one_decision_a_fruit_never_without_a_view_and_in_the_belts_order(
    ways: list[int], steps: list[int], blind: set[int]
) -> None:
    fruit = [Fruit(int(way), RED if i % 2 else GREEN) for i, way in enumerate(np.cumsum(ways))]
    camera, kept = DrawnCamera(fruit, 0), Kept()

    class Uneven(DrawnCamera):
        def frames(self) -> Iterator[Frame]:
            for index, way_px in enumerate(np.cumsum(steps).tolist()):
                image = DrawnCamera([], 0).draw(0) if index in blind else camera.draw(way_px)
                yield Frame(image, index, round(index * 1e9 / 30), way_px * MM_PER_PX)

    pipeline = Pipeline(MANIFEST, ColourEngine(), 1.0, MANIFEST.policy, CONFIG)
    run_line(Uneven(fruit, 0), None, pipeline, [kept], labels=LABELS)
    assert len({one.fruit_id for one in kept}) == len(kept)
    assert all(one.views >= 1 for one in kept)
    places = {one.fruit_id: one.position_mm / MM_PER_PX - WIDTH_PX for one in kept if one.position_mm is not None}
    whose = {number: min(range(len(fruit)), key=lambda i: abs(fruit[i].way_px - at)) for number, at in places.items()}
    assert len(set(whose.values())) == len(kept)
    assert all(abs(fruit[whose[number]].way_px - at) < 30 for number, at in places.items())
    in_order = [one.label for one in sorted(kept, key=lambda one: places[one.fruit_id])]
    assert in_order == ["ripe" if i % 2 else "unripe" for i in sorted(whose.values())]


def test_a_batch_holds_all_fruit_of_a_frame() -> None:
    engine = ColourEngine()
    pipeline = Pipeline(MANIFEST, engine, 1.0, MANIFEST.policy, PATIENT)
    pair = [Fruit(40, RED, 70), Fruit(40, GREEN, 200)]
    for frame in DrawnCamera(pair, 60).frames():
        pipeline.step(frame)
    assert set(engine.batches) == {2}
    assert len(engine.batches) >= 12  # from decide_from to decide_at


def test_decided_fruit_are_not_looked_at_again() -> None:
    engine = ColourEngine()
    config = CONFIG.model_copy(update={"decide": DecideSettings(decide_at=0.4)})
    pipeline = Pipeline(MANIFEST, engine, 1.0, MANIFEST.policy, config)
    decided_in = None
    for frame in DrawnCamera([Fruit(40, RED)], 60).frames():
        looked = len(engine.batches)
        step = pipeline.step(frame)
        if decided_in is not None:
            assert len(engine.batches) == looked
            assert step.decisions == []
        elif step.decisions:
            decided_in = frame.index
    assert decided_in is not None
    assert pipeline.finish(0) == []


@pytest.mark.parametrize("balanced", [True, False])
def test_in_fading_light_a_fruit_is_told_as_in_the_first_light(balanced: bool) -> None:
    class Fading(DrawnCamera):
        def frames(self) -> Iterator[Frame]:
            for frame in super().frames():
                light = np.float32(max(0.55, 1 - 0.006 * max(0, frame.index - 40)))
                dim = np.round(frame.image * light).astype(np.uint8)
                yield Frame(dim, frame.index, frame.captured_ns, frame.belt_mm)

    late = [Fruit(6000, RED)]  # a quarter of a minute later: the scene is learnt slowly, and so is the light
    config = CONFIG.model_copy(update={"decide": DecideSettings(white_balance=balanced)})
    ((steady,), (faded,)) = run(DrawnCamera(late, 560), config)[1], run(Fading(late, 560), config)[1]
    odds = [float(np.log(one.probabilities["ripe"] / (1 - one.probabilities["ripe"]))) for one in (steady, faded)]
    assert odds[1] / odds[0] == pytest.approx(1.0 if balanced else 0.55, abs=0.08)


def test_the_lines_own_policy_decides_and_is_named() -> None:
    policy = Policy.accepting(LABELS, ["unripe"], origin="line.toml")
    _, kept = run(DrawnCamera(LOAD, 110), policy=policy)
    assert [decision.verdict for decision in kept] == ["DIVERT", "ACCEPT", "DIVERT", "ACCEPT", "DIVERT"]
    assert {decision.policy for decision in kept} == {"line.toml"}


def test_a_policy_for_other_labels_never_starts() -> None:
    with pytest.raises(InputError, match="does not fit the model"):
        Pipeline(MANIFEST, ColourEngine(), 1.0, Policy.accepting(("a", "b"), ["b"], "line.toml"), CONFIG)


def test_an_unsure_engine_leads_to_undecided() -> None:
    class Unsure(ColourEngine):
        def logits(self, inputs: np.ndarray) -> np.ndarray:
            return super().logits(inputs) * 0

    pipeline = Pipeline(MANIFEST, Unsure(), 1.0, MANIFEST.policy, CONFIG)
    summary = run_line(DrawnCamera(LOAD, 110), None, pipeline, [], labels=LABELS)
    assert summary.verdicts == {"ACCEPT": 0, "DIVERT": 0, "UNDECIDED": 5}


def test_the_temperature_divides_the_engines_logits() -> None:
    shares = []
    for temperature in (1.0, 4.0):
        kept = Kept()
        pipeline = Pipeline(MANIFEST, ColourEngine(), temperature, MANIFEST.policy, CONFIG)
        run_line(DrawnCamera(LOAD[:1], 60), None, pipeline, [kept], labels=LABELS)
        shares.append(kept[0].probabilities["ripe"])
    assert 0.5 < shares[1] < shares[0]


def test_the_file_holds_exactly_the_fields_of_the_contract(tmp_path: Path) -> None:
    pipeline = Pipeline(MANIFEST, ColourEngine(), 1.0, MANIFEST.policy, CONFIG)
    with JsonlReporter(tmp_path / "decisions.jsonl") as reporter:
        run_line(DrawnCamera(LOAD, 110), None, pipeline, [reporter], labels=LABELS)
    rows = [json.loads(line) for line in (tmp_path / "decisions.jsonl").read_text("utf-8").splitlines()]
    assert len(rows) == 5
    for row in rows:
        assert set(row) == FIELDS
        assert set(row["probabilities"]) == set(LABELS)
        assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert [type(part) for part in row["box_px"]] == [int] * 4
        assert row["verdict"] in set(Verdict)
        assert row["bundle_id"] == MANIFEST.bundle_id


def test_decisions_are_on_disk_as_they_fall(tmp_path: Path) -> None:
    pipeline = Pipeline(MANIFEST, ColourEngine(), 1.0, MANIFEST.policy, CONFIG)
    file = tmp_path / "decisions.jsonl"
    written: list[tuple[int, int]] = []
    with JsonlReporter(file) as reporter:
        run_line(
            DrawnCamera(LOAD, 110), None, pipeline, [reporter], labels=LABELS,
            on_frame=lambda _, step: written.append((len(step.decisions), len(file.read_text().splitlines()))),
        )  # fmt: skip
    assert [lines for _, lines in written] == list(itertools.accumulate(new for new, _ in written))


def test_a_recording_stays_in_order_and_loses_nothing() -> None:
    seen: list[int] = []
    _, kept = run(DrawnCamera(LOAD, 110), on_frame=lambda frame, _: seen.append(frame.index))
    assert seen == list(range(110))
    assert [one.decided_ns for one in kept] == sorted(one.decided_ns for one in kept)
    assert [one.first_frame for one in kept] == sorted(one.first_frame for one in kept)


def test_two_runs_decide_the_same() -> None:
    assert run(DrawnCamera(LOAD, 110))[1] == run(DrawnCamera(LOAD, 110))[1]


def test_a_recording_is_left_after_its_own_time() -> None:
    summary, _ = run(DrawnCamera(LOAD, 110), duration_s=1.0)
    assert summary.frames["processed"] == 30


def test_a_stop_from_outside_ends_in_order() -> None:
    stop = threading.Event()
    camera = DrawnCamera(LOAD, 10_000)
    summary, kept = run(camera, stop=stop, on_frame=lambda frame, _: stop.set() if frame.index == 30 else None)
    assert summary.frames["processed"] == 31
    assert [decision.label for decision in kept] == ["ripe", "unripe", "ripe"]  # all that lay on the belt by then
    assert summary.fruits == 3
    assert camera.closed > 0


def test_a_source_that_breaks_has_its_decisions_reported_its_summary_made_and_is_closed() -> None:
    class Breaking(DrawnCamera):
        def frames(self) -> Iterator[Frame]:
            yield from itertools.islice(super().frames(), 25)
            raise CameraError("camera drawn stopped giving pictures")

    camera, kept = Breaking(LOAD, 110), Kept()
    pipeline = Pipeline(MANIFEST, ColourEngine(), 1.0, MANIFEST.policy, CONFIG)
    summary = run_line(camera, None, pipeline, [kept], labels=LABELS)
    assert isinstance(summary.failure, CameraError)
    assert summary.as_dict()["notices"] == ["camera drawn stopped giving pictures"]
    assert summary.frames["processed"] == 25
    assert [decision.label for decision in kept] == ["ripe", "unripe"]
    assert camera.closed > 0


def test_dropped_frames_of_a_live_source_are_counted_as_read() -> None:
    camera = DrawnCamera(LOAD, 110, live=True)
    camera.dropped = 7
    summary, kept = run(camera)
    assert summary.frames == {"read": 117, "processed": 110, "dropped": 7}
    # Decided by the clock, which is past any time that the frames were stamped with.
    assert all(decision.decided_ns > round(110 * 1e9 / 30) for decision in kept)


def test_a_recording_that_was_cut_off_is_said_so() -> None:
    camera = DrawnCamera(LOAD, 110)
    camera.truncated = "drawn ends after 110 of 900 frames"  # type: ignore[attr-defined]
    assert run(camera)[0].as_dict()["notices"] == ["drawn ends after 110 of 900 frames"]


def test_the_summary_knows_every_stages_times() -> None:
    document = run(DrawnCamera(LOAD, 110))[0].as_dict()
    assert set(document["latency_ms"]) == set(STAGES)
    for times in document["latency_ms"].values():
        assert 0 <= times["p50"] <= times["p99"] <= times["max"]
    json.dumps(document, allow_nan=False)


def test_no_picture_at_all_is_an_empty_summary() -> None:
    document = run(DrawnCamera(LOAD, 0))[0].as_dict()
    assert (document["fruits"], document["latency_ms"]) == (0, {})
    assert document["verdicts"] == {"ACCEPT": 0, "DIVERT": 0, "UNDECIDED": 0}


def test_an_empty_belt_gives_no_decision() -> None:
    summary, kept = run(DrawnCamera([], 40))
    assert (summary.fruits, list(kept)) == (0, [])


def test_reporters_each_get_every_decision() -> None:
    first, second = Kept(), Kept()
    pipeline = Pipeline(MANIFEST, ColourEngine(), 1.0, MANIFEST.policy, CONFIG)
    run_line(DrawnCamera(LOAD, 110), None, pipeline, (one for one in (first, second)), labels=LABELS)
    assert len(first) == 5
    assert first == second


def test_a_decision_is_a_value() -> None:
    decision = run(DrawnCamera(LOAD[:1], 60))[1][0]
    assert replace(decision, fruit_id=9) != decision


def test_latencies_are_of_the_last_frames_and_take_no_more_room_with_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_runtime.line._KEPT_TIMES", 100)
    tally = Tally(LABELS)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(1000):
        tally.frame(Step([], [], {"frame": float(number)}))
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert tally.latency_ms() == {"frame": {"p50": 949.5, "p99": 998.01, "max": 999.0}}
    assert tally.latency_ms(("infer",)) == {}
    assert grown < 1000
