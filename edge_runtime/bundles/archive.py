"""The packed form of a bundle: one file for transport, the same bytes for the same bundle, opened without trust.

Plain POSIX tar (ustar), because weights hardly compress, any machine lists it with `tar tf`, and a format without
compression cannot swell when it is opened. Exactly one byte sequence is the packed form of a bundle: files sorted by
name, no owner, no time, mode 644. Whatever else a tar file can say (links, devices, sparse
files, long names) is refused.
"""

from __future__ import annotations

import os
import re
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edge_runtime.bundles.bundle import SIGNATURE, bundle_files, verify_checksums
from edge_runtime.errors import BundleError

MAX_FILES = 256
MAX_BYTES = 1 << 30
"""Of the whole packed file; the largest bundle made so far has 40 MB."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_KINDS = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.DIRTYPE: "a folder",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}


@dataclass(frozen=True)
class _Entry:
    name: str
    size: int
    offset: int


def pack(folder: Path, file: Path) -> None:
    """Write a bundle, with its signature if it has one, as one file.

    Args:
        folder: A bundle; checked for being whole.
        file: Where to write; an earlier file is replaced when the new one is whole.

    Raises:
        BundleError: The bundle is damaged, or holds what its packed form cannot.
    """
    verify_checksums(folder)
    names = [path.relative_to(folder).as_posix() for path in bundle_files(folder)]
    if (folder / SIGNATURE).is_file():
        names.append(SIGNATURE)
    entries = [(name, (folder / name).stat().st_size) for name in sorted(names)]
    for name, _ in entries:
        if not _NAME.fullmatch(name):
            raise BundleError(f"{folder / name} cannot be packed.", expected="a flat folder with plain file names")
    _check_limits(folder, [size for _, size in entries])
    aside = file.with_name(f".{file.name}.partial")
    with aside.open("wb") as out:
        for name, size in entries:
            out.write(_header(name, size))
            out.write((folder / name).read_bytes())
            out.write(bytes(-size % tarfile.BLOCKSIZE))
        out.write(_end(out.tell()))
        out.flush()
        os.fsync(out.fileno())
    aside.replace(file)


def unpack(file: Path, folder: Path) -> None:
    """Write the files of a packed bundle into an empty folder, after everything in the archive has been looked at.

    Args:
        file: As `pack` wrote it.
        folder: An empty folder, best a temporary one: when the files turn out damaged, they lie there already.

    Raises:
        BundleError: The archive is no packed bundle, or its files are not what `SHA256SUMS` says. The first is found
            before anything is written.
    """
    with file.open("rb") as stream:
        for entry in _entries(file, stream):
            stream.seek(entry.offset)
            (folder / entry.name).write_bytes(stream.read(entry.size))
    verify_checksums(folder)


@contextmanager
def as_folder(bundle: Path) -> Iterator[Path]:
    """The bundle's folder: itself, or a temporary one with what a packed bundle holds."""
    if not bundle.is_file():
        yield bundle
        return
    with tempfile.TemporaryDirectory(prefix="ripeline-bundle-") as folder:
        unpack(bundle, Path(folder))
        yield Path(folder)


def _entries(file: Path, stream: BinaryIO) -> list[_Entry]:
    """Every entry, all of them allowed; raises BundleError at the first that is not."""
    length = file.stat().st_size
    if length > MAX_BYTES:
        raise _refused(file, f"it is larger than {MAX_BYTES >> 20} MB")
    entries: list[_Entry] = []
    position = 0
    while (raw := stream.read(tarfile.BLOCKSIZE)) != bytes(tarfile.BLOCKSIZE):
        entry = _entry(file, raw, position + tarfile.BLOCKSIZE)
        if entry.name in {one.name for one in entries}:
            raise _refused(file, f"it holds {entry.name} twice")
        entries.append(entry)
        _check_limits(file, [one.size for one in entries])
        end = entry.offset + entry.size
        position = end + -end % tarfile.BLOCKSIZE
        if position > length:
            raise _refused(file, f"it is cut off: {entry.name} is said to have {entry.size} bytes")
        stream.seek(end)
        if any(stream.read(position - end)):
            raise _refused(file, f"there are bytes behind the end of {entry.name}")
    if not entries:
        raise _refused(file, "it is empty")
    stream.seek(position)
    if stream.read() != _end(position):
        raise _refused(file, "it does not end where its last file ends")
    if entries != sorted(entries, key=lambda one: one.name):
        raise _refused(file, "its files are not in order")
    return entries


def _entry(file: Path, raw: bytes, offset: int) -> _Entry:
    try:
        # One block is one header: names and sizes that other blocks would change are never followed.
        info = tarfile.TarInfo.frombuf(raw, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise _refused(file, f"byte {offset - tarfile.BLOCKSIZE} begins no file ({error})") from error
    if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        kind = _KINDS.get(info.type, f"an entry of type {info.type!r}")
        raise _refused(file, f"it holds {kind}, {_shown(info.name)}")
    if not _NAME.fullmatch(info.name):
        raise _refused(file, f"it holds a file named {_shown(info.name)}")
    _check_limits(file, [info.size])  # larger ones than a plain header can hold are written another way
    if info.size < 0 or raw != _header(info.name, info.size):
        raise _refused(file, f"the entry of {info.name} says more than a name and a size")
    return _Entry(info.name, info.size, offset)


def _check_limits(where: Path, sizes: list[int]) -> None:
    if len(sizes) > MAX_FILES:
        raise _refused(where, f"it holds more than {MAX_FILES} files")
    if sum(sizes) > MAX_BYTES:
        raise _refused(where, f"its files are said to take more than {MAX_BYTES >> 20} MB")


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")


def _end(position: int) -> bytes:
    """Two empty blocks, and zeros up to a whole record, as tar ends."""
    blocks = position + 2 * tarfile.BLOCKSIZE
    return bytes(2 * tarfile.BLOCKSIZE + -blocks % tarfile.RECORDSIZE)


def _shown(name: str) -> str:
    return ascii(name if len(name) <= 80 else name[:80] + "...")


def _refused(file: Path, reason: str) -> BundleError:
    return BundleError(
        f"{file} was not opened: {reason}.",
        expected="a file that `ripeline bundle pack` wrote",
        remedy="copy it again from where it was made; if it comes from elsewhere, do not trust it",
    )
