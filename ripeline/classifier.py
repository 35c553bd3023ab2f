"""A run or a bundle, opened to classify pictures: what `evaluate` and `predict` share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle import MANIFEST
from edge_runtime.errors import InputError
from edge_runtime.preprocess import InputSpec
from evaluation.dataset import Picture, load_inputs

_CHUNK = 256


@dataclass(frozen=True)
class Classifier:
    """Labels in order, what was opened, and a way from pictures to probabilities `[n, labels]`."""

    labels: tuple[str, ...]
    spec: InputSpec
    origin: dict[str, str]
    trained_on: frozenset[str]
    _probabilities: Callable[[Sequence[Picture]], npt.NDArray[np.float64]]

    def probabilities(self, pictures: Sequence[Picture]) -> npt.NDArray[np.float64]:
        """Answers for all pictures, read a few hundred at a time."""
        chunks = [self._probabilities(pictures[at : at + _CHUNK]) for at in range(0, len(pictures), _CHUNK)]
        return np.concatenate(chunks)


def open_classifier(model: Path, *, artefact: str | None, engine: str) -> Classifier:
    """Open a bundle (its default artefact on the fastest proven engine, unless named) or a run (its Keras model).

    Raises InputError or BundleError when it is neither, or cannot be used here.
    """
    if (model / MANIFEST).exists():
        return _open_bundle(model, artefact, engine)
    if artefact is not None or engine != "auto":
        raise InputError(
            f"{model} is not a bundle; --artefact and --engine apply to bundles only.",
            remedy="leave them out to use the run's Keras model",
        )
    return _open_run(model)


def _open_bundle(model: Path, artefact: str | None, engine: str) -> Classifier:
    from edge_runtime.bundle import open_bundle
    from edge_runtime.decide import softmax
    from edge_runtime.select import select_engine

    bundle = open_bundle(model)
    manifest = bundle.manifest
    chosen = select_engine(bundle, artefact=artefact or manifest.default_artefact, engine=engine)
    return Classifier(
        labels=manifest.labels,
        spec=manifest.input,
        origin={"model": str(model), "artefact": chosen.artefact, "engine": chosen.engine.name},
        trained_on=bundle.trained_on(),
        _probabilities=lambda pictures: softmax(
            chosen.engine.logits(load_inputs(pictures, manifest.input)), chosen.temperature
        ),
    )


def _open_run(model: Path) -> Classifier:
    from edge_runtime.decide import softmax
    from evaluation.split import Split
    from train.run_directory import read_run

    run = read_run(model)
    from train import load_keras_model, logits_model  # seconds of TensorFlow, after what may be refused

    network = logits_model(load_keras_model(run))
    return Classifier(
        labels=run.record.labels,
        spec=run.record.input,
        origin={"model": str(model), "artefact": "model.keras", "engine": "keras"},
        trained_on=frozenset(row.sha256 for row in run.splits if row.split is Split.TRAIN),
        _probabilities=lambda pictures: softmax(network.predict(load_inputs(pictures, run.record.input), verbose=0)),
    )
