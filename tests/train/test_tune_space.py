from __future__ import annotations

import shlex
from pathlib import Path

import optuna
import pytest

from edge_runtime.errors import InputError
from ripeline.settings import train_config
from ripeline.verbs.train import verb as train_verb
from train import TrainConfig
from train.tune_space import Space, settings, suggest, train_command, usual, weights_by_alpha


@pytest.mark.parametrize(
    ("given", "alphas", "expected"),
    [
        ((), None, {0.35: "imagenet", 0.5: "imagenet", 0.75: "imagenet", 1.0: "imagenet"}),
        (("imagenet",), (0.5,), {0.5: "imagenet"}),
        (("starter",), None, {0.35: "starter"}),
        (("a.h5",), None, {0.35: "a.h5"}),
        (("a.h5",), (1.0,), {1.0: "a.h5"}),
        (("1.0=b.h5", "0.35=a.h5"), None, {0.35: "a.h5", 1.0: "b.h5"}),
        (("1.0=b.h5", "0.35=a.h5"), (1.0,), {1.0: "b.h5"}),
    ],
)
def test_each_width_has_its_own_weights(
    given: tuple[str, ...], alphas: tuple[float, ...] | None, expected: dict[float, str]
) -> None:
    assert weights_by_alpha(given, alphas) == expected


@pytest.mark.parametrize(
    ("given", "alphas", "remedy"),
    [
        (("a.h5",), (0.35, 1.0), "--weights 0.35=a.h5 --weights 1=FILE"),
        (("0.35=a.h5",), (0.35, 1.0), "Add --weights 1=FILE"),
        (("a.h5", "b.h5"), None, "--weights 0.35=small.weights.h5"),
        (("wide=a.h5",), None, "ALPHA=FILE"),
    ],
)
def test_a_width_without_weights_is_refused_with_what_to_type(
    given: tuple[str, ...], alphas: tuple[float, ...] | None, remedy: str
) -> None:
    with pytest.raises(InputError) as caught:
        weights_by_alpha(given, alphas)
    assert remedy in str(caught.value)


def test_the_printed_command_trains_with_the_very_settings_of_the_trial() -> None:
    base = TrainConfig(data=Path("my photos"), labels=("unripe", "ripe"), seed=3, select_by="validation")
    space = Space({0.35: "small net.h5", 1.0: "imagenet"}, (96, 160))
    params = {
        "alpha": 0.35, "size_px": 96, "head_decay": 0.0234567, "head_rate": 0.00123456, "dropout": 0.123456,
        "fine_tune_at": 0.2, "fine_tune_rate": 2.34567e-5,
    }  # fmt: skip
    for point in (params, usual(base, space)):
        config = settings(base, space, point)
        words = shlex.split(train_command(config))
        assert words[:2] == ["ripeline", "train"]
        typed = train_verb.make_context("train", words[2:]).params
        given = {name: value for name, value in typed.items() if name in TrainConfig.model_fields and value is not None}
        assert train_config(given.pop("data"), given.pop("labels"), given) == config
    assert settings(base, space, params).fine_tune_rate == 2.35e-5
    assert settings(base, space, params).weights == "small net.h5"


def test_only_what_shows_in_what_ships_is_searched() -> None:
    """A head that is fitted to its end forgets its rate and its dropout; one that phase two goes on from does not."""
    everywhere = {"alpha", "size_px", "head_decay", "fine_tune_at"}
    head, both = {"head_rate", "dropout"}, {"head_rate", "dropout", "fine_tune_rate"}
    for finished, share, more in ((True, 0.0, set()), (True, 0.2, both), (False, 0.0, head), (False, 0.2, both)):
        study = optuna.create_study()
        study.enqueue_trial({"fine_tune_at": share})
        trial, space = study.ask(), Space({0.35: "none"}, (64,), finished)
        suggest(trial, space)
        assert set(trial.params) == everywhere | more
        assert set(usual(TrainConfig(data=Path("photos")), space)) == everywhere | (set() if finished else head)


def test_the_first_trial_is_what_train_does_by_itself() -> None:
    base = TrainConfig(data=Path("photos"))
    config = settings(base, Space({0.35: "imagenet", 1.0: "imagenet"}), usual(base, Space({0.35: "imagenet"})))
    assert config == base.model_copy(update={"fine_tune_at": 0.0})
    assert usual(base, Space({1.0: "imagenet"}, (96, 224)))["size_px"] in {96, 224}
