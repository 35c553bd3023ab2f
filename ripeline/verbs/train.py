"""`ripeline train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ripeline import console


@click.command(
    "train",
    epilog="""\b
Examples:
  ripeline train photos -o run
  ripeline train photos -o run --labels unripe,turning,ripe --weights backbone.weights.h5 --alpha 0.35
  ripeline train demo-data -o run --weights starter        # no download""",
)
@click.argument("data", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The run directory to write.")
@click.option(
    "--labels", help="Labels to use, comma-separated, in ripeness order. Default: labels.txt, else the alphabet."
)
@click.option(
    "--weights",
    default="imagenet",
    show_default=True,
    help="imagenet (downloads), starter (comes with Ripeline), none, or a Keras weights file without top.",
)
@click.option("--alpha", type=float, help="Width of MobileNetV2: 0.35 (default), 0.5, 0.75, 1.0, 1.3 or 1.4.")
@click.option("--image-size", "size_px", type=int, help="Side of the square that the model sees, in pixels.")
@click.option("--epochs", type=int, help="Ceiling of phase one, which ends by itself on a plateau.")
@click.option("--fine-tune-epochs", type=int, help="Ceiling of phase two; 0 leaves the backbone as it is.")
@click.option("--fine-tune-at", type=int, help="First backbone layer that phase two may change.")
@click.option("--seed", type=int, help="Of the split, the views and the training.")
@console.force
@console.as_json
def verb(data: Path, output: Path, labels: str | None, as_json: bool, force: bool, **settings: Any) -> None:
    """Fine-tune MobileNetV2 on DATA, a folder with one sub-folder of pictures a label.

    Writes a run directory: model.keras, run.json, splits.csv, history.csv, predictions.csv and report.html.
    """
    from pydantic import ValidationError

    from edge_runtime.errors import InputError

    console.check_output(output, marker="run.json", force=force)
    from train import TrainConfig

    given = {name: value for name, value in settings.items() if value is not None}
    try:
        config = TrainConfig(data=data, labels=console.split_names(labels), **given)
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("size_px", "image_size").replace("_", "-")
        raise InputError(f"{option} {first['input']}: {first['msg']}.", remedy="see `ripeline train --help`") from error
    from train import train_run

    run = train_run(config, output, force=force, on_event=console.Narrator())
    record = run.record
    test = record.test
    low, high = test.accuracy_ci95
    console.say(
        f"Test accuracy {test.accuracy:.1%} ({low:.1%} to {high:.1%}) on {test.n} pictures that training never saw;"
    )
    console.say(
        f"balanced {test.balanced_accuracy:.1%}. Took {record.seconds:.0f} s. Look at {run.folder / 'report.html'}"
    )
    console.say(f"Next: ripeline export {run.folder} -o BUNDLE")
    console.emit(run.summary(), as_json=as_json)
