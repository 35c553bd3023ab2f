"""Labels that pictures of other groups disagree with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from evaluation.dataset import Item
from train.audit.findings import Finding, Kind, Severity


def label_findings(
    items: Sequence[Item], labels: Sequence[str], truth: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64]
) -> list[Finding]:
    """Confident learning (Northcutt, Jiang & Chuang, JAIR 70, 2021), by cleanlab.

    A picture is named when both of cleanlab's criteria name it: pruning by class and by noise rate. Ranked by the
    margin between the given label and the likeliest other one.

    Args:
        items: N pictures.
        labels: In the order of the columns of `probabilities`; each has pictures.
        truth: `[N]` indices of the given labels.
        probabilities: `[N, labels]`, out of sample.
    """
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    named = np.flatnonzero(find_label_issues(truth, probabilities, filter_by="both", n_jobs=1))
    quality = get_label_quality_scores(truth, probabilities, method="normalized_margin")
    answer = probabilities.argmax(axis=1)
    return [
        Finding(
            kind=Kind.MISLABELLED,
            severity=Severity.WARNING,
            sentence=f"Labelled {items[at].label}, looks like {labels[answer[at]]} "
            f"({probabilities[at, answer[at]]:.0%} to {probabilities[at, truth[at]]:.0%}).",
            files=(items[at].file,),
            score=1 - float(quality[at]),
            suggested_label=labels[answer[at]],
        )
        for at in named
        if answer[at] != truth[at]
    ]
