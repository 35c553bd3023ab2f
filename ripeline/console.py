"""How every verb speaks: JSON alone on stdout, words and progress on stderr, errors that say what to do, exit codes."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar, NoReturn, TextIO

import click

DONE, GATE_SAID_NO, BAD_INPUT = 0, 1, 2
INTERRUPTED = 130

# Importable module -> the extra of the `ripeline` distribution that brings it.
_EXTRAS = {
    "ai_edge_litert": "litert",
    "asyncua": "opcua",
    "cleanlab": "train",
    "cv2": "edge",
    "imagehash": "train",
    "jinja2": "report",
    "keras": "train",
    "lap": "edge",
    "matplotlib": "report",
    "numpy": "edge",
    "onnx": "export",
    "onnxruntime": "onnx",
    "openvino": "openvino",
    "optuna": "tune",
    "paho": "mqtt",
    "prometheus_client": "metrics",
    "pydantic": "edge",
    "sklearn": "train",
    "tensorflow": "train",
    "tf2onnx": "export",
    "tflite_runtime": "edge",
}

_document_stream: TextIO | None = None
"""Where the one document goes when stdout itself has been turned to stderr."""

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document to stdout, nothing else.")
force = click.option("--force", is_flag=True, help="Replace an earlier result in the output folder.")


class GateSaidNo(Exception):  # noqa: N818 - an outcome, not a fault
    """Raised by a verb after it has written and printed everything: exit with 1."""


def say(text: str = "") -> None:
    """A line for people."""
    click.echo(text, err=True)


def notice(text: str) -> None:
    """Something that a person should know and need not act on."""
    click.secho(f"Notice: {text}", fg="yellow", err=True)


def emit(document: dict[str, Any], *, as_json: bool) -> None:
    """Print the verb's one document, when it was asked for."""
    if as_json:
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
        click.echo(text, file=_document_stream)


def leave() -> NoReturn:
    """End the process here, done: to take an interpreter apart costs more time than a busy line has for its end."""
    for stream in (sys.stdout, sys.stderr, _document_stream):
        if stream is not None:
            stream.flush()
    os._exit(DONE)


def leave_by(by_s: float) -> None:
    """`leave` at that monotonic time unless it has been before: nobody waits for a disk or a log that hangs.

    To be called when all is done, and is only to be told.
    """

    def wait() -> None:
        time.sleep(max(0.0, by_s - time.monotonic()))
        os._exit(DONE)

    Thread(target=wait, name="leave", daemon=True).start()


def split_names(text: str | None) -> tuple[str, ...] | None:
    """`a, b,c` as names; None stays None."""
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())


def check_output(folder: Path, *, marker: str, force: bool) -> None:
    """Refuse early what a verb must not write over.

    A folder may be new, empty, or with `--force` one that holds `marker`, the file by which this verb's own output is
    known, so that a mistyped -o never costs anybody their files. Raises InputError otherwise.
    """
    from edge_runtime.errors import InputError

    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file.", expected="a folder to write to, new or empty")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not force:
        raise InputError(
            f"The folder {folder} is not empty.",
            expected="a new or empty folder",
            remedy="choose another one with -o, or give --force to replace an earlier result",
        )
    if not (folder / marker).exists():
        raise InputError(
            f"{folder} holds files that this verb did not write (there is no {marker}), so --force leaves it alone.",
            expected="a new or empty folder, or an earlier result of the same verb",
        )


def check_outside(output: Path, *data: Path) -> None:
    """Refuse, with an InputError, to write into folders of labelled pictures."""
    from edge_runtime.errors import InputError

    if any(output.resolve().is_relative_to(folder.resolve()) for folder in data):
        raise InputError(
            f"{output} lies inside the data, where it would become a label.", remedy="choose a folder elsewhere with -o"
        )


def new_folder(folder: Path, *, marker: str, force: bool) -> Path:
    """An empty folder to write to, after `check_output`; an earlier result in it is removed."""
    check_output(folder, marker=marker, force=force)
    folder.mkdir(parents=True, exist_ok=True)
    for entry in folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    return folder


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows as aligned columns under their names."""
    if not rows:
        return ""
    cells = [list(rows[0]), *([row[name] for name in rows[0]] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )


class Narrator:
    """Tells people where a training run is: a bar while it works through pictures, a line an epoch."""

    _STAGES: ClassVar = {
        "data": "reading pictures",
        "audit": "looking at pictures",
        "features of train": "running the frozen part over the training pictures",
        "features of validation": "running the frozen part over the validation pictures",
        "features": "running the backbone over old and new pictures",
        "weights": "trying how much the new pictures should count",
        "boundaries": "trying how much to unfreeze",
        "evaluate": "measuring",
    }

    def __init__(self) -> None:
        self._stage: str | None = None
        self._bar = ExitStack()
        self._advance: Callable[[int, int], None] = lambda _done, _total: None

    def __call__(self, event: Any) -> None:
        """Take one event of `train.training.train_run`."""
        kind = type(event).__name__
        if kind == "Progress":
            self._progress(event.stage, event.done, event.total)
            return
        self._end()
        if kind == "EpochRow":
            held_out = "" if event.source_loss is None else f"  held-out sources {event.source_loss:.3f}"
            say(
                f"  epoch {event.epoch:3d}  loss {event.loss:.3f}  accuracy {event.accuracy:.1%}"
                f"  validation loss {event.val_loss:.3f}  accuracy {event.val_accuracy:.1%}{held_out}"
            )
        elif kind == "Notice":
            notice(event.text)
        else:
            click.secho(f"  {event.phase}, epoch {event.epoch}: {event.kind}, {event.reason}", fg="cyan", err=True)

    def _progress(self, stage: str, done: int, total: int) -> None:
        if stage != self._stage:
            self._end()
            self._stage = stage
            self._advance = self._bar.enter_context(progress(self._STAGES.get(stage, stage)))
        self._advance(done, total)
        if done == total:
            self._end()

    def _end(self) -> None:
        self._bar.close()
        self._stage = None


@contextmanager
def progress(text: str) -> Iterator[Callable[[int, int], None]]:
    """A bar with the time left, for work that counts (done, in all); silent where stderr is no terminal."""
    with ExitStack() as stack:
        bar: Any = None

        def advance(done: int, total: int) -> None:
            nonlocal bar
            if bar is None:
                bar = stack.enter_context(click.progressbar(length=total, label=text, file=sys.stderr))
            bar.update(done - bar.pos)

        yield advance


@contextmanager
def steps(name: str) -> Iterator[Callable[[str], None]]:
    """Announce each step of long work, with the time since it began."""
    begun = time.monotonic()

    def step(text: str) -> None:
        say(f"[{time.monotonic() - begun:5.1f} s] {name}: {text}")

    yield step


def run(command: Callable[[], object], *, as_json: bool) -> NoReturn:
    """Call the command line and exit with its code; a person's own mistake never shows a traceback."""
    if as_json:
        _keep_stdout_for_the_document()
    try:
        command()
    except GateSaidNo:
        sys.exit(GATE_SAID_NO)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        _emit_error(error.format_message(), None, None, as_json=as_json)
        sys.exit(BAD_INPUT)
    except (click.Abort, KeyboardInterrupt):
        say("Interrupted.")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(DONE)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").split(".")[0])
        if extra is None:
            raise
        what = f"This verb needs {error.name}, which is not installed."
        _fail(what, None, f"pip install 'ripeline[{extra}]'", as_json=as_json)
    except OSError as error:
        if error.filename is None:
            raise
        _fail(
            f"{error.filename}: {error.strerror}.", None, "check the path, permissions and free space", as_json=as_json
        )
    except Exception as error:
        words: str | None = getattr(error, "what", None)
        if words is None:  # a fault of ours: the traceback is what a bug report needs
            raise
        _fail(words, getattr(error, "expected", None), getattr(error, "remedy", None), as_json=as_json)
    sys.exit(DONE)


def _keep_stdout_for_the_document() -> None:
    """What libraries print, native ones included, goes to stderr from here on."""
    global _document_stream  # noqa: PLW0603 - stdout is the process's, and so is this
    sys.stdout.flush()
    _document_stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)


def _fail(what: str, expected: str | None, remedy: str | None, *, as_json: bool) -> NoReturn:
    click.secho(f"Error: {what}", fg="red", err=True)
    if expected:
        say(f"  Expected: {expected}")
    if remedy:
        say(f"  To do:    {remedy}")
    _emit_error(what, expected, remedy, as_json=as_json)
    sys.exit(BAD_INPUT)


def _emit_error(what: str, expected: str | None, remedy: str | None, *, as_json: bool) -> None:
    emit({"error": {"what": what, "expected": expected, "remedy": remedy}}, as_json=as_json)
