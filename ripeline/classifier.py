"""A run or a bundle, opened to classify pictures: what `evaluate` and `predict` share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_runtime.bundles.bundle import MANIFEST
from edge_runtime.deciding.decide import Policy, softmax
from edge_runtime.errors import InputError
from edge_runtime.preprocess import InputSpec
from evaluation.dataset import Picture, load_inputs

_CHUNK = 256


@dataclass(frozen=True)
class Classifier:
    """Labels in order, what was opened, and a way from pictures to what the model says of them.

    `temperature` makes its confidence honest, `policy` is the one it comes with.
    """

    labels: tuple[str, ...]
    spec: InputSpec
    origin: dict[str, str]
    trained_on: frozenset[str]
    temperature: float
    policy: Policy
    _logits: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]

    def logits(self, pictures: Sequence[Picture]) -> npt.NDArray[np.float32]:
        """`[n, labels]` for all pictures, read a few hundred at a time."""
        chunks = (pictures[at : at + _CHUNK] for at in range(0, len(pictures), _CHUNK))
        return np.concatenate([self._logits(load_inputs(chunk, self.spec)) for chunk in chunks])

    def probabilities(self, pictures: Sequence[Picture]) -> npt.NDArray[np.float64]:
        """Answers for all pictures under the temperature, `[n, labels]`."""
        return softmax(self.logits(pictures), self.temperature)


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
    from edge_runtime.bundles.bundle import open_bundle
    from edge_runtime.bundles.select import select_engine

    bundle = open_bundle(model)
    manifest = bundle.manifest
    chosen = select_engine(bundle, artefact=artefact or manifest.default_artefact, engine=engine)
    return Classifier(
        labels=manifest.labels,
        spec=manifest.input,
        origin={"model": str(model), "artefact": chosen.artefact, "engine": chosen.engine.name},
        trained_on=bundle.trained_on(),
        temperature=chosen.temperature,
        policy=manifest.policy,
        _logits=chosen.engine.logits,
    )


def _open_run(model: Path) -> Classifier:
    from train.run_directory import read_run

    run = read_run(model)
    from train import load_keras_model, logits_model  # seconds of TensorFlow, after what may be refused

    network = logits_model(load_keras_model(run))
    test = run.record.test
    return Classifier(
        labels=run.record.labels,
        spec=run.record.input,
        origin={"model": str(model), "artefact": "model.keras", "engine": "keras"},
        trained_on=run.learned,
        temperature=test.calibrated.temperature if test.calibrated else 1.0,
        policy=test.cost.policy if test.cost else Policy.accepting(run.record.labels, run.record.labels[-1:]),
        _logits=lambda inputs: network.predict(inputs, verbose=0),
    )
