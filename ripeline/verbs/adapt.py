"""`ripeline adapt`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from ripeline import console


@click.command(
    "adapt",
    epilog="""\b
Examples:
  ripeline adapt run line_pictures -o run2
  ripeline adapt run line_pictures -o run2 --data /mnt/photos   # where the run's own pictures are now
  ripeline export run2 -o bundle2""",
)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("new_data", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The run directory to write.")
@click.option("--data", type=click.Path(path_type=Path), help="Where the run's own pictures are now, if they moved.")
@click.option(
    "--domain", default="source", show_default=True, metavar="COLUMN",
    help="Column of the new manifest.csv that says where a picture comes from.",
)  # fmt: skip
@console.force
@console.as_json
def verb(run: Path, new_data: Path, output: Path, data: Path | None, domain: str, force: bool, as_json: bool) -> None:
    """Fit RUN to a new line with a handful of labelled pictures of it, 5 to 40 a label, in seconds.

    NEW_DATA has one sub-folder a label, of labels that RUN knows; some may be missing. How much the new pictures count
    is found by cross-validation, which also tells what to expect there. Where they do not help, the model stays as it
    is and the report says so. The result is a run like any other.
    """
    console.check_output(output, marker="run.json", force=force)
    from train.adapt import adapt_run
    from train.run_directory import read_run

    parent = read_run(run)
    console.check_outside(output, new_data, data or parent.record.data.path)
    adapted = adapt_run(parent, new_data, output, data=data, domain=domain, force=force, on_event=console.Narrator())
    found = adapted.record.adaptation
    assert found is not None
    low, high = found.expected.accuracy_ci95
    expectation = f"On the new line expect {found.expected.accuracy:.1%} ({low:.1%} to {high:.1%})"
    if not found.changed:
        console.say(f"The new pictures do not make the model better: it is unchanged. {expectation}.")
    else:
        console.say(
            f"{expectation}; before it was {found.before.accuracy:.1%}."
            + ("" if found.surely_helps else " So few pictures cannot tell the difference from chance.")
        )
    old = found.on_old
    console.say(f"On the old test pictures {old.accuracy_after:.1%}; before it was {old.accuracy_before:.1%}.")
    for label in found.untested:
        console.notice(f"there is no new picture of '{label}': it is untested on the new line.")
    console.say(f"Took {adapted.record.seconds:.0f} s. Look at {output / 'report.html'}")
    console.say(f"Next: ripeline export {shlex.quote(str(output))} -o BUNDLE")
    console.emit(adapted.summary() | {"adaptation": found.model_dump(mode="json")}, as_json=as_json)
