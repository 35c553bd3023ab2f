"""The one sentence about a run: how good it is, and the reservation that matters most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evaluation.metrics import Scores
from evaluation.page import Tone
from evaluation.report import interval, percent
from train.course import average
from train.evidence import Evidence
from train.run_record import Judgement

USELESS_RECALL = 0.6
POOR_PLACE = 0.8
SURE_RECALL = 0.7
"""A label is taken for learned when the lower end of its recall's interval reaches this."""


def verdict(
    labels: Sequence[str], scores: Scores, evidence: Evidence, places: dict[str, Judgement]
) -> tuple[str, Tone]:
    """Accuracy on the test split and at held-out sources, with the first reservation that applies, gravest first.

    Args:
        labels: Of the model.
        scores: On the test split.
        evidence: Everything else that was found.
        places: Held-out sources, as models did that had not learned from them.

    Returns:
        The sentence, and whether it is good, a warning or bad.
    """
    lead = f"Right on {percent(scores.accuracy)} of {scores.n} pictures it never saw ({interval(scores.accuracy_ci95)})"
    if places:
        lead += f" and on {percent(average(places))} at sources left out of training"
    for tone, reservation in _reservations(labels, scores, evidence, places):
        return f"{lead}, {reservation}", tone
    return f"{lead}; nothing here speaks against a trial on the line, which alone can confirm it.", "good"


def _reservations(
    labels: Sequence[str], scores: Scores, evidence: Evidence, places: dict[str, Judgement]
) -> Iterator[tuple[Tone, str]]:
    untested = [label for label in labels if scores.recall[label] is None]
    if untested:
        yield "bad", f"but there was no picture of {', '.join(untested)} to test with."
    recall = {label: share for label, share in scores.recall.items() if share is not None}
    worst = min(recall, key=lambda label: recall[label])
    counts = [sum(row) for row in scores.confusion]
    commonest = max(range(len(labels)), key=counts.__getitem__)
    if scores.accuracy_ci95[0] <= counts[commonest] / scores.n:
        yield "bad", f"which is not surely better than always answering '{labels[commonest]}'."
    if recall[worst] < USELESS_RECALL:
        yield "bad", f"but it recognises only {percent(recall[worst])} of '{worst}'."
    if evidence.shift is not None and evidence.shift.level in {"clear", "strong"}:
        yield "warn", "but the pictures from the line look different from those of training: expect less there."
    if places:
        poorest = min(places, key=lambda name: places[name].accuracy)
        if places[poorest].accuracy < POOR_PLACE:
            yield "warn", f"but at one of these only on {percent(places[poorest].accuracy)} ({poorest})."
    if any(one.forgets for one in evidence.forgetting.values()):
        yield "warn", "but fine-tuning changed the backbone's features much, so mind pictures from new places."
    least_sure = min(recall, key=lambda label: scores.recall_ci95[label][0])
    low = scores.recall_ci95[least_sure][0]
    if low < SURE_RECALL:
        yield "warn", f"but of '{least_sure}' it may recognise as little as {percent(low)}: add pictures of it."
