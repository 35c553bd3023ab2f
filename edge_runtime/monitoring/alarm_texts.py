"""Every alarm in the words of who stands beside the belt: what it means, what to do. `docs/operating.md` lists them."""

from __future__ import annotations

from dataclasses import dataclass

STOPPED, SOON, NOTE = "stopped", "soon", "note"
"""How urgent: the line does not sort; it sorts, and somebody should act this shift; good to know."""


@dataclass(frozen=True, slots=True)
class AlarmText:
    """What people read."""

    severity: str
    meaning: str
    remedy: str


ALARMS: dict[str, AlarmText] = {
    "camera silent": AlarmText(
        STOPPED,
        "No pictures come from the camera, so nobody sees the fruit.",
        "Check the camera's plug, cable and power light. The line goes on by itself once pictures come again.",
    ),
    "camera frozen": AlarmText(
        STOPPED,
        "The camera sends the same picture again and again while the belt moves.",
        "Unplug the camera, wait ten seconds, plug it in again.",
    ),
    "camera black": AlarmText(
        STOPPED,
        "The camera's pictures are black.",
        "Look whether the light is on, and whether something covers the lens.",
    ),
    "encoder implausible": AlarmText(
        STOPPED,
        "The belt's measured place jumps, runs backward or stands still while the picture moves.",
        "Check that the encoder's wheel sits on the belt and that its plug is tight.",
    ),
    "vision stalled": AlarmText(
        STOPPED,
        "The program that looks at the pictures does not answer; it is being started again.",
        "Wait a minute. If it comes back within the hour, restart the machine and tell who looks after it.",
    ),
    "model fails its self-test": AlarmText(
        STOPPED,
        "The model does not answer here as it did when it was made, so its word is not worth anything.",
        "Restart the line once: memory may have rotted. If it comes back, have the bundle installed again "
        "(`ripeline check BUNDLE`) and the machine looked at.",
    ),
    "clock jumped": AlarmText(
        STOPPED,
        "The machine's clock was set forward or back.",
        "Nothing, the line goes on by itself. If it happens daily, have the clock kept by a time server.",
    ),
    "too many orders too late": AlarmText(
        STOPPED,
        "Too many fruit had passed the ejector before it could act.",
        "Run the belt slower. If it ran so yesterday, restart the machine and tell who looks after it.",
    ),
    "line not sorting": AlarmText(
        STOPPED,
        "The line is in its safe state: nothing is sorted.",
        "Look at the other alarms. If there is none, let it go on: `sudo ripeline status --resume`.",
    ),
    "journal full": AlarmText(
        SOON,
        "The disk is full. The line sorts, and decisions wait in memory, which is lost if the power goes.",
        "Make room on the disk (old runs and pictures), or lower max_mb in [journal].",
    ),
    "journal read-only": AlarmText(
        SOON,
        "The journal's disk cannot be written. The line sorts, and decisions wait in memory.",
        "Check the disk or memory card: a worn one turns read-only. Replace it and restart.",
    ),
    "journal unusable": AlarmText(
        SOON,
        "The journal cannot be used, for the reason that stands beside. Decisions wait in memory.",
        "Check the disk. Restart the machine if it does not clear.",
    ),
    "journal set aside": AlarmText(
        SOON,
        "The journal was damaged and a new one begun. The damaged file is kept; receivers may lack decisions in it.",
        "Copy the file named beside to somebody who can recover it (`sqlite3 FILE .recover`), then move it away.",
    ),
    "decisions lost": AlarmText(
        SOON,
        "Decisions were made that no journal will have, since it could not be written for too long.",
        "Clear the journal's alarm first. The count of sorted fruit in reports is too low by the number beside.",
    ),
    "strokes not recorded": AlarmText(
        SOON,
        "What the ejectors did cannot be written down. It waits in memory, and what finds no room there is lost.",
        "Make room on the disk of the output folder, and clear the alarm about reports if there is one. "
        "Of what is lost, firings.jsonl and states.jsonl lack that many rows; decisions are not among them.",
    ),
    "decisions dropped": AlarmText(
        SOON,
        "Decisions left the journal before a receiver had them, to keep the disk from filling up.",
        "Bring the receiver back that does not answer, or give the journal more room (max_mb in [journal]).",
    ),
    "receiver away": AlarmText(
        SOON,
        "Somebody who is to get the decisions cannot be reached. The journal keeps them.",
        "Check that computer and the network to it. Nothing is lost; it catches up by itself.",
    ),
    "receiver behind": AlarmText(
        NOTE,
        "A receiver takes decisions more slowly than they are made.",
        "Nothing if it catches up by the end of the shift; else the receiving computer is too slow.",
    ),
    "reports not running": AlarmText(
        SOON,
        "The program that keeps the journal does not answer. Decisions wait in memory.",
        "Restart the machine at the next pause if it does not clear within minutes.",
    ),
    "frames dropped": AlarmText(
        NOTE,
        "This machine does not come along with the camera: pictures are skipped, fruit are seen less often.",
        "Look what else runs on the machine; it may be hot and slow. Check its fan.",
    ),
    "restarting": AlarmText(
        SOON,
        "A part of the program keeps being started again.",
        "Tell who looks after the machine; the log says why (`journalctl -u ripeline`).",
    ),
    "camera adjusts itself": AlarmText(
        SOON,
        "The camera does not keep what line.toml states of its exposure or white balance; ripeness may be misjudged.",
        "Tell who looks after the machine: set it on the camera itself and take it out of line.toml, "
        "or use a camera that can be told.",
    ),
    "light changed": AlarmText(
        SOON,
        "The belt is clearly brighter or darker than when the camera was set up; ripeness may be misjudged.",
        "Clean lamps and lens. Replace lamps that are out. Keep daylight off.",
    ),
    "focus lost": AlarmText(
        SOON,
        "The picture is blurred compared with when the camera was set up.",
        "Clean the lens and the window before it; check that the camera has not been knocked.",
    ),
    "colour shifted": AlarmText(
        SOON,
        "The belt's colour looks different from when the camera was set up; ripeness may be misjudged.",
        "Check that all lamps are of one kind, and that nobody changed the camera's white balance.",
    ),
}
