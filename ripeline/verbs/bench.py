"""`ripeline bench`: how fast a bundle is on this machine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from ripeline import console


@click.command(
    "bench",
    epilog="""\b
Examples:
  ripeline bench bundle
  ripeline bench bundle --threads 2 --json""",
)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--threads", type=click.IntRange(1, 64), default=1, show_default=True, help="For the engine.")
@console.as_json
def verb(bundle: Path, threads: int, as_json: bool) -> None:
    """Measure every artefact of BUNDLE on every engine of this machine, and say which one `run` would take.

    Only pairs count that prove themselves here by their golden self-test. What is found is remembered: `run` measures
    no more until the bundle, the machine, the threads or an engine changes.
    """
    from edge_runtime.bundles.bundle import open_bundle
    from edge_runtime.bundles.engine_choice import choose_engine

    opened = open_bundle(bundle)
    console.say("Measuring each pair of artefact and engine: about a second each.")
    choice = choose_engine(opened, threads=threads, anew=True)
    chosen = (choice.selection.artefact, choice.selection.engine.name)
    parity = {(entry.name, name): record.parity.value for entry, name, record in opened.manifest.pairs()}
    rows = sorted(choice.selection.candidates, key=lambda one: (one.p50_ms is None, one.p50_ms))
    console.say(f"{choice.machine}; {threads} thread(s)")
    console.say(
        console.table(
            [
                {
                    "artefact": one.artefact,
                    "engine": one.engine,
                    "ms a crop": "-" if one.p50_ms is None else f"{one.p50_ms:.2f}",
                    "parity": parity[one.artefact, one.engine],
                    "": "fastest" if (one.artefact, one.engine) == chosen else one.reason,
                }
                for one in rows
            ]
        )
    )
    document = {
        "bundle_id": opened.manifest.bundle_id,
        "machine": choice.machine,
        "threads": threads,
        "artefact": chosen[0],
        "engine": chosen[1],
        "candidates": [asdict(one) | {"parity": parity[one.artefact, one.engine]} for one in rows],
    }
    fastest = f"{chosen[0]} on {chosen[1]}"
    one = f"`run` takes {fastest}."
    more = (
        f"With {threads} threads {fastest} is the fastest; `run` has one: without --threads, bench says what it takes."
    )
    console.say(one if threads == 1 else more)
    console.emit(document, as_json=as_json)
