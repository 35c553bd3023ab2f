"""`ripeline tune`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import click

from ripeline import console
from ripeline.settings import train_config

_SECONDS_A_MINUTE = 60

Number = TypeVar("Number", int, float)


@click.command(
    "tune",
    epilog="""\b
Examples:
  ripeline tune photos -o study                            # again: goes on where it stopped
  ripeline tune photos -o study --trials 60 --timeout 480  # at most eight hours
  ripeline tune photos -o study --weights starter --image-sizes 96,128,160
  ripeline tune photos -o study --weights 0.35=small.weights.h5 --weights 1.0=large.weights.h5
On several machines, each with the same pictures:
  ripeline tune photos -o study --storage postgresql+psycopg://user:password@host/database""",
)
@click.argument("data", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder for study.html and .json.")
@click.option("--trials", type=click.IntRange(min=1), default=30, show_default=True,
              help="How many the whole study shall have, all machines and times together.")  # fmt: skip
@click.option("--timeout", type=click.FloatRange(min=0), metavar="MINUTES", help="Begin no trial after so long.")
@click.option("--storage", metavar="URL", help="Database that several machines share. Default: study.db in the folder.")
@click.option("--study", "name", help="The study's name in the database. Default: the folder's name.")
@click.option(
    "--labels", help="Labels to use, comma-separated, in ripeness order. Default: labels.txt, else the alphabet."
)
@click.option(
    "--weights", multiple=True, metavar="WEIGHTS",
    help="imagenet (default, downloads one file for each width and size), starter (alpha 0.35 alone), none, or "
    "a Keras weights file without top; a file belongs to one width, so for several: ALPHA=FILE, once for each.",
)  # fmt: skip
@click.option("--alphas", help="Widths to search, comma-separated. Default: 0.35,0.5,0.75,1.0 with imagenet.")
@click.option("--image-sizes", help="Picture sizes to search, in pixels. Default: 96,128,160,192,224.")
@click.option("--epochs", type=int, help="Ceiling of phase one, as for train.")
@click.option("--fine-tune-epochs", type=int, help="Ceiling of phase two, as for train.")
@click.option(
    "--select-by",
    type=click.Choice(["source", "validation"]),
    help="Whose loss is lowered: sources held out in turn (default where there are three), or the validation split.",
)
@click.option("--domain", metavar="COLUMN", help="Column of manifest.csv with the source of a picture.")
@click.option("--seed", type=int, help="Of the split and of every trial's training.")
@console.as_json
def verb(
    data: Path,
    output: Path,
    trials: int,
    timeout: float | None,
    storage: str | None,
    name: str | None,
    labels: str | None,
    weights: tuple[str, ...],
    alphas: str | None,
    image_sizes: str | None,
    as_json: bool,
    **fixed: Any,
) -> None:
    """Search how much to unfreeze, rates, head penalty, dropout, alpha and image size for DATA.

    The same command again goes on with the study; on several machines with one --storage they share it. What counts is
    the loss of what would ship, on sources held out in turn where manifest.csv has sources; the test split is not
    looked at. Head rate and dropout are searched only where they show in what ships.
    """
    from edge_runtime.errors import InputError
    from train.tune import DATABASE_FILE, PAGE_FILE, STUDY_FILE, tune
    from train.tune_space import SIZES_PX, Space, weights_by_alpha

    if (
        output.is_dir()
        and any(output.iterdir())
        and not any((output / f).exists() for f in (DATABASE_FILE, STUDY_FILE))
    ):
        raise InputError(
            f"{output} holds files, but no study.", expected="a new folder, or that of a study to go on with"
        )
    console.check_outside(output, data)
    space = Space(
        weights_by_alpha(weights, _numbers("--alphas", alphas, float)),
        _numbers("--image-sizes", image_sizes, int) or SIZES_PX,
    )
    given = {key: value for key, value in fixed.items() if value is not None}
    base = train_config(data, labels, given)
    for size_px in space.sizes_px:
        train_config(data, labels, given | {"size_px": size_px})
    timeout_s = None if timeout is None else timeout * _SECONDS_A_MINUTE
    record = tune(
        base, space, output, storage=storage, name=name, trials=trials, timeout_s=timeout_s, on_event=_Narrator()
    )
    usual = "" if record.usual_loss is None else f", {record.usual_loss:.4f} with the usual settings"
    console.say(f"Lowest loss {record.best.loss:.4f} in trial {record.best.trial}{usual}. Look at {output / PAGE_FILE}")
    console.say(f"Next: {record.best.command}")
    console.emit(record.model_dump(mode="json"), as_json=as_json)


def _numbers(option: str, text: str | None, kind: type[Number]) -> tuple[Number, ...] | None:
    names = console.split_names(text)
    try:
        return None if names is None else tuple(kind(name) for name in names)
    except ValueError:
        raise click.BadParameter(
            f"'{text}' is no list of numbers such as 0.35,1.0 or 96,160.", param_hint=option
        ) from None


class _Narrator:
    """A bar while a trial works, and a line at its end."""

    def __init__(self) -> None:
        self._train = console.Narrator()

    def __call__(self, event: Any) -> None:
        """Take one event of `train.tune.tune`."""
        if type(event).__name__ != "TrialEnd":
            self._train(event)
            return
        loss = event.outcome if event.loss is None else f"loss {event.loss:.4f}"
        best = f"; best {event.best[1]:.4f} (trial {event.best[0]})" if event.best else ""
        console.say(f"  trial {event.number:3d}  {loss}  {event.seconds:.0f} s  {event.words}{best}")
