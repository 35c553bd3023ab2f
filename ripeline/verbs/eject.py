"""`ripeline eject`: try the ejectors of a line without a camera."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
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

    Says what it switches; whether air came is for you to see. Ends with every output off. Not beside a running line,
    whose outputs it would switch off.
    """
    from edge_runtime.ejectors import Ejectors, output_kind
    from edge_runtime.errors import InputError
    from edge_runtime.processes.lock import LineLock
    from edge_runtime.settings.config_file import load_line_config

    settings = load_line_config(config)
    count = len(settings.ejector)
    if number is not None and number > count:
        wanted = f"1 to {count}" if count else "an [[ejector]] in it first"
        raise InputError(f"{config} has no ejector {number}.", expected=wanted)
    numbers = range(1, count + 1) if number is None else [number]
    pulse_s = max((settings.ejector[one - 1].pulse_ms / 1000 for one in numbers), default=0.0)
    if strokes > 1 and every <= pulse_s:
        raise InputError(
            f"A stroke lasts {pulse_s:g} s (pulse_ms), so strokes every {every:g} s would run into one.",
            remedy=f"give --every more than {pulse_s:g}",
        )
    with ExitStack() as stack:
        stack.enter_context(closing(LineLock(settings.name)))
        stack.enter_context(_ended_like_ctrl_c())
        ejectors = stack.enter_context(closing(Ejectors(settings.ejector)))
        for one in numbers:
            kind = output_kind(settings.ejector[one - 1])
            for stroke in range(1, strokes + 1):
                console.say(f"Ejector {one} ({kind}): stroke {stroke} of {strokes}")
                ejectors.fire(one - 1, 0, time.monotonic_ns())
                time.sleep(max(every, pulse_s))  # the last one, too, is a whole one
    console.emit({"ejectors": list(numbers), "strokes": strokes}, as_json=as_json)


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """No valve stays open because a terminal was closed or the process was told to end.

    SIGINT as well: a shell that starts it in the background has it ignored.
    """
    ending = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {each: signal.signal(each, signal.default_int_handler) for each in ending}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
