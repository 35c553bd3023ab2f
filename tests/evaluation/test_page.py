from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure

from evaluation.page import CaptionedPlot, KeyFigure, Page, Tile


class Outline(HTMLParser):
    """Checks nesting and collects what would be loaded."""

    VOID = frozenset({"meta", "img", "br", "link"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in {"src", "href"}]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def full_page() -> Page:
    page = Page("A <b>title</b>", "what & where")
    plot = Figure(figsize=(2, 1))
    plot.subplots().plot([1, 2])
    picture = np.full((700, 350, 3), (200, 30, 40), np.uint8)
    section = page.section("All blocks").text("A paragraph.").notice("Mind <this>.", "bad")
    section.key_figures([KeyFigure("Accuracy", "96 %", "of 100", "good")])
    section.table(["Label", "n", "Share"], [["ripe", 3, "1.5 %"], ["2nd.jpg", 4, "hardly any"]], "A table.")
    section.table(["Interval", "Rate", "Why"], [["81.7 to 100.0 %", "1.0e-04", "2 of 3 right"]])
    section.verdict("Good <enough>.", "good").facts({"size px": 160, "a & b": None}, "Facts.")
    section.plots([CaptionedPlot(plot, "First"), CaptionedPlot(plot, "Second", "How to read it.")])
    section.plot(plot, "A plot.").picture(picture, "A picture.").gallery([Tile(picture, "tile", "detail")], "Tiles.")
    return page


def test_page_is_well_formed_and_loads_nothing(tmp_path: Path) -> None:
    full_page().write(tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    outline = Outline()
    outline.feed(html)
    assert outline.open == []
    assert len(outline.sources) == 5
    assert all(source.startswith("data:image/") for source in outline.sources)
    assert "url(" not in html
    assert "@import" not in html
    words = " ".join(outline.text)
    for expected in ("A <b>title</b>", "Mind <this>.", "96 %", "ripe", "A table.", "A plot.", "tile", "detail"):
        assert expected in words


def test_pictures_keep_their_colours_and_thumbnails_are_small() -> None:
    jpegs = re.findall(r"data:image/jpeg;base64,([^\"]+)", full_page().html())
    picture, tile = (cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR) for data in jpegs)
    assert picture.shape == (700, 350, 3)
    assert tile.shape == (320, 160, 3)
    assert np.abs(tile[100, 100].astype(int) - (40, 30, 200)).max() <= 4


def test_number_columns_are_set_right_and_names_left() -> None:
    html = full_page().html()
    assert '<td class="number">3</td>' in html
    assert "<td>1.5 %</td>" in html  # below it are words
    assert '<td class="number">81.7 to 100.0 %</td><td class="number">1.0e-04</td><td>2 of 3 right</td>' in html
    assert "<td>2nd.jpg</td>" in html


def test_the_same_page_twice_is_the_same_file() -> None:
    assert full_page().html() == full_page().html()
