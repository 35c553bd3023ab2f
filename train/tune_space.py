"""What `ripeline tune` searches: the space, and a point of it as settings of a run and as a command to type."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge_runtime.errors import InputError
from train.config import TrainConfig

if TYPE_CHECKING:
    from optuna import Trial

Params = Mapping[str, Any]
"""A point of the space, by name, as Optuna keeps it."""

NAMED_WEIGHTS: Final = ("imagenet", "starter", "none")
DEFAULT_ALPHAS: Final = {"imagenet": (0.35, 0.5, 0.75, 1.0)}
ONE_ALPHA: Final = (0.35,)
SIZES_PX: Final = (96, 128, 160, 192, 224)
"""Those for which there are ImageNet weights."""
SHARES: Final = (0.0, 0.10, 0.20, 0.35)
"""Of the backbone's layers to unfreeze; 0 leaves it as it is."""
HEAD_DECAYS: Final = (1e-3, 1e-1)
HEAD_RATES: Final = (1e-4, 3e-3)
FINE_TUNE_RATES: Final = (1e-6, 1e-4)
DROPOUTS: Final = (0.0, 0.5)
_DIGITS = 3


@dataclass(frozen=True, slots=True)
class Space:
    """Widths with the weights of each, and picture sizes; rates, penalty, dropout and shares have the usual ranges.

    `finished` says that held-out sources judge: a head on a backbone left as it is will then be fitted to its end
    (`train.finish`), whatever its rate and dropout, which are asked for only where something is unfrozen.
    """

    weights: Mapping[float, str]
    sizes_px: tuple[int, ...] = SIZES_PX
    finished: bool = False


def weights_by_alpha(given: Sequence[str], alphas: Sequence[float] | None) -> dict[float, str]:
    """Which weights each width begins with.

    Args:
        given: One of `NAMED_WEIGHTS`, or a file, or a file for each width as `ALPHA=FILE`; nothing is `imagenet`.
        alphas: Widths to search; None takes all that `given` names, or a usual choice where it names none.

    Raises:
        InputError: A width would have no weights, or a file would have to serve several.
    """
    files = dict(_alpha_and_file(text) for text in given if _is_pair(text))
    plain = [text for text in given if not _is_pair(text)]
    if files and not plain:
        missing = sorted(set(alphas or files) - set(files))
        if missing:
            raise InputError(
                f"--alphas asks for {missing[0]:g}, but no --weights names a file for it.",
                remedy=f"Add --weights {missing[0]:g}=FILE, or leave {missing[0]:g} out.",
            )
        return {alpha: files[alpha] for alpha in alphas or sorted(files)}
    if len(given) > 1:
        raise InputError(
            f"--weights is given {len(given)} times.",
            expected="once, or once for each width as ALPHA=FILE",
            remedy="For example: --weights 0.35=small.weights.h5 --weights 1.0=large.weights.h5",
        )
    weights = plain[0] if plain else "imagenet"
    chosen = tuple(alphas) if alphas else DEFAULT_ALPHAS.get(weights, ONE_ALPHA)
    if weights not in NAMED_WEIGHTS and len(chosen) > 1:
        raise InputError(
            f"{weights} belongs to one width, but --alphas names {len(chosen)}.",
            expected="a weights file for each width",
            remedy=f"For example: --weights {shlex.quote(f'{chosen[0]:g}={weights}')} --weights {chosen[1]:g}=FILE",
        )
    return dict.fromkeys(chosen, weights)


def _is_pair(text: str) -> bool:
    return "=" in text and not Path(text).is_file()


def _alpha_and_file(text: str) -> tuple[float, str]:
    alpha, _, file = text.partition("=")
    try:
        return float(alpha), file
    except ValueError:
        raise InputError(
            f"--weights {text}: {alpha} is no width.", expected="ALPHA=FILE, such as 0.35=backbone.weights.h5"
        ) from None


def suggest(trial: Trial, space: Space) -> None:
    """Ask Optuna for a point, and only for what makes a difference there."""
    trial.suggest_categorical("alpha", list(space.weights))
    trial.suggest_categorical("size_px", list(space.sizes_px))
    trial.suggest_float("head_decay", *HEAD_DECAYS, log=True)
    unfrozen = trial.suggest_categorical("fine_tune_at", list(SHARES))
    if unfrozen or not space.finished:
        trial.suggest_float("head_rate", *HEAD_RATES, log=True)
        trial.suggest_float("dropout", *DROPOUTS)
    if unfrozen:
        trial.suggest_float("fine_tune_rate", *FINE_TUNE_RATES, log=True)


def usual(base: TrainConfig, space: Space) -> dict[str, Any]:
    """The point nearest to what `ripeline train` does by itself: the first trial, that others must beat."""
    head = {} if space.finished else {"head_rate": base.head_rate, "dropout": base.dropout}
    return {
        "alpha": min(space.weights, key=lambda alpha: abs(alpha - base.alpha)),
        "size_px": min(space.sizes_px, key=lambda size: abs(size - base.size_px)),
        "head_decay": base.head_decay,
        "fine_tune_at": 0.0,
        **head,
    }


def settings(base: TrainConfig, space: Space, params: Params) -> TrainConfig:
    """A run's settings at a point. Rates, penalty and dropout are short, so that a command line holds them exactly."""
    short = {name: float(f"{value:.{_DIGITS}g}") for name, value in params.items() if isinstance(value, float)}
    return TrainConfig.model_validate(
        base.model_dump() | dict(params) | short | {"weights": space.weights[params["alpha"]]}
    )


def train_command(config: TrainConfig, run: str = "RUN") -> str:
    """The `ripeline train` that does the same as a trial with these settings."""
    words: dict[str, object] = {
        "--weights": config.weights,
        "--alpha": f"{config.alpha:g}",
        "--image-size": config.size_px,
        "--head-decay": f"{config.head_decay:g}",
        "--head-rate": f"{config.head_rate:g}",
        "--dropout": f"{config.dropout:g}",
        "--fine-tune-at": config.fine_tune_at,
    }
    if config.fine_tune_at:
        words["--fine-tune-rate"] = f"{config.fine_tune_rate:g}"
    usual_config = TrainConfig(data=config.data)
    for name in ("labels", "select_by", "domain", "seed", "epochs", "fine_tune_epochs"):
        value = getattr(config, name)
        if value != getattr(usual_config, name):
            words["--" + name.replace("_", "-")] = ",".join(value) if isinstance(value, tuple) else value
    parts = ["ripeline", "train", str(config.data), "-o", run]
    return shlex.join([*parts, *(str(part) for pair in words.items() for part in pair)])


def in_words(config: TrainConfig) -> str:
    """What is searched, as short as it can be said."""
    share = float(config.fine_tune_at)
    phase_two = f"{share:.0%} unfrozen at {config.fine_tune_rate:g}" if share else "nothing unfrozen"
    return (
        f"alpha {config.alpha:g}, {config.size_px} px, penalty {config.head_decay:g}, head rate {config.head_rate:g}, "
        f"dropout {config.dropout:g}, {phase_two}"
    )
