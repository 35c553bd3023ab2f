"""`ripeline demo`: the commands that a user would type, one after the other, and a page about what came of it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click

from ripeline import console

ACCEPT = "ripe"
PER_CLASS = 150
IMAGE_SIZE_PX = 128
CLIP_SECONDS = 20
CLIP_SEED = 7
_COMMANDS = "ripeline-demo.sh"


@click.command(
    "demo",
    epilog="""\b
Example:
  ripeline demo -o demo-out""",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("demo-out"),
    show_default=True,
    help="Folder to fill.",
)
@console.force
@console.as_json
def verb(output: Path, force: bool, as_json: bool) -> None:
    """Draw fruit, train, export, check, film a belt and sort it: the whole way in a few minutes, without a download.

    Each step is the command that you would type yourself, printed before it runs. Ends with OUTPUT/index.html.
    """
    console.new_folder(output, marker=_COMMANDS, force=force)
    begun = time.monotonic()
    data, run, bundle, clip, line = (output / name for name in ("data", "run", "bundle", "clip", "line"))
    steps = {
        "dataset": ["simulate", "dataset", data, "--per-class", PER_CLASS],
        "train": ["train", data, "-o", run, "--weights", "starter", "--image-size", IMAGE_SIZE_PX],
        "export": ["export", run, "-o", bundle, "--accept", ACCEPT],
        "check": ["check", bundle],
        "clip": ["simulate", "clip", clip, "--seconds", CLIP_SECONDS, "--seed", CLIP_SEED],
        "run": ["run", bundle, "--source", clip / "clip.mp4", "-o", line, "--annotate", "--trace"],
        "score": ["score", line, clip],
    }
    commands = {name: "ripeline " + shlex.join(str(word) for word in words) for name, words in steps.items()}
    (output / _COMMANDS).write_text("".join(f"{command}\n" for command in commands.values()), "utf-8")
    documents = {name: _ripeline([str(word) for word in words]) for name, words in steps.items()}

    from ripeline.demo_page import write_page

    page = write_page(output, commands, documents)
    seconds = time.monotonic() - begun
    counting, grading = documents["score"]["counting"], documents["score"]["grading"]
    console.say()
    console.say(
        f"{counting['found']['k']} of {counting['true']} fruit found; {grading['escapes']['k']} escapes, "
        f"{grading['false_rejects']['k']} false rejects, {grading['undecided']['k']} undecided."
    )
    console.say(f"Took {seconds:.0f} s. Look at {page}")
    console.emit({"page": str(page), "seconds": round(seconds, 1), **documents}, as_json=as_json)


def _ripeline(words: list[str]) -> dict[str, Any]:
    """Run one verb as its own process, as a shell would; its words go to stderr, its document comes back."""
    click.secho(f"\n$ ripeline {shlex.join(words)}", bold=True, err=True)
    done = subprocess.run(
        [sys.executable, "-m", "ripeline.main", *words, "--json"], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode != console.DONE:
        raise click.ClickException(f"the step `ripeline {shlex.join(words)}` ended with exit code {done.returncode}")
    document: dict[str, Any] = json.loads(done.stdout)
    return document
