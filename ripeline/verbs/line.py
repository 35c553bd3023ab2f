"""`ripeline line`: what is written down about one line."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ripeline import console
from ripeline.verbs.line_colour import colour
from ripeline.verbs.line_commission import commission, sheet


@click.group(
    "line",
    epilog="""\b
Examples:
  ripeline line sheet -o sheet.pdf                   # print it, lay it on the belt, and
  ripeline line commission --source 0 -o line.toml   # let the line be measured
  ripeline line check line.toml
  ripeline line schema > line.schema.json""",
)
def verb() -> None:
    """Measure a line, check line.toml, or print its JSON Schema."""


verb.add_command(sheet)
verb.add_command(commission)
verb.add_command(colour)


@verb.command(
    "check",
    epilog="""\b
Example:
  ripeline line check line.toml""",
)
@click.argument("file", type=click.Path(path_type=Path))
@console.as_json
def check(file: Path, as_json: bool) -> None:
    """Read FILE as strictly as the line would, and say what follows from it.

    What is wrong is named with line and column: unknown keys, values out of range, contradictions.
    """
    from edge_runtime.ejectors import output_kind
    from edge_runtime.settings.config_file import load_line_config
    from edge_runtime.settings.contradictions import idle_ejectors

    config = load_line_config(file)
    belt = config.belt
    console.say(f"{file} is valid.")
    lanes = "1 lane" if belt.lanes == 1 else f"{belt.lanes} lanes"
    console.say(f"Belt: runs {belt.direction or 'wherever the first fruit goes'}, {lanes}.")
    if belt.mm_per_px is None:
        console.notice("no belt.mm_per_px: decisions carry no position, and nothing can be thrown out.")
    elif belt.direction is None:
        console.notice("no belt.direction: without an encoder, decisions carry no position.")
    if config.camera.delay_ms == 0:
        console.notice("no camera.delay_ms: pictures are taken to be as fresh as their time stamps.")
    if config.camera.readout_ms != 0:
        console.say(f"Camera: reads its rows one after the other, in {abs(config.camera.readout_ms):g} ms.")
    for number, one in enumerate(config.ejector, start=1):
        what = ", ".join(one.labels) if one.labels else "all"
        lane = "any lane" if one.lane is None else f"lane {one.lane}"
        output = output_kind(one) or "no output: simulated lines only"
        console.say(f"Ejector {number}: at {one.at_mm:g} mm, {lane}, {'/'.join(one.verdicts)} of {what} ({output}).")
        if one.latency_ms == 0:
            console.notice(f"ejector {number} has no latency_ms: it is taken to act at once.")
    for idle, taker in idle_ejectors(config.ejector):
        console.notice(f"ejector {idle + 1} never gets a fruit: ejector {taker + 1} before it takes all of its own.")
    for receiver in config.report:
        console.say(f"Receiver {receiver.name}: every decision, by {receiver.kind}, until acknowledged.")
    console.emit(config.model_dump(mode="json"), as_json=as_json)


@verb.command(
    "schema",
    epilog="""\b
Example:
  ripeline line schema > line.schema.json""",
)
def schema() -> None:
    """Print the JSON Schema of line.toml, for editors."""
    from edge_runtime.settings.config import LineConfig

    click.echo(json.dumps(LineConfig.model_json_schema(), indent=2))
