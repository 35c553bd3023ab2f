"""`ripeline score`: what a run of the line was worth, against the truth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ripeline import console

if TYPE_CHECKING:
    from simulator.evidence import Evidence


@click.command(
    "score",
    epilog="""\b
Examples:
  ripeline run bundle --source sim:ramps -o out --trace && ripeline score out out
  ripeline score out clip --accept ripe --gate gate.toml      # exit 1 below the gate's figures
  ripeline score out out --beside earlier --beside other      # with a table of all three""",
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("truth", type=click.Path(path_type=Path))
@click.option("--accept", help="Labels of good fruit, a,b. Default: those that the run's policy accepts.")
@click.option("--gate", type=click.Path(path_type=Path), help="gate.toml with figures to reach.")
@click.option(
    "--beside", multiple=True, type=click.Path(path_type=Path), help="Another scored run to compare with; repeatable."
)
@console.as_json
def verb(
    folder: Path, truth: Path, accept: str | None, gate: Path | None, beside: tuple[Path, ...], as_json: bool
) -> None:
    """Score the decisions in DIR, as `run` wrote them, against TRUTH: truth.jsonl or the folder that holds it.

    Writes score.json, score.html and the frames of the worst errors (worst/) into DIR.
    """
    from simulator.evidence import read_evidence, read_score
    from simulator.gate import failures, read_gate
    from simulator.identity import identity
    from simulator.line_score import score
    from simulator.matching import match, strokes
    from simulator.score_page import comparison, write_score_page
    from simulator.worst import WORST, errors, pictures, write_pictures

    asked = read_gate(gate) if gate is not None else None
    folders = [one.name for one in (folder, *beside)]
    called = {one: one.name if folders.count(one.name) == 1 else str(one) for one in (folder, *beside)}
    others = {called[one]: read_score(one) for one in beside}
    evidence = read_evidence(folder, truth)
    if not evidence.is_proven:
        console.notice(f"nothing says that {truth} is the truth of {folder}: one of them carries no line_id.")
    matched = match(evidence)
    done = strokes(evidence, matched)
    accepted = _accepted(console.split_names(accept), evidence)
    figures = score(evidence, matched, done, accepted=accepted)
    figures["identity"] = identity(evidence)
    wrong = errors(matched, done, evidence.firings, accepted=accepted)
    shown = pictures(evidence, wrong[:WORST])
    names = write_pictures(folder, shown)
    figures["errors"] = len(wrong)
    figures["worst"] = [one.as_dict() | {"picture": name} for one, name in zip(wrong, names, strict=False)]
    said = failures(asked, figures) if asked is not None else []
    figures["gate"] = {"file": str(gate), "failures": said} if gate is not None else None
    (folder / "score.json").write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n", "utf-8")
    write_score_page(folder / "score.html", evidence, matched, done, figures, wrong=wrong, shown=shown, beside=others)
    _tell(figures)
    if others:
        header, rows = comparison({called[folder]: figures, **others})
        console.say(console.table([dict(zip(header, map(str, row), strict=True)) for row in rows]))
    console.say(f"Look at {folder / 'score.html'}")
    console.emit(figures, as_json=as_json)
    for text in said:
        console.say(f"The gate says no: {text}.")
    if said:
        raise console.GateSaidNo


def _accepted(asked: Sequence[str] | None, evidence: Evidence) -> tuple[str, ...]:
    """Those asked for, else the labels whose acceptance is the cheapest verdict."""
    from edge_runtime.errors import InputError

    costs: dict[str, dict[str, float]] = evidence.summary.get("costs") or {}
    if asked:
        known = {row["label"] for row in (*evidence.truth, *evidence.decisions)} | set(costs)
        if unknown := sorted(set(asked) - known):
            raise InputError(f"--accept {', '.join(unknown)}: no such label.", expected=", ".join(sorted(known)))
        return tuple(asked)
    if not costs:
        raise InputError(
            "The run's summary.json does not say which labels it accepts.", remedy="name them with --accept"
        )
    return tuple(label for label, cost in costs.items() if min(cost, key=lambda verdict: cost[verdict]) == "ACCEPT")


def _tell(figures: dict[str, Any]) -> None:
    counting, grading, acting = figures["counting"], figures["grading"], figures["acting"]
    lost = ", ".join(f"{counting[name]['k']} {name}" for name in ("missed", "merged", "split", "doubled", "spurious"))
    found = counting["found"]
    console.say(f"{found['k']} of {found['n']} fruit found; {lost}; {counting['unseen']} unseen.")
    if grading["accuracy"]["share"] is not None:
        console.say(
            f"Label right for {grading['accuracy']['share']:.1%}; {grading['escapes']['k']} escapes, "
            f"{grading['false_rejects']['k']} false rejects, {grading['undecided']['k']} undecided."
        )
    if acting:
        console.say(
            f"{acting['fired']} strokes: {acting['hit_own']['k']} hit their fruit, {acting['hit_neighbour']['k']} a "
            f"neighbour, {acting['hit_nothing']['k']} nothing; {acting['late']['k']} were too late."
        )
