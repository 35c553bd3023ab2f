"""What `--force` replaces stays until its successor has something to show, whoever is killed in between.

It waits inside the folder, which may be the root of a disk of its own. The names say what is to become of it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

from ripeline import console

_MOVING, _WAITING, _LEAVING = ".ripeline-moving", ".ripeline-replaced", ".ripeline-removed"
"""Belongs with what lies beside it; is older than what lies beside it; is of no more use."""


def check(folder: Path, *, marker: str, force: bool) -> None:
    """As `console.check_output`, which does not know what one that was killed has left."""
    if not (force and any((folder / name).is_dir() for name in (_MOVING, _WAITING, _LEAVING))):
        console.check_output(folder, marker=marker, force=force)


@contextmanager
def replacing(folder: Path, *, marker: str, force: bool) -> Iterator[Callable[[], None]]:
    """An empty folder to write to, after `check_output`; an error puts everything back as it was.

    Gives a function to call once there is something new: from then on an error puts nothing back. Without an error
    that holds at the end of the block at the latest.
    """
    if force:
        _tidy(folder)
    console.check_output(folder, marker=marker, force=force)
    existed = folder.is_dir()
    folder.mkdir(parents=True, exist_ok=True)
    # In a thread, as it may take long, and the new result is being written already.
    removal = Thread(target=shutil.rmtree, args=(folder / _LEAVING, True))

    something_new = False

    def begun() -> None:
        nonlocal something_new
        if not something_new:
            something_new = True
            with suppress(OSError):  # of a disk that fails: no reason to end what has begun
                (folder / _WAITING).rename(folder / _LEAVING)
            removal.start()

    try:
        _set_aside(folder)
        yield begun
        begun()
    except BaseException:
        if not something_new:
            _tidy(folder)
            if not existed:
                folder.rmdir()
        raise
    finally:
        if something_new:
            removal.join()


def _set_aside(folder: Path) -> None:
    moving = folder / _MOVING
    moving.mkdir()
    for entry in folder.iterdir():
        if entry != moving:
            entry.rename(moving / entry.name)
    moving.rename(folder / _WAITING)


def _tidy(folder: Path) -> None:
    """The folder as it was before one that came to nothing."""
    moving, waiting, leaving = (folder / name for name in (_MOVING, _WAITING, _LEAVING))
    if leaving.is_dir():
        shutil.rmtree(leaving)
    if waiting.is_dir():
        for entry in folder.iterdir():
            if entry != waiting:
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        waiting.rename(moving)
    if moving.is_dir():
        for entry in moving.iterdir():
            entry.rename(folder / entry.name)
        moving.rmdir()
