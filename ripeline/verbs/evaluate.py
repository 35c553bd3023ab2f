"""`ripeline evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ripeline import console, policy

if TYPE_CHECKING:
    from evaluation.metrics import Scores


@click.command(
    "evaluate",
    epilog="""\b
Examples:
  ripeline evaluate run other_farm
  ripeline evaluate run other_farm --costs costs.toml
  ripeline evaluate bundle other_farm --artefact tflite-int8 -o evaluation""",
)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Folder for evaluation.json, .html and predictions.csv."
)
@click.option("--artefact", help="Which artefact of a bundle. Default: the bundle's own default.")
@click.option("--engine", default="auto", show_default=True, help="Which engine runs it.")
@click.option("--domain", default="source", show_default=True, metavar="COLUMN", help="Of manifest.csv: where from.")
@policy.options("the model's own policy.")
@console.force
@console.as_json
def verb(
    model: Path,
    data: Path,
    output: Path | None,
    artefact: str | None,
    engine: str,
    domain: str,
    accept: str | None,
    costs: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Measure MODEL (a run or a bundle) on the labelled pictures in DATA.

    A bundle goes through the engine and the preprocessing of the line. Pictures that the run trained on are counted and
    warned about: they make the figures look better than they are.
    """
    if output is not None:
        console.check_output(output, marker="evaluation.json", force=force)
        import jinja2  # noqa: F401 - a page that cannot be made is known before the work, not after
        import matplotlib as mpl  # noqa: F401
    from edge_runtime.deciding.decide import softmax
    from evaluation.dataset import read_dataset
    from evaluation.metrics import score
    from ripeline.classifier import open_classifier

    asked = policy.settings(accept, costs)
    classifier = open_classifier(model, artefact=artefact, engine=engine)
    judge = asked.policy(classifier.labels, "bundle") if asked else classifier.policy
    dataset = read_dataset(data, classifier.labels, every_label=False, domain=domain)
    for text in dataset.notices:
        console.notice(text)
    items = dataset.items
    if not items:
        from edge_runtime.errors import InputError

        raise InputError(
            f"No readable picture in {data} has a label that the model knows.",
            expected=f"sub-folders named {', '.join(classifier.labels)}",
        )
    seen = sum(item.sha256 in classifier.trained_on for item in items)
    if seen:
        console.notice(f"{seen} of {len(items)} pictures were trained on: these figures flatter the model.")
    probabilities = softmax(classifier.logits(items))
    scores = score(
        classifier.labels,
        dataset.label_indices(),
        probabilities,
        [item.group for item in items],
        temperature=classifier.temperature,
        sources=[item.source for item in items],
        policy=judge,
    )
    document: dict[str, Any] = scores.model_dump(mode="json") | {
        "labels": list(classifier.labels),
        "ignored": dataset.ignored,
        "unreadable": list(dataset.unreadable),
        "seen_in_training": seen,
        **classifier.origin,
    }
    if output is not None:
        from evaluation.predictions import write_predictions
        from evaluation.report import write_evaluation
        from evaluation.temperature import tempered

        console.new_folder(output, marker="evaluation.json", force=force)
        (output / "evaluation.json").write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")
        truth = [item.label for item in items]
        confident = tempered(probabilities, classifier.temperature)
        write_predictions(output / "predictions.csv", classifier.labels, items, confident, truth)
        title = f"{classifier.origin['artefact']} of {model.name} on {data.name}"
        page = output / "evaluation.html"
        write_evaluation(page, title, classifier.labels, items, classifier.spec, probabilities, scores, dataset.notices)
        console.say(f"Wrote {output}. Look at {page}")
    _tell(scores)
    console.say(
        console.table(
            [
                {"label": label, "recall": "-" if scores.recall[label] is None else f"{scores.recall[label]:.1%}"}
                | {f"as {other}": str(n) for other, n in zip(classifier.labels, row, strict=True)}
                for label, row in zip(classifier.labels, scores.confusion, strict=True)
            ]
        )
    )
    console.emit(document, as_json=as_json)


def _tell(scores: Scores) -> None:
    low, high = scores.accuracy_ci95
    console.say(f"Accuracy {scores.accuracy:.1%} ({low:.1%} to {high:.1%}) on {scores.n} pictures,")
    balanced = scores.balanced_accuracy_ci95 or (0.0, 1.0)
    console.say(f"balanced {scores.balanced_accuracy:.1%} ({balanced[0]:.1%} to {balanced[1]:.1%}).")
    if scores.two_step_errors:
        both = scores.two_step_errors.both
        console.say(f"Two-step errors: {both.count} ({both.ci95[0]:.1%} to {both.ci95[1]:.1%} of all).")
    if scores.calibrated:
        console.say(f"Confidence is off by {scores.calibrated.expected_calibration_error:.1%} on average.")
    if scores.cost:
        cost, accepted = scores.cost, ", ".join(scores.cost.policy.accepted()) or "nothing"
        console.say(
            f"Cost a fruit {cost.mean:.3g} ({cost.mean_ci95[0]:.3g} to {cost.mean_ci95[1]:.3g}) when {accepted} is "
            f"accepted; {cost.constant} for every fruit would cost {cost.constant_mean:.3g}."
        )
