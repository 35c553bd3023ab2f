"""`ripeline status`: how a line of this machine is."""

from __future__ import annotations

from typing import Any

import click

from ripeline import console


@click.command(
    "status",
    epilog="""\b
Examples:
  ripeline status                  # the one line that runs here
  ripeline status --line north --json
  ripeline status --resume         # let it sort again after it went safe""",
)
@click.option("--line", help="Name of the line, as in line.toml. Default: the only one that runs here.")
@click.option("--resume", is_flag=True, help="Say that a line in its safe state may sort again.")
@console.as_json
def verb(line: str | None, resume: bool, as_json: bool) -> None:
    """Say whether a line sorts, which alarms stand, and what to do about them.

    Exit code 1 where it does not sort.
    """
    from edge_runtime.monitoring import health_server

    name = line or _only_line()
    if resume:
        health_server.ask(name, health_server.RESUME)
        console.say(f"{name} was told to go on. It does so once nothing is wrong any more.")
        console.emit({"line": name, "resumed": True}, as_json=as_json)
        return
    document = health_server.ask(name)
    for text in _told(document):
        console.say(text)
    console.emit(document, as_json=as_json)
    if not document["sorts"]:
        raise console.GateSaidNo


def _only_line() -> str:
    from edge_runtime.errors import InputError
    from edge_runtime.monitoring.health_server import running_lines

    running = running_lines()
    if len(running) == 1:
        return running[0]
    if not running:
        raise InputError("No line runs on this machine.", remedy="start one: ripeline run, or systemctl start ripeline")
    raise InputError(f"Several lines run here: {', '.join(running)}.", remedy="say which with --line")


def _told(document: dict[str, Any]) -> list[str]:
    state = "sorts" if document["sorts"] else f"does NOT sort ({document['state']})"
    texts = [f"Line {document['line']} {state}, for {_span(document['since_s'])}."]
    for alarm in document["alarms"]:
        about = f" ({alarm['about']})" if alarm["about"] else ""
        detail = f" [{alarm['detail']}]" if alarm["detail"] else ""
        texts += [f"! {alarm['code']}{about}, since {alarm['since']}{detail}"]
        texts += [f"    {alarm['meaning']}", f"    To do: {alarm['remedy']}"]
    if not document["alarms"]:
        texts.append("No alarms.")
    decided = ", ".join(f"{count} {verdict}" for verdict, count in document["decided"].items()) or "none yet"
    texts.append(f"Fruit: {decided}; {document['fired']} thrown out, {document['missed']} orders too late.")
    for camera in document["cameras"]:
        age = "no picture yet" if camera["age_ms"] is None else f"newest picture {camera['age_ms']:.0f} ms old"
        texts.append(f"Camera {camera['name']}: {camera['frames']} pictures, {camera['dropped']} dropped, {age}.")
    for process in document["processes"]:
        times = process["restarts"]
        restarts = f", started again {'once' if times == 1 else f'{times} times'}" if times else ""
        ended = f" (the last one {process['ended']})" if process["ended"] else ""
        runs = "not there" if process["pid"] is None else f"pid {process['pid']}"
        texts.append(f"Process {process['name']}: {runs}{restarts}{ended}.")
    if (journal := document["journal"]) is not None:
        condition = "is written" if journal["trouble"] is None else f"is {journal['trouble']}"
        texts.append(
            f"Journal {journal['file']} {condition}: {journal['recorded']} decisions, {journal['used_mb']:.1f} MB."
        )
    for one in document["reporters"]:
        how = "takes decisions" if one["connected"] else f"is away ({one['error']})"
        texts.append(f"Receiver {one['name']} {how}; {one['waiting']} wait.")
    return texts


def _span(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
