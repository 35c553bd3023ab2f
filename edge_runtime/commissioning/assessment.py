"""What was measured in words, what of it is not good enough, and what a person with a screwdriver can do about it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from edge_runtime.commissioning.measure import Figures
from edge_runtime.commissioning.picture_quality import PictureQuality
from edge_runtime.commissioning.strokes import EjectorPlace
from edge_runtime.localization.belt_colour import Colour
from edge_runtime.tracking.belt_motion import is_horizontal

WORST_DELAY_ERROR_MS = 2.0
WORST_AT_ERROR_MM = 1.0
WORST_LATENCY_ERROR_MS = 5.0
WORST_RMS_MM = 1.0
WORST_TAPER = 0.01
WORST_TURN_DEG = 1.0
WORST_BLUR_PX = 1.3
WORST_SMEAR_PX = 3.0
PAPER = (150.0, 245.0)
LEAST_CONTRAST = 90.0
LEAST_FRAMES = 6
PIECE_PERCENT = 2.0
"""Within this the outline of a piece is that of the piece, shadow and soft edge included, in every picture alike."""

_CONFIDENCE = 1.96


class State(StrEnum):
    """Of one finding."""

    GOOD = "good"
    POOR = "not good enough"
    LEFT_OUT = "left out"


@dataclass(frozen=True, slots=True)
class Finding:
    """`value` is what was measured, with its uncertainty; `remedy` what to do, empty where nothing is to be done."""

    name: str
    value: str
    state: State
    remedy: str = ""


def assess(
    figures: Figures,
    quality: Sequence[PictureQuality],
    *,
    frame_rate_hz: float | None,
    has_encoder: bool,
    has_trial: bool,
    by_sheet: bool,
    belt: Sequence[Colour] = (),
) -> list[Finding]:
    """All findings, in the order in which a line is set up.

    Args:
        figures: What was measured.
        quality: Of each picture that shows the sheet.
        frame_rate_hz: Of the camera, if known.
        has_encoder: Whether the line has one.
        has_trial: Whether an ejector was tried.
        by_sheet: Whether the sheet was looked for, and not a piece of known size.
        belt: Its colours, RGB, as far as they are known.
    """
    findings = _pictures(figures, quality) if quality else []
    if figures.travel is None:
        what = "the sheet" if by_sheet else "the piece"
        return [
            *findings,
            Finding(
                "Scale",
                "none",
                State.POOR,
                f"Nowhere did {what} move through the picture. Lay it flat on the belt, wholly in the picture, sharp, "
                "without glare, and let the belt run until it has left.",
            ),
        ]
    if not by_sheet:
        words = "A piece does not tell them: let the sheet go through once (`ripeline line sheet`)."
        findings.append(Finding("Focus, smear and exposure", "none", State.LEFT_OUT, words))
    if belt:
        findings.insert(0, Finding("Belt", " and ".join(f"rgb{colour}" for colour in belt), State.GOOD))
    return [
        *_view(figures, frame_rate_hz, by_sheet=by_sheet),
        *findings,
        *_timing(figures, has_encoder),
        *_ejector(figures, has_trial),
    ]


def _view(figures: Figures, frame_rate_hz: float | None, *, by_sheet: bool) -> list[Finding]:
    way = figures.travel
    assert way is not None
    found = [Finding("Direction", f"to the picture's {_SIDES[way.direction]}", State.GOOD)]
    doubt_percent = 100 * _CONFIDENCE * way.scale_error
    doubt = f" ± {max(doubt_percent, 0.01):.2f} %" if by_sheet else f" ± {max(doubt_percent, PIECE_PERCENT):.0f} %"
    taper = way.taper
    leans = taper is not None and abs(taper) > WORST_TAPER
    remedy = ""
    if taper is not None and leans:
        far = "where fruit leave" if taper > 0 else "where fruit come in"
        remedy = (
            f"Things look {abs(taper):.1%} smaller {far} the picture: the camera leans. Tilt it until it looks "
            "straight down, and measure again."
        )
    found.append(
        Finding("Scale", f"{way.mm_per_px:.4f} mm a pixel{doubt}", State.POOR if leans else State.GOOD, remedy)
    )
    turned = way.turned_deg
    side = "clockwise" if turned > 0 else "anticlockwise"
    found.append(
        Finding(
            "Camera's turn",
            f"{abs(turned):.1f}° against the belt",
            State.GOOD if abs(turned) <= WORST_TURN_DEG else State.POOR,
            "" if abs(turned) <= WORST_TURN_DEG else f"Turn the camera {abs(turned):.1f}° {side}, looking as it looks.",
        )
    )
    if figures.speeds_mm_s is not None:
        slow, fast = figures.speeds_mm_s
        seen = math.inf if frame_rate_hz is None else way.length_mm / fast * frame_rate_hz
        few = seen < LEAST_FRAMES
        found.append(
            Finding(
                "Belt speed",
                f"{fast:.0f} mm/s" if fast < 1.1 * slow else f"{slow:.0f} to {fast:.0f} mm/s",
                State.POOR if few else State.GOOD,
                f"A fruit is in about {seen:.0f} frames, and {LEAST_FRAMES} are the least. Raise the frame rate, show "
                "more of the belt or slow it down."
                if few
                else "",
            )
        )
    return found


def _pictures(figures: Figures, quality: Sequence[PictureQuality]) -> list[Finding]:
    along_x = figures.travel is None or is_horizontal(figures.travel.direction)
    both = [(each.blur_x_px, each.blur_y_px) if along_x else (each.blur_y_px, each.blur_x_px) for each in quality]
    straight = np.array([pair for pair in both if not math.isinf(pair[0])]).reshape(-1, 2)
    found = []
    if len(straight):
        blur_px = float(np.median(straight[:, 1]))
        found.append(
            Finding(
                "Focus",
                f"edges are blurred by {blur_px:.1f} px",
                State.GOOD if blur_px <= WORST_BLUR_PX else State.POOR,
                ""
                if blur_px <= WORST_BLUR_PX
                else "Turn the focus ring until the sheet's squares have crisp edges; wipe the lens; then tighten the "
                "ring's screw.",
            )
        )
        # A box as wide as the way during the exposure has a twelfth of its square as variance.
        fastest = float(np.percentile(straight[:, 0], 80))
        smear_px = math.sqrt(12 * max(0.0, fastest**2 - blur_px**2))
        smeared = smear_px > WORST_SMEAR_PX
        found.append(
            Finding(
                "Smear",
                f"the belt moves {smear_px:.1f} px during an exposure",
                State.POOR if smeared else State.GOOD,
                f"Shorten the exposure to {WORST_SMEAR_PX / smear_px:.0%} of what it is, and add light instead."
                if smeared
                else "",
            )
        )
    return [*found, _exposure(quality)]


def _exposure(quality: Sequence[PictureQuality]) -> Finding:
    paper, ink = (float(np.median([getattr(each, name) for each in quality])) for name in ("paper", "ink"))
    value = f"white paper is {paper:.0f} of 255, black print {ink:.0f}"
    if paper > PAPER[1]:
        return Finding("Exposure", value, State.POOR, "Too bright: shorten the exposure or close the aperture.")
    if paper < PAPER[0]:
        return Finding("Exposure", value, State.POOR, "Too dark: add light or open the aperture, not gain.")
    if paper - ink < LEAST_CONTRAST:
        return Finding("Exposure", value, State.POOR, "Flat: shade the lens from the lamps and wipe it.")
    return Finding("Exposure", value, State.GOOD)


def _timing(figures: Figures, has_encoder: bool) -> list[Finding]:
    lag = figures.lag
    if not has_encoder:
        words = "The line has no encoder: the belt's way will be estimated from its own texture."
        return [Finding(name, "none", State.LEFT_OUT, words) for name in ("Encoder", "Camera delay")]
    if lag is None:
        words = "The encoder says nothing about the time of these frames: check its cable, or its recording."
        return [Finding("Encoder", "none", State.LEFT_OUT, words)]
    slips = lag.rms_mm > WORST_RMS_MM
    found = [
        Finding(
            "Encoder",
            f"{lag.scale:.5g} mm of belt a unit ± {100 * _CONFIDENCE * lag.scale_error / abs(lag.scale):.2f} %",
            State.POOR if slips else State.GOOD,
            f"Picture and encoder disagree by {lag.rms_mm:.1f} mm: press the wheel harder onto the belt; stick "
            "the sheet to it."
            if slips
            else "",
        )
    ]
    doubt_ms = _CONFIDENCE * lag.lag_error_ms
    if math.isinf(doubt_ms) or doubt_ms > WORST_DELAY_ERROR_MS:
        known = "unknown" if doubt_ms > 100 else f"{lag.lag_ms:.0f} ms ± {doubt_ms:.0f} ms"
        remedy = "Stop and start the belt twice while the sheet is in the picture: at one speed no delay shows."
        return [*found, Finding("Camera delay", known, State.POOR, remedy)]
    return [*found, Finding("Camera delay", f"{lag.lag_ms:.1f} ms ± {doubt_ms:.1f} ms", State.GOOD)]


def _ejector(figures: Figures, has_trial: bool) -> list[Finding]:
    place = figures.ejector
    if place is None:
        remedy = (
            "No stroke left a mark that was read: dust the ruler with flour (air) or dab paint on the finger, see that "
            "at_mm is right to a few centimetres, and let the sheet pass or stop before the ejector."
            if has_trial
            else "Not tried. State [[ejector]] with its output and at_mm by tape measure in line.toml, and repeat with "
            "--ejector 1."
        )
        return [Finding("Ejector", "none", State.LEFT_OUT, remedy)]
    return [_distance(place), _latency(place)]


def _distance(place: EjectorPlace) -> Finding:
    doubt_mm = _CONFIDENCE * place.at_error_mm
    poor = doubt_mm > WORST_AT_ERROR_MM * _CONFIDENCE
    remedy = "Let the sheet stop before the ejector: a stroke at a standing sheet tells the place." if poor else ""
    value = f"{place.at_mm:.1f} mm behind the picture ± {doubt_mm:.1f} mm"
    return Finding("Ejector's place", value, State.POOR if poor else State.GOOD, remedy)


def _latency(place: EjectorPlace) -> Finding:
    if place.latency_ms is None or place.latency_error_ms is None:
        remedy = "Let the sheet pass the ejector at full speed, too."
        return Finding("Ejector's latency", "unknown", State.LEFT_OUT, remedy)
    poor = place.latency_error_ms > WORST_LATENCY_ERROR_MS
    doubt_ms = _CONFIDENCE * place.latency_error_ms
    return Finding(
        "Ejector's latency",
        f"{place.latency_ms:.1f} ms ± {doubt_ms:.1f} ms",
        State.POOR if poor else State.GOOD,
        "Stroke more often, and at the line's full speed." if poor else "",
    )


_SIDES = {"right": "right", "left": "left", "down": "lower edge", "up": "upper edge"}
