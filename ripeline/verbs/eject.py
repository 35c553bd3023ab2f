"""`ripeline eject`: try the ejectors of a line without a camera."""

from __future__ import annotations

import time
from pathlib import Path

import click

from ripeline import console


@click.group(
    "eject",
    epilog="""\b
Example:
  ripeline eject test --config line.toml""",
)
def verb() -> None:
    """Try the ejectors of a line."""


@verb.command(
    "test",
    epilog="""\b
Examples:
  ripeline eject test --config line.toml                   # one stroke of each, a second apart
  ripeline eject test --config line.toml --ejector 2 --strokes 10 --every 0.2""",
)
@click.option("--config", required=True, type=click.Path(path_type=Path), help="line.toml with an [[ejector]] or more.")
@click.option("--ejector", "number", type=click.IntRange(min=1), help="Only this one, counted from 1 as in the file.")
@click.option("--strokes", default=1, show_default=True, type=click.IntRange(1, 1000), help="Of each ejector.")
@click.option("--every", default=1.0, show_default=True, type=click.FloatRange(0.02, 60), help="Seconds between two.")
@console.as_json
def eject_test(config: Path, number: int | None, strokes: int, every: float, as_json: bool) -> None:
    """Open each valve in turn, as the line would. Keep hands off the belt.

    Says what it switches; whether air came is for you to see. Ends with every output off.
    """
    from edge_runtime.config_file import load_line_config
    from edge_runtime.ejectors import Ejectors, output_kind
    from edge_runtime.errors import InputError

    settings = load_line_config(config)
    numbers = range(1, len(settings.ejector) + 1)
    if number is not None and number not in numbers:
        raise InputError(f"{config} has no ejector {number}.", expected=f"1 to {len(numbers)}")
    ejectors = Ejectors(settings.ejector)
    try:
        for one in [number] if number is not None else numbers:
            kind = output_kind(settings.ejector[one - 1])
            for stroke in range(1, strokes + 1):
                console.say(f"Ejector {one} ({kind}): stroke {stroke} of {strokes}")
                ejectors.fire(one - 1, 0, time.monotonic_ns())
                time.sleep(every)
    finally:
        ejectors.close()
    fired = [number] if number is not None else list(numbers)
    console.emit({"ejectors": fired, "strokes": strokes}, as_json=as_json)
