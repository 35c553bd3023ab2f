"""Write a folder so that nobody ever finds half of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def partial_of(output: Path) -> Path:
    """Where a folder is filled before it takes its place at `output`."""
    target = output.resolve()
    return target.with_name(f".{target.name}.partial")


@contextmanager
def filled_aside(output: Path, *, goes_on: bool = False) -> Iterator[Path]:
    """A folder to fill beside `output`, which takes its place, synced and in one rename, only if the block succeeds.

    A process that is killed leaves `.NAME.partial` behind, never a folder that looks finished; what stood at `output`
    is there until the new one is whole.

    Args:
        output: The folder to make.
        goes_on: Begin with what an earlier block left behind, and leave it behind again if this one fails.
    """
    target, partial = output.resolve(), partial_of(output)
    old = target.with_name(f".{target.name}.old")
    if not goes_on:
        shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True, exist_ok=goes_on)
    try:
        yield partial
    except BaseException:
        if not goes_on:
            shutil.rmtree(partial, ignore_errors=True)
        raise
    for entry in (*partial.rglob("*"), partial):
        _sync(entry)
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    partial.rename(target)
    _sync(target.parent)  # after a power cut too, the name is there before the old folder is gone
    shutil.rmtree(old, ignore_errors=True)


def _sync(entry: Path) -> None:
    """Force a file, or the names in a folder, onto the disk."""
    handle = os.open(entry, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
