"""A linear probe on frozen features, asked only about pictures of groups that it did not learn from."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

FOLDS = 5
STRENGTH = 0.01
"""Inverse L2 penalty on features of unit mean spread; 0.001 to 0.1 differ by less than a point of accuracy."""
STEPS = 200


def held_out_probabilities(
    features: npt.NDArray[np.float32], truth: npt.NDArray[np.int64], groups: npt.NDArray[np.str_]
) -> npt.NDArray[np.float64] | None:
    """Out-of-sample probabilities of a logistic regression, cross-validated by group and stratified by class.

    Args:
        features: `[N, channels]`.
        truth: `[N]` class indices, each of 0 to classes - 1 present.
        groups: `[N]`; a group is never on both sides.

    Returns:
        `[N, classes]`, or None where a class has but one group, so that nothing can be held out.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

    least = min(len(np.unique(groups[truth == one])) for one in np.unique(truth))
    folds = min(FOLDS, least)
    if folds < 2 or len(np.unique(truth)) < 2:
        return None
    scaled = (features - features.mean(axis=0)) / max(float(features.std(axis=0).mean()), 1e-12)
    splits = list(StratifiedGroupKFold(folds, shuffle=True, random_state=0).split(scaled, truth, groups))
    if any(len(np.unique(truth[train])) < len(np.unique(truth)) for train, _ in splits):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a probe that is nearly there ranks just as well
        found: npt.NDArray[np.float64] = cross_val_predict(
            LogisticRegression(C=STRENGTH, max_iter=STEPS), scaled, truth, cv=splits, method="predict_proba"
        )
    return found
