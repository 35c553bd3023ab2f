"""`ripeline line sheet` and `ripeline line commission`: a line is measured, not asked about."""

from __future__ import annotations

import dataclasses
import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ripeline import console, line_source

if TYPE_CHECKING:
    from edge_runtime.commissioning.assessment import Finding
    from edge_runtime.commissioning.session import Session, Trial
    from edge_runtime.ports import Camera, Encoder
    from edge_runtime.settings.config import LineConfig

_SIMULATED = "sim:commissioning"
_REACH_MM = 45.0
_PRINT_PX_PER_MM = 12.0

square_mm = click.option(
    "--square-mm",
    default=15.0,
    show_default=True,
    type=click.FloatRange(3, 100),
    help="Side of the sheet's squares, as measured on paper.",
)


@click.command(
    "sheet",
    epilog="""\b
Examples:
  ripeline line sheet -o sheet.pdf                  # print at 100 %, never "fit to page"
  ripeline line sheet -o large.pdf --square-mm 30   # for a camera that sees half a metre and more""",
)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="sheet.pdf or sheet.png.")
@square_mm
@console.force
@console.as_json
def sheet(output: Path, square_mm: float, force: bool, as_json: bool) -> None:
    """Draw the sheet that `line commission` looks for, to be printed at its true size and cut out."""
    from edge_runtime.commissioning.print_file import true_size_pdf, true_size_png
    from edge_runtime.commissioning.sheet import Sheet
    from edge_runtime.errors import InputError

    kinds = {".pdf": true_size_pdf, ".png": true_size_png}
    if output.suffix.lower() not in kinds:
        raise InputError(
            f"{output}: not a kind of file that can be printed.", expected="a name that ends in .pdf or .png"
        )
    _refuse_to_replace(output, force)
    paper = Sheet(square_mm)
    output.write_bytes(kinds[output.suffix.lower()](paper.draw(_PRINT_PX_PER_MM), paper.size_mm))
    wide, high = paper.size_mm
    console.say(
        f"{output}: {wide:g} by {high:g} mm. Print it at 100 %, then measure a square: it must be {square_mm:g} mm."
    )
    console.say("If it is not, tell `line commission` what it is with --square-mm. Glue it flat onto thin board.")
    console.emit({"file": str(output), "size_mm": [wide, high], "square_mm": square_mm}, as_json=as_json)


@click.command(
    "commission",
    epilog="""\b
Examples:
  ripeline line commission --source 0 -o line.toml               # scale, direction, speed, picture
  ripeline line commission --source belt.mp4 -o line.toml        # encoder.csv beside it: delay and encoder too
  ripeline line commission --source 0 -o line.toml --force --ejector 1
  ripeline line commission --source belt.mp4 -o line.toml --piece-mm 40    # a ball of 40 mm instead of the sheet
  ripeline line commission --source sim:commissioning -o line.toml         # a simulated line, to see how it goes""",
)
@click.option("--source", required=True, help="Video file, folder of images, camera index, URL, or sim:commissioning.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="line.toml, new or with --force.")
@click.option("--page", type=click.Path(path_type=Path), help="HTML page. Default: beside line.toml, as line.html.")
@click.option("--encoder", type=click.Path(path_type=Path), help="encoder.csv. Default: the one beside the recording.")
@click.option("--ejector", type=click.IntRange(min=1), help="Stroke at the sheet with this one, counted from 1.")
@click.option("--piece-mm", type=click.FloatRange(5, 500), help="Diameter of a round piece, used instead of the sheet.")
@square_mm
@click.option("--duration", type=click.FloatRange(0, min_open=True), help="Seconds after which a source is left.")
@click.option("--force", is_flag=True, help="Write into an existing line.toml; what was not measured stays in it.")
@console.as_json
def commission(
    source: str,
    output: Path,
    page: Path | None,
    encoder: Path | None,
    ejector: int | None,
    piece_mm: float | None,
    square_mm: float,
    duration: float | None,
    force: bool,
    as_json: bool,
) -> None:
    """Measure a line by the printed sheet (`line sheet`) as it rides through the picture, and write line.toml.

    Lay the sheet on the belt, let it run, stop and start it while the sheet is in the picture, and let it run out. What
    the line does not have (an encoder, an ejector) is left out and said to be. docs/commissioning.md shows how.
    """
    from edge_runtime.commissioning.assessment import State, assess
    from edge_runtime.commissioning.line_file import measured_values, updated, write_line_file
    from edge_runtime.encoders.by_frames import EncoderByFrames
    from edge_runtime.settings.config import LineConfig
    from edge_runtime.settings.config_file import load_line_config

    existing = output.exists()
    page = page or output.with_suffix(".html")
    for file in (output, page):
        _refuse_to_replace(file, force)
    config = load_line_config(output) if existing else LineConfig()
    with ExitStack() as stack:
        camera, positions, trial = _open(stack, source, encoder, config, ejector, piece_mm)
        session = _watch(stack, camera, positions, trial, piece_mm, square_mm, duration)
    has_encoder = positions is not None and not isinstance(positions, EncoderByFrames)
    figures = session.figures()
    findings = assess(
        figures,
        session.quality,
        frame_rate_hz=camera.frame_rate_hz,
        has_encoder=has_encoder,
        has_trial=trial is not None,
        by_sheet=piece_mm is None,
        belt=session.belt_colours(),
    )
    _tell(findings)
    values = measured_values(figures, config, 0 if ejector is None else ejector - 1, has_encoder=has_encoder)
    if values:
        write_line_file(output, updated(output.read_text("utf-8") if existing else "", values))
        console.say(f"Wrote {', '.join(map(_key, values))} into {output}")
    else:
        console.notice(f"nothing was measured; {output} is {'as it was' if existing else 'not written'}.")
    _write_page(page, source, findings, session)
    document = {
        "file": str(output),
        "page": str(page),
        "frames": session.frames,
        "sightings": len(session.sightings),
        "values": {_key(place): value for place, value in values.items()},
        "findings": [dataclasses.asdict(each) for each in findings],
    }
    console.emit(document, as_json=as_json)
    if any(each.state is State.POOR for each in findings) or not values:
        raise console.GateSaidNo


def _key(place: tuple[str | int, ...]) -> str:
    return ".".join(str(part + 1) if isinstance(part, int) else part for part in place)


def _refuse_to_replace(file: Path, force: bool) -> None:
    from edge_runtime.errors import InputError

    if file.exists() and not force:
        raise InputError(f"{file} exists already.", remedy="choose another name with -o, or give --force")


def _open(
    stack: ExitStack,
    source: str,
    encoder: Path | None,
    config: LineConfig,
    ejector: int | None,
    piece_mm: float | None,
) -> tuple[Camera, Encoder | None, Trial | None]:
    """The source as it is, nothing of it put right, and the trial of an ejector where one is asked for."""
    from edge_runtime.cameras import open_camera
    from edge_runtime.cameras.watched_belt import WatchedBelt
    from edge_runtime.commissioning.session import Trial
    from edge_runtime.commissioning.strokes import StrokePlan
    from edge_runtime.ejectors import Ejectors
    from edge_runtime.encoders.by_frames import EncoderByFrames
    from edge_runtime.errors import InputError
    from edge_runtime.processes.lock import LineLock

    if source.startswith(line_source.SIMULATED):
        return _open_simulated(source, encoder, config, ejector, piece_mm)
    positions = line_source.recorded_encoder(source, encoder, config)
    if ejector is not None and ejector > len(config.ejector):
        raise InputError(
            f"line.toml has no ejector {ejector}.",
            remedy="state it as [[ejector]] with its output and at_mm by tape measure, then repeat with --force",
        )
    camera = open_camera(source, config.camera)
    stack.callback(camera.close)
    if ejector is None:
        return camera, positions, None
    if not camera.live or positions is not None or piece_mm is not None:
        raise InputError(
            "An ejector can only be tried on a live camera, with the sheet.",
            remedy="leave out --ejector, --piece-mm and --encoder, whose file ends before the strokes",
        )
    if config.belt.direction is None or config.belt.mm_per_px is None:
        raise InputError("Direction and scale come first.", remedy="commission once without --ejector")
    camera, positions = WatchedBelt(camera, config.belt.direction, config.belt.mm_per_px), EncoderByFrames()
    stack.enter_context(closing(LineLock(config.name)))
    outputs = stack.enter_context(closing(Ejectors(config.ejector)))
    plan = StrokePlan(config.ejector[ejector - 1].at_mm, _REACH_MM)
    return camera, positions, Trial(plan, lambda now_ns: outputs.fire(ejector - 1, 0, now_ns), _ask)


def _open_simulated(
    source: str, encoder: Path | None, config: LineConfig, ejector: int | None, piece_mm: float | None
) -> tuple[Camera, Encoder, Trial]:
    from edge_runtime.commissioning.session import Trial
    from edge_runtime.commissioning.strokes import StrokePlan
    from edge_runtime.encoders.scaled import ScaledEncoder
    from edge_runtime.errors import InputError
    from simulator.commissioning import open_commissioning

    line_source.refuse_encoder(source, encoder)
    seed = source.removeprefix(_SIMULATED).removeprefix("?seed=") or "0"
    if not (source.startswith(_SIMULATED) and seed.isdigit()):
        raise InputError(
            f"{source} is no line to be commissioned.",
            expected=f"{_SIMULATED} or {_SIMULATED}?seed=3, which the sheet rides on",
        )
    if piece_mm is not None or (ejector or 1) > max(1, len(config.ejector)):
        raise InputError(
            f"{_SIMULATED} has the sheet, no ball, and one ejector.", remedy="leave out --piece-mm and --ejector"
        )
    line = open_commissioning(seed=int(seed))
    trial = Trial(StrokePlan(line.tape_mm, _REACH_MM), lambda now_ns: line.ejector.fire(0, 0, now_ns), line.read_mark)
    return line.camera, ScaledEncoder(line.encoder, config.encoder.mm_per_tick), trial


def _ask(stroke: int) -> float | None:
    console.say(f"Stroke {stroke + 1} was given. Stop the belt and read the ruler at the middle of the mark.")
    text = click.prompt("Millimetres, with its sign (Enter alone: no mark)", default="", show_default=False, err=True)
    try:
        return float(text.replace(",", ".")) if text.strip() else None
    except ValueError:
        console.notice(f"{text!r} is no number; this stroke does not count.")
        return None


def _watch(
    stack: ExitStack,
    camera: Camera,
    positions: Encoder | None,
    trial: Trial | None,
    piece_mm: float | None,
    square_mm: float,
    duration_s: float | None,
) -> Session:
    """Look at the source until it ends, the time is over or somebody has had enough."""
    from edge_runtime.commissioning.markers import PieceMarker, SheetMarker
    from edge_runtime.commissioning.session import Session
    from edge_runtime.commissioning.sheet import Sheet
    from edge_runtime.encoders.by_frames import EncoderByFrames

    marker = SheetMarker(Sheet(square_mm)) if piece_mm is None else PieceMarker(piece_mm)
    session, stop = Session(marker, positions, trial), threading.Event()
    stack.enter_context(line_source.ending_on_signals(stop, camera, duration_s if camera.live else None))
    if camera.live:
        console.say("Looking. Ctrl-C when the sheet has gone through as often as you want.")
    first_ns, seen = None, False
    for frame in camera.frames():
        first_ns = frame.captured_ns if first_ns is None else first_ns
        if stop.is_set() or (duration_s is not None and frame.captured_ns - first_ns >= duration_s * 1e9):
            break
        if isinstance(positions, EncoderByFrames):
            positions.take(frame)
        session.add(frame, time.monotonic_ns() if camera.live else frame.captured_ns)
        if session.sightings and not seen:
            seen = True
            console.say("Found it in the picture.")
    return session


def _tell(findings: list[Finding]) -> None:
    from edge_runtime.commissioning.assessment import State

    marks = {State.GOOD: "  ok ", State.POOR: "  NO ", State.LEFT_OUT: "  -- "}
    for each in findings:
        console.say(f"{marks[each.state]} {each.name}: {each.value}")
        if each.remedy:
            console.say(f"       {each.remedy}")


def _write_page(page: Path, source: str, findings: list[Finding], session: Session) -> None:
    from edge_runtime.cameras.stream import hide_password
    from ripeline.commission_page import write_page

    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        write_page(page, hide_password(source), findings, session.still)
    except ModuleNotFoundError as error:
        console.notice(f"no page: it needs {error.name} (pip install 'ripeline[report]').")
        return
    console.say(f"A picture of it: {page}")
