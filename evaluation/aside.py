"""Write a folder so that nobody ever finds half of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def filled_aside(output: Path) -> Iterator[Path]:
    """A folder to fill beside `output`, which takes its place, synced and in one rename, only if the block succeeds.

    A process that is killed leaves `.NAME.partial` behind, never a folder that looks finished; what stood at `output`
    is there until the new one is whole.
    """
    target = output.resolve()
    partial, old = (target.with_name(f".{target.name}.{word}") for word in ("partial", "old"))
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    for file in partial.rglob("*"):
        if file.is_file():
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    partial.rename(target)
    shutil.rmtree(old, ignore_errors=True)
