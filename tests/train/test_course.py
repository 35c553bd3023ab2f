from __future__ import annotations

import numpy as np
import pytest

from evaluation.page import Page
from train.course import attempts, average, choice_section, course_section, curve, curves, new_place_section, new_places
from train.run_record import Candidate, Choice, EpochRow, Judgement, Phase, RecipeEvent


def row(phase: Phase, epoch: int, val_loss: float, rate: float = 3e-4) -> EpochRow:
    return EpochRow(
        phase=phase, epoch=epoch, loss=val_loss * 0.9, accuracy=0.8, val_loss=val_loss, val_accuracy=0.7,
        source_loss=val_loss * 1.2, learning_rate=rate, seconds=1,
    )  # fmt: skip


def event(kind: str, epoch: int, rate: float) -> RecipeEvent:
    return RecipeEvent.model_validate(
        {"phase": "fine_tune", "epoch": epoch, "kind": kind, "reason": f"because of {kind}", "rate": rate}
    )


HEAD = [row("head", epoch, 1 / epoch) for epoch in range(1, 6)]
STORY = [*HEAD, row("fine_tune", 6, 40.0, 1e-2), row("fine_tune", 6, 0.19, 3e-3), row("fine_tune", 7, 0.18, 3e-3)]
EVENTS = [event("unfrozen", 6, 1e-2), event("diverged", 6, 1e-2), event("kept", 7, 3e-3)]


def test_an_attempt_that_was_sent_back_is_a_part_of_its_own() -> None:
    assert [[one.epoch for one in part] for part in attempts(STORY)] == [[1, 2, 3, 4, 5], [6], [6, 7]]


def test_the_curve_marks_switch_guard_and_rate_and_fades_what_was_thrown_away() -> None:
    top, rate = curve(STORY, EVENTS, "loss").axes
    vertical = {line.get_xdata()[0] for line in top.get_lines() if line.get_linestyle() in {"--", ":"}}
    assert vertical == {5.5, 6}
    drawn = {tuple(line.get_ydata()): line.get_alpha() for line in top.get_lines()}
    assert drawn[(40.0,)] < 1
    assert drawn[(0.19, 0.18)] == 1
    assert top.get_ylim()[1] < 2  # the divergence does not flatten phase one
    crosses = [line for line in rate.get_lines() if line.get_marker() == "x"]
    assert list(crosses[0].get_ydata()) == [1e-2]
    assert rate.get_ylim()[0] <= 3e-4
    assert rate.get_ylim()[1] >= 1e-2
    words = [text.get_text() for text in top.texts]
    assert words == ["fine-tuning", "guard \u00d7 1"]


def test_what_was_kept_is_not_faded_because_a_trial_diverged_at_the_same_epoch() -> None:
    kept = [*HEAD, row("fine_tune", 6, 0.19, 3e-3), row("fine_tune", 7, 0.18, 3e-3)]
    for ending, alpha in (("kept", 1), ("gave_up", pytest.approx(0.35))):
        events = [event("diverged", 7, 1e-2), event("unfrozen", 6, 3e-3), event(ending, 7, 3e-3)]
        top, _ = curve(kept, events, "loss").axes
        drawn = {tuple(line.get_ydata()): line.get_alpha() for line in top.get_lines()}
        assert drawn[(0.19, 0.18)] == alpha


def test_one_epoch_and_a_loss_that_is_no_number_can_be_drawn() -> None:
    lost = [row("head", 1, 0.5), row("fine_tune", 2, float("nan"))]
    for figure in (curves(lost, [event("gave_up", 2, 1e4)]), curves(HEAD[:1], [])):
        figure.canvas.draw()
        assert len(figure.subfigs) == 2


@pytest.fixture
def choice() -> Choice:
    def candidate(boundary: int | None, losses: tuple[float, float], *, chosen: bool) -> Candidate:
        judges = {
            name: Judgement(pictures=40, loss=loss, accuracy=1 - loss)
            for name, loss in zip(("farm", "lab"), losses, strict=True)
        }
        return Candidate(
            boundary=boundary, layer="block_14_expand" if boundary else "", share=0.2, epochs=3,
            loss=float(np.mean(losses)), by_judge=judges, better_by=0.01, noise=0.004, chosen=chosen, reason="measured",
        )  # fmt: skip

    return Choice(
        select_by="source",
        sources=("farm", "lab"),
        candidates=(candidate(None, (0.2, 0.1), chosen=True), candidate(125, (0.3, 0.2), chosen=False)),
        shipped={
            "farm": Judgement(pictures=40, loss=0.1, accuracy=0.94),
            "lab": Judgement(pictures=40, loss=0.1, accuracy=0.96),
        },
    )


def test_new_places_are_those_of_what_ships_whatever_candidate_it_was_made_from(choice: Choice) -> None:
    places = new_places(choice)
    assert {name: one.accuracy for name, one in places.items()} == {"farm": 0.94, "lab": 0.96}
    assert average(places) == pytest.approx(0.95)
    assert new_places(choice.model_copy(update={"candidates": ()})) == places
    assert new_places(choice.model_copy(update={"shipped": {}})) == {}
    assert new_places(None) == {}
    assert new_places(choice.model_copy(update={"select_by": "validation"})) == {}


def test_the_page_tells_the_story(choice: Choice) -> None:
    page = Page("t")
    course_section(page.section("Course"), STORY, EVENTS)
    choice_section(page.section("Choice"), choice)
    new_place_section(page.section("Place"), new_places(choice))
    html = page.html()
    for words in (
        "because of diverged",
        "1.0e-02",
        "block_14_expand",
        "nothing",
        "farm",
        "80.0\u00a0%",
        "0.300 (70.0\u00a0%)",
    ):
        assert words in html
    assert "Dotted: the guard" in html
    quiet = Page("t")
    course_section(quiet.section("Course"), HEAD, [])
    assert "Dotted" not in quiet.html()
