"""A report as one self-contained HTML file: figures, tables and pictures, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import cv2

from edge_runtime.records import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Plot

Tone = Literal["plain", "good", "warn", "bad"]

TEMPLATE_FILE = Path(__file__).parent / "page.html.j2"
THUMBNAIL_PX = 320
JPEG_QUALITY = 88
PLOT_STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9a938c",
    "axes.labelcolor": "#4a443e",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "xtick.color": "#6b645c",
    "ytick.color": "#6b645c",
    "axes.grid": True,
    "grid.color": "#ebe7e2",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}
"""For `matplotlib.rc_context`, so that all plots of all reports look alike."""


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """One number that matters, such as "96.4 %", with its name and a short note under it."""

    name: str
    value: str
    note: str = ""
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Tile:
    """A small picture in a gallery, `[height, width, 3]` uint8 RGB, with the words under it."""

    image: Image
    caption: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CaptionedPlot:
    """A matplotlib figure among others, with its title and how to read it."""

    plot: Plot
    title: str
    caption: str = ""


@dataclass(slots=True)
class Section:
    """A heading and what stands under it; each method adds a block and returns the section."""

    title: str
    blocks: list[dict[str, object]] = field(default_factory=list)

    def text(self, text: str) -> Section:
        """A paragraph."""
        return self._add(kind="text", text=text)

    def command(self, text: str) -> Section:
        """What was typed in a terminal."""
        return self._add(kind="command", text=text)

    def notice(self, text: str, tone: Tone = "warn") -> Section:
        """A remark that must not be missed."""
        return self._add(kind="notice", text=text, tone=tone)

    def verdict(self, text: str, tone: Tone) -> Section:
        """The one sentence to take away."""
        return self._add(kind="verdict", text=text, tone=tone)

    def key_figures(self, figures: Sequence[KeyFigure]) -> Section:
        """A row of numbers."""
        return self._add(kind="key_figures", figures=figures)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[object]], caption: str = "") -> Section:
        """Cells are shown as `str`; a column of numbers, units or ranges included, is set flush right."""
        numeric = [bool(rows) and all(_is_numeric(row[i]) for row in rows) for i in range(len(header))]
        return self._add(kind="table", header=header, rows=rows, numeric=numeric, caption=caption)

    def facts(self, facts: Mapping[str, object], caption: str = "") -> Section:
        """Names with short values, as many side by side as fit."""
        return self._add(kind="facts", facts={name: str(value) for name, value in facts.items()}, caption=caption)

    def plot(self, plot: Plot, caption: str, alt: str = "") -> Section:
        """A matplotlib figure, embedded as SVG."""
        return self._add(kind="image", uri=_svg_uri(plot), caption=caption, alt=alt or caption)

    def plots(self, plots: Sequence[CaptionedPlot]) -> Section:
        """Small plots side by side where there is room."""
        shown = [{"uri": _svg_uri(one.plot), "title": one.title, "caption": one.caption} for one in plots]
        return self._add(kind="plots", plots=shown)

    def picture(self, image: Image, caption: str, alt: str = "") -> Section:
        """One picture at its own size, `[height, width, 3]` uint8 RGB."""
        return self._add(kind="image", uri=_jpeg_uri(image), caption=caption, alt=alt or caption)

    def gallery(self, tiles: Sequence[Tile], caption: str = "") -> Section:
        """Thumbnails side by side."""
        shown = [{"uri": _jpeg_uri(_thumbnail(t.image)), "caption": t.caption, "detail": t.detail} for t in tiles]
        return self._add(kind="gallery", tiles=shown, caption=caption)

    def _add(self, **block: object) -> Section:
        self.blocks.append(block)
        return self


@dataclass(slots=True)
class Page:
    """A report to be filled section by section, then written.

    >>> page = Page("Training", "RUN on 3 labels")
    >>> page.section("Result").key_figures([KeyFigure("Accuracy", "96.4 %")]).text("On pictures not used before.")
    >>> page.write(Path("report.html"))
    """

    title: str
    subtitle: str = ""
    sections: list[Section] = field(default_factory=list)

    def section(self, title: str) -> Section:
        """Begin a new section."""
        self.sections.append(Section(title))
        return self.sections[-1]

    def html(self) -> str:
        """The whole page; everything that is not from here is escaped."""
        import jinja2

        environment = jinja2.Environment(
            autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
        )
        template = environment.from_string(TEMPLATE_FILE.read_text(encoding="utf-8"))
        return template.render(page=self)

    def write(self, path: Path) -> None:
        """Write the page as UTF-8."""
        path.write_text(self.html(), encoding="utf-8")


_NUMBER = re.compile(r"[-+<>~\s]*\d[\d.,:/\s\u2013-]*(to [\d.]+|e[-+]?\d+)?(\s?%|\s?px|\s\S{1,4})?|\u2013?")
"""A number, a range or a share, perhaps with a unit; also an empty cell or a dash in its place."""


def _is_numeric(cell: object) -> bool:
    return isinstance(cell, int | float) or _NUMBER.fullmatch(str(cell)) is not None


def _svg_uri(plot: Plot) -> str:
    import matplotlib as mpl

    stream = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "ripeline"}):  # the same plot is the same file
        plot.savefig(stream, format="svg", metadata={"Date": None})
    return _uri("image/svg+xml", stream.getvalue())


def _thumbnail(image: Image) -> Image:
    longest = max(image.shape[:2])
    if longest <= THUMBNAIL_PX:
        return image
    scale = THUMBNAIL_PX / longest
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _jpeg_uri(image: Image) -> str:
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise ValueError(f"no JPEG can be made of an array of shape {image.shape}")
    return _uri("image/jpeg", data.tobytes())


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
