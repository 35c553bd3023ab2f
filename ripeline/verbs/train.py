"""`ripeline train`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from ripeline import console, policy
from ripeline.settings import train_config


@click.command(
    "train",
    epilog="""\b
Examples:
  ripeline train photos -o run
  ripeline train photos -o run --labels unripe,turning,ripe --weights backbone.weights.h5 --alpha 0.35
  ripeline train demo-data -o run --weights starter        # no download
  ripeline train photos -o run --fine-tune-at block_14_expand --select-by validation
  ripeline train photos -o run --fine-tune-at block_1_expand --fine-tune-rate 7e-4 --fine-tune-schedule cosine
  ripeline train photos -o run --accept turning,ripe --target pictures_of_the_line
  ripeline train --resume run                              # goes on where it was killed""",
)
@click.argument("data", type=click.Path(path_type=Path), required=False)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The run directory to write.")
@click.option(
    "--resume", type=click.Path(path_type=Path), metavar="RUN", help="Go on with a run that was killed; nothing else."
)
@click.option(
    "--labels", help="Labels to use, comma-separated, in ripeness order. Default: labels.txt, else the alphabet."
)
@click.option(
    "--weights",
    help="imagenet (default, downloads), starter (comes with Ripeline), none, or a Keras weights file without top.",
)
@click.option("--alpha", type=float, help="Width of MobileNetV2: 0.35 (default), 0.5, 0.75, 1.0, 1.3 or 1.4.")
@click.option("--image-size", "size_px", type=int, help="Side of the square that the model sees, in pixels.")
@click.option("--epochs", type=int, help="Ceiling of phase one, which ends by itself on a plateau.")
@click.option(
    "--fine-tune-epochs", type=int,
    help="Ceiling of phase two, its length where the rate falls; 0 leaves the backbone as it is.",
)  # fmt: skip
@click.option(
    "--fine-tune-at",
    metavar="WHERE",
    help="What phase two may change: the backbone from a layer on, by number (100) or name (block_14_expand), a share "
    "of its layers (0.2), or auto (default), which tries a few and unfreezes nothing where that is best.",
)
@click.option(
    "--head-decay", type=float,
    help="Penalty on the weights of every head that is fitted, the final one too. Default: 1e-2.",
)  # fmt: skip
@click.option(
    "--head-rate", type=float,
    help="Learning rate of phase one. Default: 3e-4. Where sources judge and nothing is unfrozen, the head is then "
    "fitted to its end, and neither this nor --dropout shows in the model.",
)  # fmt: skip
@click.option("--fine-tune-rate", type=float, help="Learning rate of phase two, the highest of it. Default: 1e-5.")
@click.option(
    "--fine-tune-schedule",
    type=click.Choice(["constant", "cosine"]),
    help="Whether that rate stays (constant, default) and phase two ends on a plateau, or warms up for an epoch, falls "
    "to 0 along a cosine and ends there: for most of the backbone and many pictures of your own line.",
)
@click.option(
    "--dropout",
    type=float,
    help="Share of the features hidden from the head at each step of both phases. Default: 0.2.",
)
@click.option(
    "--select-by",
    type=click.Choice(["source", "validation"]),
    help="Who judges: sources held out in turn (default where there are three), or the validation split.",
)
@click.option(
    "--domain", metavar="COLUMN", help="Column of manifest.csv with the source of a picture. Default: source."
)
@click.option("--cache-budget", "cache_budget_mb", type=float, metavar="MB", help="Memory for caches. Default: 2048.")
@policy.options("the last label of the ripeness order.")
@click.option(
    "--target", type=click.Path(path_type=Path), metavar="PICTURES",
    help="Pictures from the line, labelled or not: the report says whether they look like those of training.",
)  # fmt: skip
@click.option(
    "--retention", type=click.Path(path_type=Path), metavar="PICTURES",
    help="Pictures that fine-tuning should not forget: measured beside the validation pictures.",
)  # fmt: skip
@click.option("--seed", type=int, help="Of the split, the views and the training.")
@console.force
@console.as_json
def verb(
    data: Path | None,
    output: Path | None,
    resume: Path | None,
    labels: str | None,
    weights: str | None,
    accept: str | None,
    costs: Path | None,
    as_json: bool,
    force: bool,
    **settings: Any,
) -> None:
    """Fine-tune MobileNetV2 on DATA, a folder with one sub-folder of pictures a label.

    Writes a run directory: model.keras, run.json, splits.csv, history.csv, predictions.csv and report.html. What is
    needed to go on after a crash lies beside it in a hidden folder until the run is finished.
    """
    from train import resume_run, train_run

    given = {name: value for name, value in settings.items() if value is not None}
    given |= {"weights": weights} if weights else {}
    judge = policy.settings(accept, costs)
    given |= {"policy": judge} if judge else {}
    if resume is not None:
        if data or output or labels or force or given:
            raise click.UsageError("--resume takes everything else from the run: ripeline train --resume RUN")
        run = resume_run(resume, on_event=console.Narrator())
    else:
        if data is None or output is None:
            raise click.UsageError("Say what to train on and where to write: ripeline train DATA -o RUN")
        console.check_outside(output, data)
        console.check_output(output, marker="run.json", force=force)
        config = train_config(data, labels, given)
        try:
            run = train_run(config, output, force=force, on_event=console.Narrator())
        except KeyboardInterrupt:
            console.say(f"Go on with: ripeline train --resume {shlex.quote(str(output))}")
            raise
    record = run.record
    test = record.test
    low, high = test.accuracy_ci95
    console.say(
        f"Test accuracy {test.accuracy:.1%} ({low:.1%} to {high:.1%}) on {test.n} pictures that training never saw;"
    )
    console.say(
        f"balanced {test.balanced_accuracy:.1%}. Took {record.seconds:.0f} s. Look at {run.folder / 'report.html'}"
    )
    console.say(f"Next: ripeline export {shlex.quote(str(run.folder))} -o BUNDLE")
    console.emit(run.summary(), as_json=as_json)
