"""`ripeline predict`."""

from __future__ import annotations

from pathlib import Path

import click

from ripeline import console


@click.command(
    "predict",
    epilog="""\b
Example:
  ripeline predict bundle new_photos -o probabilities.csv""",
)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The CSV file to write.")
@click.option("--artefact", help="Which artefact of a bundle. Default: the bundle's own default.")
@click.option("--engine", default="auto", show_default=True, help="Which engine runs it.")
@console.force
@console.as_json
def verb(
    model: Path, images: Path, output: Path, artefact: str | None, engine: str, force: bool, as_json: bool
) -> None:
    """Write the probabilities that MODEL (a run or a bundle) gives each picture in the folder IMAGES.

    One line a picture: file, the most probable label, and a column a label.
    """
    from edge_runtime.errors import InputError

    if output.is_dir() or (output.exists() and not force):
        raise InputError(f"{output} is there already.", remedy="choose another -o, or give --force to replace it")
    from evaluation.dataset import read_images
    from evaluation.predictions import write_predictions
    from ripeline.classifier import open_classifier

    classifier = open_classifier(model, artefact=artefact, engine=engine)
    pictures = read_images(images)
    for text in pictures.notices:
        console.notice(text)
    probabilities = classifier.probabilities(pictures.pictures)
    write_predictions(output, classifier.labels, pictures.pictures, probabilities)
    counts = {label: int((probabilities.argmax(axis=1) == i).sum()) for i, label in enumerate(classifier.labels)}
    console.say(f"{len(probabilities)} pictures: " + ", ".join(f"{n} {label}" for label, n in counts.items()))
    console.say(f"Wrote {output}")
    document = {"file": str(output), "n": len(probabilities), "counts": counts, "unreadable": list(pictures.unreadable)}
    console.emit(document | classifier.origin, as_json=as_json)
