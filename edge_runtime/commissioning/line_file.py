"""What was measured, written into `line.toml`; what it says besides, comments included, stays."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from edge_runtime.commissioning.assessment import WORST_DELAY_ERROR_MS
from edge_runtime.commissioning.measure import Figures
from edge_runtime.settings.config import LineConfig
from edge_runtime.settings.config_file import line_config

Values = dict[tuple[str | int, ...], Any]
"""By place, such as `("belt", "mm_per_px")` or `("ejector", 0, "at_mm")`."""


def measured_values(figures: Figures, config: LineConfig, ejector: int, *, has_encoder: bool) -> Values:
    """What `line.toml` is to say; nothing that was not measured, or too badly to be of use.

    Args:
        figures: What was measured, with an encoder in the units that `config` gives it.
        config: What the line was measured with.
        ejector: Number of the one that was tried, from 0.
        has_encoder: Whether the belt's way was an encoder's, and not that of the pictures themselves, which have no
            delay against each other: what they are late by is then part of the ejector's latency.
    """
    values: Values = {}
    if figures.travel is not None:
        values["belt", "direction"] = str(figures.travel.direction)
        values["belt", "mm_per_px"] = _rounded(figures.travel.mm_per_px)
    if figures.lag is not None and has_encoder:
        values["encoder", "mm_per_tick"] = _rounded(config.encoder.mm_per_tick * figures.lag.scale)
        if 2 * figures.lag.lag_error_ms <= WORST_DELAY_ERROR_MS:
            values["camera", "delay_ms"] = round(max(0.0, figures.lag.lag_ms), 2)
    if figures.ejector is not None:
        values["ejector", ejector, "at_mm"] = round(figures.ejector.at_mm, 2)
        if figures.ejector.latency_ms is not None:
            values["ejector", ejector, "latency_ms"] = round(figures.ejector.latency_ms, 2)
    return values


def updated(text: str, values: Values) -> str:
    """The document with these values; tables and elements that it lacks are added at its end.

    Args:
        text: TOML, or nothing.
        values: What to set.
    """
    import tomlkit

    document = tomlkit.parse(text)
    for place, value in values.items():
        table: Any = document
        for part, further in pairwise(place):
            if isinstance(part, int):
                while len(table) <= part:
                    table.append(tomlkit.table())
            elif part not in table:
                table[part] = tomlkit.aot() if isinstance(further, int) else tomlkit.table()
            table = table[part]
        table[place[-1]] = value
    return tomlkit.dumps(document)


def write_line_file(file: Path, text: str) -> LineConfig:
    """Replace the file in one step, once the line could be run with it; what it says. Its folder is made.

    Raises:
        ConfigError: What was measured contradicts what else is stated; the file is left as it was.
    """
    config = line_config(file, text)
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.new")
    try:
        aside.write_text(text, "utf-8")
        aside.replace(file)
    finally:
        aside.unlink(missing_ok=True)
    return config


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
