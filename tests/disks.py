"""Disks that are soon full or that hang, for tests of what becomes of records then."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A tmpfs of that size at `folder`; skips where only root may mount and the tests are not root."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", folder]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let tests mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


_HANGS_S = 60.0


class HangingDisk:
    """An ext4 file system; while it hangs, who writes to it waits in the kernel, out of reach of any signal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._end: subprocess.Popen[bytes] | None = None

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """It hangs within the block; not longer than a minute, or a test that waits for it would never end."""
        words = ["sh", "-c", f'sleep {_HANGS_S:.0f}; fsfreeze -u "$0"', str(self.folder)]
        self._end = subprocess.Popen(words, start_new_session=True)
        subprocess.run(["fsfreeze", "-f", self.folder], check=True)
        try:
            yield
        finally:
            subprocess.run(["fsfreeze", "-u", self.folder], check=False, capture_output=True)
            with suppress(ProcessLookupError):
                os.killpg(self._end.pid, signal.SIGKILL)
            self._end.wait()

    @property
    def hangs(self) -> bool:
        """Whether it does still, of itself."""
        return self._end is not None and self._end.poll() is None


@contextmanager
def hanging_disk(folder: Path) -> Iterator[HangingDisk]:
    """A disk of 32 MB at `folder`; skips where only root may mount and the tests are not root."""
    folder.mkdir()
    image = folder.with_name(f"{folder.name}.img")
    with image.open("wb") as file:
        file.truncate(32_000_000)
    for command in (["mkfs.ext4", "-q", "-F", image], ["mount", "-o", "loop", image, folder]):
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("this machine does not let tests mount a disk of their own")
    try:
        (folder / "lost+found").rmdir()
        yield HangingDisk(folder)
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
