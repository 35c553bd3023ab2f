from __future__ import annotations

import numpy as np
import pytest

from evaluation.metrics import Scores, score
from train.evidence import Evidence
from train.forgetting import Forgetting
from train.run_record import Judgement
from train.shift import Shift
from train.verdict import verdict

LABELS = ("unripe", "turning", "ripe")


def scores(recalls: tuple[float, float, float], each: int = 100) -> Scores:
    truth = np.repeat(np.arange(3), each)
    answers = truth.copy()
    for label, recall in enumerate(recalls):
        wrong = round(each * (1 - recall))
        answers[label * each : label * each + wrong] = (label + 1) % 3
    return score(LABELS, truth, np.eye(3)[answers], range(3 * each))


def shift(auc: float, p: float) -> Shift:
    return Shift(
        training_pictures=100, target_pictures=100, auc=auc, auc_ci95=(auc, auc), auc_p=p, mmd2=0.1, mmd_p=p,
        outside=0.1, farthest=(),
    )  # fmt: skip


GOOD = scores((0.98, 0.95, 0.97))


def test_without_a_reservation_it_says_how_good_and_what_remains_to_do() -> None:
    text, tone = verdict(LABELS, GOOD, Evidence(), {})
    assert tone == "good"
    assert text.startswith("Right on 96.7")
    assert "300 pictures" in text
    assert "trial on the line" in text


def test_places_left_out_of_training_are_part_of_the_sentence() -> None:
    places = {
        "a": Judgement(pictures=50, loss=0.2, accuracy=0.9),
        "b": Judgement(pictures=500, loss=0.2, accuracy=0.96),
    }
    text, tone = verdict(LABELS, GOOD, Evidence(), places)
    assert "on 93.0\u00a0% at sources left out of training" in text
    assert tone == "good"
    places["c"] = Judgement(pictures=60, loss=1.0, accuracy=0.6)
    text, tone = verdict(LABELS, GOOD, Evidence(), places)
    assert "only on 60.0\u00a0% (c)" in text
    assert tone == "warn"


@pytest.mark.parametrize(
    ("measured", "evidence", "tone", "words"),
    [
        (scores((0.98, 0.5, 0.97)), Evidence(), "bad", "only 50.0\u00a0% of 'turning'"),
        (scores((0.34, 0.33, 0.33)), Evidence(), "bad", "not surely better than always answering"),
        (scores((0.98, 0.9, 0.97), each=20), Evidence(), "warn", "of 'turning' it may recognise as little as"),
        (GOOD, Evidence(shift=shift(0.95, 0.001)), "warn", "pictures from the line look different"),
        (GOOD, Evidence(shift=shift(0.95, 0.3)), "good", "trial"),
        (GOOD, Evidence(forgetting={"validation": Forgetting(pictures=99, cka=0.8)}), "warn", "features much"),
        (GOOD, Evidence(forgetting={"validation": Forgetting(pictures=99, cka=0.95)}), "good", "trial"),
    ],
)
def test_the_gravest_reservation_is_named(measured: Scores, evidence: Evidence, tone: str, words: str) -> None:
    text, found = verdict(LABELS, measured, evidence, {})
    assert words in text
    assert found == tone
    assert text.endswith(".")
    assert ". " not in text  # one sentence


def test_a_label_with_few_pictures_is_named_even_if_all_were_right() -> None:
    truth = np.repeat([0, 1, 2], [200, 200, 6])
    answers = truth.copy()
    answers[:10] = 1
    text, tone = verdict(LABELS, score(LABELS, truth, np.eye(3)[answers], range(406)), Evidence(), {})
    assert "of 'ripe' it may recognise as little as" in text
    assert tone == "warn"


def test_an_untested_label_is_graver_than_anything_else() -> None:
    truth = np.repeat([0, 2], 50)
    text, tone = verdict(
        LABELS, score(LABELS, truth, np.eye(3)[truth], range(100)), Evidence(shift=shift(1, 0.001)), {}
    )
    assert "no picture of turning" in text
    assert tone == "bad"
