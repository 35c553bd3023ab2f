"""The Optuna study behind `ripeline tune`: one question, asked by as many processes and machines as share its storage.

Optuna: Akiba et al. 2019; points are proposed by TPE (Bergstra et al. 2011).
"""

from __future__ import annotations

import hashlib
import random
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from edge_runtime.errors import InputError
from train.config import TrainConfig
from train.tune_space import NAMED_WEIGHTS, Space

FAILURE: Final = "failure"
"""User attribute of a trial that raised: why. One whose process was killed has none, and is tried again."""
_QUESTION = "question"
_HEARTBEAT_S, _GRACE_S = 20, 60
_SQLITE_WAIT_S = 60
_ATTEMPTS, _PAUSE_S = 5, (0.2, 1.0)
_LEAST_TRIALS_TO_PRUNE = 5

optuna.logging.set_verbosity(optuna.logging.ERROR)


@contextmanager
def without_warnings() -> Iterator[None]:
    """Heartbeats and plots are called experimental by Optuna, which is no news to a user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def question(base: TrainConfig, space: Space, data_sha256: str, labels: Sequence[str]) -> dict[str, Any]:
    """What every process of a study must agree on, whatever its paths are called."""
    shared = {"seed", "epochs", "fine_tune_epochs", "select_by", "domain", "views", "patience"}
    return {
        "data": data_sha256,
        "labels": list(labels),
        "sizes_px": list(space.sizes_px),
        "weights": {f"{alpha:g}": _identity(weights) for alpha, weights in space.weights.items()},
        **base.model_dump(mode="json", include=shared),
    }


def _identity(weights: str) -> str:
    if weights in NAMED_WEIGHTS:
        return weights
    path = Path(weights)
    if not path.is_file():
        raise InputError(f"There is no weights file {path}.", remedy="Correct --weights.")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def open_study(url: str, name: str, asked: dict[str, Any], first: dict[str, Any]) -> optuna.Study:
    """Join a study, or found it.

    Args:
        url: SQLAlchemy URL of the database.
        name: Of the study in it.
        asked: The question, from `question`.
        first: The point that a new study begins with.

    Raises:
        InputError: The database cannot be used, or the study there asks something else.
    """
    for attempts_left in reversed(range(_ATTEMPTS)):
        try:
            study = _found_or_join(url, name, asked, first)
            break
        except (SQLAlchemyError, StorageInternalError, ImportError, RuntimeError) as error:
            if attempts_left and not isinstance(error, ImportError):
                time.sleep(random.uniform(*_PAUSE_S))
                continue
            raise InputError(
                f"The study's storage {shown_url(url)} cannot be used: {str(error).splitlines()[0]}",
                expected="a database URL such as sqlite:///study.db or "
                "postgresql+psycopg://user:password@host/database",
                remedy="Correct --storage, and see that the database exists and lets this user create tables.",
            ) from error
    known = study.user_attrs[_QUESTION]
    if differing := sorted(key for key in asked if known.get(key) != asked[key]):
        raise InputError(
            f"Study '{name}' in {shown_url(url)} was begun with other {' and '.join(differing)}.",
            expected="the same pictures and settings on every machine and every time",
            remedy="Give what it was begun with, or begin another study with another -o or --study.",
        )
    return study


def _found_or_join(url: str, name: str, asked: dict[str, Any], first: dict[str, Any]) -> optuna.Study:
    """Fails where another process is just making the same tables or rows; a moment later they are there."""
    with without_warnings():
        storage = RDBStorage(
            url,
            engine_kwargs={"connect_args": {"timeout": _SQLITE_WAIT_S}} if url.startswith("sqlite") else {},
            heartbeat_interval=_HEARTBEAT_S,
            grace_period=_GRACE_S,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=1),
        )
    study = optuna.create_study(
        storage=storage,
        # No seed: processes that share a study must not propose the same points.
        sampler=optuna.samplers.TPESampler(constant_liar=True),
        pruner=optuna.pruners.MedianPruner(_LEAST_TRIALS_TO_PRUNE, n_warmup_steps=0),
        study_name=name,
        direction="minimize",
        load_if_exists=True,
    )
    if _QUESTION not in study.user_attrs:
        study.set_user_attr(_QUESTION, asked)
        study.enqueue_trial(first, skip_if_exists=True)
    return study


def shown_url(url: str) -> str:
    """The URL without its password.

    Raises:
        InputError: It is no database URL.
    """
    try:
        return make_url(url).render_as_string(hide_password=True)
    except SQLAlchemyError as error:
        raise InputError(
            f"--storage {url} is no database URL.",
            expected="such as sqlite:///study.db or postgresql+psycopg://user:password@host/database",
        ) from error


def begun(study: optuna.Study) -> int:
    """Trials that count: ended, or under way on any machine; not those whose process was killed."""
    with without_warnings():
        optuna.storages.fail_stale_trials(study)
    return sum(one.state in _COUNTED or FAILURE in one.user_attrs for one in study.get_trials(deepcopy=False))


_COUNTED = {TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING}


def completed(study: optuna.Study) -> list[FrozenTrial]:
    """Trials with a result, best first."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sorted(trials, key=lambda one: (loss_of(one), one.number))


def loss_of(trial: FrozenTrial) -> float:
    """Of a completed trial."""
    assert trial.value is not None
    return trial.value


def seconds_of(trial: FrozenTrial) -> float:
    """Of a trial that has ended."""
    assert trial.duration is not None
    return trial.duration.total_seconds()
