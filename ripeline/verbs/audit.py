"""`ripeline audit`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import click

from ripeline import console

_STAGES = {
    "pictures": "looking at pictures",
    "features": "running the frozen network",
    "probe": "asking the probe",
}
_MARKER = "audit.csv"
_SHOWN = 3


@click.command(
    "audit",
    epilog="""\b
Examples:
  ripeline audit photos                             # then open audit/audit.html
  ripeline audit photos --quick                     # no network: files, copies, counts
  ripeline audit photos -o before --weights starter # no download

Exit code 1 means something serious: a label without pictures, only one label, unreadable files, or copies of one
file under several labels or in several groups.""",
)
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=Path("audit"), show_default=True,
    help="Folder for audit.html, audit.csv and groups.csv; an earlier audit there is replaced.",
)  # fmt: skip
@click.option("--labels", help="Labels to use, comma-separated. Default: labels.txt, else every folder.")
@click.option("--domain", default="source", show_default=True, help="Column of manifest.csv with a picture's source.")
@click.option("--quick", is_flag=True, help="Leave out what needs a network: doubtful labels, visible sources.")
@click.option(
    "--weights", default="imagenet", show_default=True,
    help="Of the network that looks: imagenet (downloads), starter (comes with Ripeline), or a Keras weights file.",
)  # fmt: skip
@click.option("--alpha", type=float, default=0.35, show_default=True, help="Width of that MobileNetV2.")
@console.as_json
def verb(
    data: Path, output: Path, labels: str | None, domain: str, quick: bool, weights: str, alpha: float, as_json: bool
) -> None:
    """Look for what is wrong with the labelled pictures in DATA before a model learns it.

    Unreadable, small, dark, bright and blurred pictures; copies, also cropped, turned or mirrored ones, across labels
    and groups; doubtful labels; few pictures; labels that the source gives away. Nothing in DATA is changed.
    """
    console.check_outside(output, data)
    console.check_output(output, marker=_MARKER, force=True)
    from evaluation.dataset import read_dataset
    from train.audit.findings import summarise
    from train.audit.full import audit, network_features
    from train.audit.page import write_page
    from train.audit.tables import document, write_findings, write_groups
    from train.config import DEFAULT_SIZE_PX

    dataset = read_dataset(data, console.split_names(labels), every_label=False, domain=domain)
    for text in dataset.notices:
        console.notice(text)
    features_of = None if quick else network_features(weights, alpha, DEFAULT_SIZE_PX)
    with ExitStack() as bars:
        found = audit(dataset, features_of, _bars(bars))
    console.new_folder(output, marker=_MARKER, force=True)
    write_findings(output / _MARKER, found)
    write_groups(output / "groups.csv", found)
    write_page(output / "audit.html", found)
    for summary in summarise(found.findings):
        console.say(f"{summary.severity.upper():8} {summary.text}")
        console.say(f"{'':8} To do: {summary.remedy}")
    console.say(f"{len(dataset.items)} pictures. " + ("" if found.findings else "Nothing found. ") + "Look at "
                f"{output / 'audit.html'}")  # fmt: skip
    console.emit(document(found), as_json=as_json)
    if found.serious:
        raise console.GateSaidNo


def _bars(stack: ExitStack) -> Callable[[str, int, int], None]:
    """One progress bar a stage, each ended before the next begins."""
    current: dict[str, Callable[[int, int], None]] = {}

    def advance(stage: str, done: int, total: int) -> None:
        if stage not in current:
            stack.pop_all().close()
            current.clear()
            current[stage] = stack.enter_context(console.progress(_STAGES[stage]))
        current[stage](done, total)

    return advance
