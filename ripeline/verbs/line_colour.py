"""`ripeline line colour`: what colours the empty belt has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ripeline import console

if TYPE_CHECKING:
    from edge_runtime.localization.belt_colour import Colour
    from edge_runtime.ports import Camera
    from edge_runtime.records import Image

_PATCH_PX = 4
_FRAMES = 20
_TICK_PX = 100


@click.command(
    "colour",
    epilog="""\b
Examples:
  ripeline line colour --source empty.mp4 --empty-belt -o line.toml --force     # a recording of nothing but belt
  ripeline line colour --source 0 -o line.toml --force                          # a still, to read places from
  ripeline line colour --source 0 --at 120,80 --at 600,300 -o line.toml --force # places where belt shows""",
)
@click.option("--source", required=True, help="Video file, folder of images, camera index, URL, or sim:NAME.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="line.toml, new or with --force.")
@click.option(
    "--at", "places", multiple=True, metavar="X,Y", help="A place in the picture where belt shows; repeat it."
)
@click.option("--empty-belt", is_flag=True, help="All that SOURCE shows is belt.")
@click.option("--still", type=click.Path(path_type=Path), help="PNG of what counts as belt. Default: beside line.toml.")
@click.option("--force", is_flag=True, help="Write into an existing line.toml; what else it says stays.")
@console.as_json
def colour(
    source: str, output: Path, places: tuple[str, ...], empty_belt: bool, still: Path | None, force: bool, as_json: bool
) -> None:
    """Learn the empty belt's colours, for a belt that is full of fruit when the line starts.

    Without them the line learns the empty scene while it runs, which needs more than half of the belt to show.
    """
    from edge_runtime.commissioning.line_file import updated, write_line_file
    from edge_runtime.errors import InputError
    from edge_runtime.localization.belt_colour import belt_colours, other_than_most

    if places and empty_belt:
        raise InputError(
            "Either all of it is belt (--empty-belt) or it is at places (--at).", remedy="give one of the two"
        )
    if output.exists() and not force:
        raise InputError(f"{output} exists already.", remedy="choose another name with -o, or give --force")
    still = still or output.with_name(f"{output.stem}-colour.png")
    still.parent.mkdir(parents=True, exist_ok=True)
    pictures = _pictures(source, _FRAMES if empty_belt else 1)
    points = [_point(text, pictures[0]) for text in places]
    if not points and not empty_belt:
        _write_still(still, pictures[0], (), [])
        console.say(
            f"{still} shows the picture with its scale: choose places where belt shows, and repeat with --at X,Y."
        )
        console.emit({"still": str(still), "colours": []}, as_json=as_json)
        return
    colours = belt_colours(_samples(pictures, points))
    before = output.read_text("utf-8") if output.exists() else ""
    write_line_file(output, updated(before, {("belt", "colours"): [list(each) for each in colours]}))
    _write_still(still, pictures[0], colours, points)
    console.say(f"Belt: {', '.join('rgb' + str(each) for each in colours)}, written into {output}")
    if empty_belt and (others := other_than_most(colours)):
        console.notice(
            f"{', '.join('rgb' + str(each) for each in others)} is another colour than most of it. Were that "
            "fruit, fruit like them would be taken for belt: record the belt empty, or choose places with --at."
        )
    console.say(f"{still} shows as it is what counts as belt, and darkened what does not: look at it.")
    console.emit(
        {"file": str(output), "still": str(still), "colours": [list(each) for each in colours]}, as_json=as_json
    )


def _pictures(source: str, count: int) -> list[Image]:
    """The first pictures of a source; with several, every fifth, so that other parts of the belt come by."""
    from edge_runtime.cameras import open_camera
    from ripeline.line_source import SIMULATED

    if source.startswith(SIMULATED):
        from simulator.line import open_source

        camera: Camera = open_source(source.removeprefix(SIMULATED)).camera
    else:
        camera = open_camera(source)
    found = []
    try:
        for number, frame in enumerate(camera.frames()):
            if number % 5 == 0:
                found.append(frame.image)
            if len(found) == count:
                break
    finally:
        camera.close()
    return found


def _point(text: str, picture: Image) -> tuple[int, int]:
    from edge_runtime.errors import InputError

    height, width = picture.shape[:2]
    x, _, y = (part.strip() for part in text.partition(","))
    if not (x.isdigit() and y.isdigit() and int(x) < width and int(y) < height):
        raise InputError(f"--at {text} is no place in the picture.", expected=f"X,Y below {width},{height}")
    return int(x), int(y)


def _samples(pictures: list[Image], points: list[tuple[int, int]]) -> Image:
    """Pixels of belt, `[n, 1, 3]`: around the places, or all over."""
    import cv2
    import numpy as np

    soft = [np.asarray(cv2.blur(picture, (5, 5)), np.uint8) for picture in pictures]
    if not points:
        return np.concatenate([picture[::8, ::8].reshape(-1, 1, 3) for picture in soft])
    around = [
        picture[max(0, y - _PATCH_PX) : y + _PATCH_PX + 1, max(0, x - _PATCH_PX) : x + _PATCH_PX + 1]
        for picture in soft
        for x, y in points
    ]
    return np.concatenate([part.reshape(-1, 1, 3) for part in around])


def _write_still(file: Path, picture: Image, colours: tuple[Colour, ...], points: list[tuple[int, int]]) -> None:
    import cv2
    import numpy as np

    from edge_runtime.localization.belt_colour import is_belt

    drawn = picture.copy()
    if colours:
        shows = is_belt(np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb), np.uint8), colours)
        drawn[~shows] //= 4
    for x in range(0, drawn.shape[1], _TICK_PX):
        cv2.putText(drawn, str(x), (x + 2, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 193, 61), 1, cv2.LINE_AA)
        cv2.line(drawn, (x, 0), (x, 8), (255, 193, 61), 1)
    for y in range(_TICK_PX, drawn.shape[0], _TICK_PX):
        cv2.putText(drawn, str(y), (10, y + 4), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 193, 61), 1, cv2.LINE_AA)
        cv2.line(drawn, (0, y), (8, y), (255, 193, 61), 1)
    for point in points:
        cv2.drawMarker(drawn, point, (255, 92, 77), cv2.MARKER_CROSS, 14, 2)
    file.write_bytes(cv2.imencode(".png", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))[1].tobytes())
