from __future__ import annotations

import gzip
import io
import os
import random
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_runtime.bundles import archive
from edge_runtime.bundles.archive import as_folder, pack, unpack
from edge_runtime.bundles.bundle import CHECKSUMS, checksums
from edge_runtime.errors import BundleError

Change = Callable[[tarfile.TarInfo], object]


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def refused(file: Path, folder: Path, reason: str) -> None:
    """Refused for this reason, before anything is written, inside the folder or beside it."""
    folder.mkdir()
    before = sorted(folder.parent.rglob("*"))
    with pytest.raises(BundleError, match=reason):
        unpack(file, folder)
    assert sorted(folder.parent.rglob("*")) == before


@pytest.fixture
def packed(made_bundle: Path, tmp_path: Path) -> Path:
    pack(made_bundle, tmp_path / "bundle.tar")
    return tmp_path / "bundle.tar"


def crafted(bundle: Path, file: Path, add: Callable[[tarfile.TarFile], object]) -> Path:
    """A tar file of the bundle's files as they should be, and then what `add` adds."""
    with tarfile.open(file, "w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(bundle.iterdir()):
            info = tarfile.TarInfo(path.name)
            info.size, info.mode = path.stat().st_size, 0o644
            tar.addfile(info, io.BytesIO(path.read_bytes()))
        add(tar)
    return file


def test_packed_and_unpacked_is_the_same_bundle(made_bundle: Path, packed: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    unpack(packed, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(made_bundle)
    with as_folder(packed) as folder:
        assert contents(folder) == contents(made_bundle)
    assert not folder.exists()
    with tarfile.open(packed) as tar:
        assert tar.getnames() == sorted(contents(made_bundle))


def test_the_same_bundle_gives_the_same_bytes_whatever_its_times_modes_and_order(
    made_bundle: Path, packed: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    umask = os.umask(0o077)
    try:
        for file in sorted(made_bundle.iterdir(), reverse=True):
            shutil.copyfile(file, copy / file.name)
            os.utime(copy / file.name, (1, 1))
        (copy / "manifest.json").chmod(0o755)
        pack(copy, tmp_path / "again.tar")
    finally:
        os.umask(umask)
    assert (tmp_path / "again.tar").read_bytes() == packed.read_bytes()


def test_a_damaged_bundle_is_not_packed(made_bundle: Path, tmp_path: Path) -> None:
    (made_bundle / "manifest.json").write_text("{}")
    with pytest.raises(BundleError, match="damaged"):
        pack(made_bundle, tmp_path / "bundle.tar")
    assert not (tmp_path / "bundle.tar").exists()


def test_a_bundle_with_a_folder_in_it_is_not_packed(made_bundle: Path, tmp_path: Path) -> None:
    (made_bundle / "sub").mkdir()
    (made_bundle / "sub" / "file").write_text("x")
    (made_bundle / CHECKSUMS).write_text(checksums(made_bundle))
    with pytest.raises(BundleError, match="cannot be packed"):
        pack(made_bundle, tmp_path / "bundle.tar")


def test_one_flipped_bit_anywhere_is_refused(packed: Path, tmp_path: Path) -> None:
    rng, content = random.Random(5), packed.read_bytes()
    headers = [place for place in range(0, len(content), 512) if content[place + 257 : place + 262] == b"ustar"]
    places = [place + rng.randrange(512) for place in headers for _ in range(6)]
    places += [rng.randrange(len(content)) for _ in range(40)] + [len(content) - 1]
    for number, place in enumerate(places):
        changed = bytearray(content)
        changed[place] ^= 1 << rng.randrange(8)
        packed.write_bytes(changed)
        (tmp_path / f"out{number}").mkdir()
        with pytest.raises(BundleError):
            unpack(packed, tmp_path / f"out{number}")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_cut_off_file_is_refused(packed: Path, tmp_path: Path, share: float) -> None:
    content = packed.read_bytes()
    packed.write_bytes(content[: int(share * len(content))])
    refused(packed, tmp_path / "out", "not opened")


@pytest.mark.parametrize(
    "name",
    ["../escaped", "/escaped", "a/../../escaped", "sub/file", "..", ".hidden", "a\\b", "-rf", "C:file", "ü", "a\nb"],
)
def test_a_name_that_is_no_plain_file_name_is_refused(made_bundle: Path, tmp_path: Path, name: str) -> None:
    def add(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.size = 3
        tar.addfile(info, io.BytesIO(b"bad"))

    refused(crafted(made_bundle, tmp_path / "bad.tar", add), tmp_path / "out", "a file named")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a pipe"),
        (tarfile.DIRTYPE, "a folder"),
        (tarfile.GNUTYPE_SPARSE, "a sparse file"),
    ],
)
def test_what_is_no_file_is_refused(made_bundle: Path, tmp_path: Path, kind: bytes, reason: str) -> None:
    def add(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo("thing")
        info.type, info.linkname = kind, "manifest.json"
        tar.addfile(info)

    refused(crafted(made_bundle, tmp_path / "bad.tar", add), tmp_path / "out", f"{reason}, 'thing'")


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_headers_that_rename_what_follows_are_refused(made_bundle: Path, tmp_path: Path, form: int) -> None:
    def add(tar: tarfile.TarFile) -> None:
        assert tar.fileobj
        tar.fileobj.write(tarfile.TarInfo("x" * 300).tobuf(form))

    refused(crafted(made_bundle, tmp_path / "bad.tar", add), tmp_path / "out", "an entry of type")


def test_a_name_that_comes_twice_is_refused(made_bundle: Path, tmp_path: Path) -> None:
    file = crafted(made_bundle, tmp_path / "bad.tar", lambda tar: tar.addfile(tarfile.TarInfo("manifest.json")))
    refused(file, tmp_path / "out", r"manifest\.json twice")


@pytest.mark.parametrize(
    "change",
    [
        lambda info: setattr(info, "uid", 0o17),
        lambda info: setattr(info, "mtime", 1),
        lambda info: setattr(info, "mode", 0o4755),
        lambda info: setattr(info, "uname", "root"),
    ],
)
def test_what_only_tar_would_keep_is_refused(made_bundle: Path, tmp_path: Path, change: Change) -> None:
    info = tarfile.TarInfo("z")
    info.mode = 0o644
    change(info)
    file = crafted(made_bundle, tmp_path / "bad.tar", lambda tar: tar.addfile(info))
    refused(file, tmp_path / "out", "more than a name and a size")


@pytest.mark.parametrize("size", [7 << 30, 1 << 40])  # the second takes a header of another kind
def test_a_declared_size_beyond_the_limit_is_refused(made_bundle: Path, tmp_path: Path, size: int) -> None:
    def add(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo("zeros")
        info.size, info.mode = size, 0o644
        assert tar.fileobj
        tar.fileobj.write(info.tobuf(tarfile.GNU_FORMAT))

    refused(crafted(made_bundle, tmp_path / "bad.tar", add), tmp_path / "out", "said to take more than 1024 MB")


def test_a_file_beyond_the_limit_is_refused(packed: Path, tmp_path: Path) -> None:
    with packed.open("r+b") as stream:
        stream.truncate(archive.MAX_BYTES + 1)  # a hole: takes no space here
    refused(packed, tmp_path / "out", "larger than 1024 MB")


def test_too_many_files_are_refused(made_bundle: Path, tmp_path: Path) -> None:
    def add(tar: tarfile.TarFile) -> None:
        for number in range(archive.MAX_FILES):
            info = tarfile.TarInfo(f"z{number:04d}")
            info.mode = 0o644
            tar.addfile(info)

    refused(crafted(made_bundle, tmp_path / "bad.tar", add), tmp_path / "out", "more than 256 files")


def test_a_compressed_file_is_refused_without_being_expanded(packed: Path, tmp_path: Path) -> None:
    packed.write_bytes(gzip.compress(bytes(50_000_000)))
    refused(packed, tmp_path / "out", "begins no file")


def test_what_hides_behind_the_end_is_refused(packed: Path, tmp_path: Path) -> None:
    packed.write_bytes(packed.read_bytes() + packed.read_bytes())
    refused(packed, tmp_path / "out", "does not end where its last file ends")


def test_an_extra_file_that_the_hashes_do_not_know_is_refused(made_bundle: Path, tmp_path: Path) -> None:
    info = tarfile.TarInfo("z.txt")
    info.mode = 0o644
    file = crafted(made_bundle, tmp_path / "bad.tar", lambda tar: tar.addfile(info))
    (tmp_path / "out").mkdir()
    with pytest.raises(BundleError, match=r"not part of it: z\.txt"):
        unpack(file, tmp_path / "out")
