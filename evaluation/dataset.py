"""Reader of labelled photographs: one sub-folder a label, with an optional `manifest.csv` and `labels.txt`."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import InputError
from edge_runtime.preprocess import InputSpec, to_model_input
from edge_runtime.records import UNSORTED, Box
from evaluation.manifest import FILE as MANIFEST
from evaluation.manifest import count, parse_box, read_manifest, read_text, some
from evaluation.picture import PICTURE_SUFFIXES, is_readable, read_image

SOURCE = "source"
_FRAME = "frame"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A readable picture file.

    `file` is its path relative to the folder that was read, with forward slashes. `box` is the fruit inside a wider
    picture, None for a picture that is itself a crop.
    """

    path: Path
    file: str
    sha256: str
    box: Box | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Item(Picture):
    """A labelled picture.

    `group` keeps related pictures on one side of a split; without one in the manifest it is the fruit, or else the
    file's hash, so that copies of one file stay together. `fruit` names one physical fruit. `from_line`: cut out of a
    frame of a line, as `ripeline collect` does, and not a photograph.
    """

    label: str
    group: str
    fruit: str | None = None
    source: str | None = None
    from_line: bool = False


@dataclass(frozen=True, slots=True)
class Dataset:
    """Labelled pictures in ripeness order.

    `notices` are sentences for people. `ignored` counts pictures whose folder is none of `labels`; `unreadable` names
    files that were left out because they could not be decoded whole.
    """

    folder: Path
    labels: tuple[str, ...]
    items: tuple[Item, ...]
    notices: tuple[str, ...]
    ignored: int
    unreadable: tuple[str, ...]

    def label_indices(self) -> npt.NDArray[np.int64]:
        """The place of each item's label in `labels`, `[N]` int64."""
        return label_indices(self.items, self.labels)


def label_indices(items: Iterable[Item], labels: Sequence[str]) -> npt.NDArray[np.int64]:
    """The place of each item's label in `labels`, `[N]` int64."""
    index = {label: place for place, label in enumerate(labels)}
    return np.array([index[item.label] for item in items], np.int64)


@dataclass(frozen=True, slots=True)
class PictureFolder:
    """Unlabelled pictures; `unreadable` names those that were left out."""

    folder: Path
    pictures: tuple[Picture, ...]
    notices: tuple[str, ...]
    unreadable: tuple[str, ...]


def read_dataset(
    folder: Path, labels: Sequence[str] | None = None, *, every_label: bool = True, domain: str = SOURCE
) -> Dataset:
    """Read a folder with one sub-folder a label.

    The order of labels is the ripeness order: `labels`, else `labels.txt` (one a line), else alphabetical with a
    notice and without `unsorted`, where `ripeline collect` puts what nobody has labelled yet. `manifest.csv`, if
    there, needs a column `file`; `label` must agree with the folder; `group` (else `fruit`, else the file's hash),
    `fruit`, `source`, `frame` (of the line it was cut from) and `box_px` ("x y w h" or "[x, y, w, h]") are
    optional. Files that cannot be decoded whole are left out with a notice.

    Args:
        folder: The data.
        labels: Labels to use, in ripeness order; other folders are ignored with a notice.
        every_label: Whether each label must have pictures and there must be two of them, as training needs. Measuring
            a finished model does not.
        domain: Column of the manifest that says where a picture comes from; any but `source` must be there.

    Raises:
        InputError: No such folder, fewer than two labels, a label without readable pictures, a label that is not
            there, or a manifest that names missing files, contradicts the folders or lacks the column `domain`.
    """
    folder = _require_folder(folder)
    present = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    chosen, notices = _choose_labels(folder, present, labels, every_label=every_label)
    files = {label: _picture_files(folder / label) for label in chosen}
    if every_label:
        _refuse_untrainable(folder, files)
    ignored = sum(len(_picture_files(folder / name)) for name in present if name not in chosen)
    if ignored:
        others = ", ".join(name for name in present if name not in chosen)
        notices.append(f"{count(ignored, 'picture')} in folders that are no label here ignored: {others}.")

    manifest = read_manifest(folder)
    if domain != SOURCE and not any(domain in row for row in (manifest or {}).values()):
        raise InputError(
            f"{folder / MANIFEST} has no column '{domain}'.",
            expected="the column that says where each picture comes from",
            remedy="Correct --domain, or leave it out to use the column 'source'.",
        )
    items: list[Item] = []
    unreadable: list[str] = []
    unlisted = 0
    for label, paths in files.items():
        readable = 0
        for path, sha256 in zip(paths, _hash_readable(paths), strict=True):
            file = path.relative_to(folder).as_posix()
            if sha256 is None:
                unreadable.append(file)
                continue
            readable += 1
            row = manifest.get(file) if manifest is not None else None
            unlisted += manifest is not None and row is None
            items.append(_item(path, file, sha256, label, row or {}, domain))
        if every_label and readable == 0:
            raise InputError(
                f"None of the {len(paths)} pictures of label '{label}' in {folder / label} can be read.",
                expected="whole JPEG, PNG, BMP, WebP or TIFF files",
                remedy="Copy the pictures again; the first one is " + paths[0].name,
            )
    notices += _unreadable_notice(unreadable)
    if unlisted:
        notices.append(f"{count(unlisted, 'picture')} not in {folder / MANIFEST}: each is taken as a group of its own.")
    return Dataset(folder, chosen, tuple(items), tuple(notices), ignored, tuple(unreadable))


def read_images(folder: Path) -> PictureFolder:
    """Read unlabelled pictures: every picture file below a folder, or one file. Boxes come from a `manifest.csv`.

    Raises:
        InputError: Nothing there, or no readable picture.
    """
    if folder.is_file():
        root, paths = folder.parent, [folder]
    else:
        root = _require_folder(folder)
        paths = _picture_files(root)
    manifest = (read_manifest(root) if folder.is_dir() else None) or {}
    pictures: list[Picture] = []
    unreadable: list[str] = []
    for path, sha256 in zip(paths, _hash_readable(paths), strict=True):
        file = path.relative_to(root).as_posix()
        if sha256 is None:
            unreadable.append(file)
        else:
            box = parse_box(manifest.get(file, {}).get("box_px"), file)
            pictures.append(Picture(path=path, file=file, sha256=sha256, box=box))
    if not pictures:
        raise InputError(
            f"No readable picture in {folder} ({count(len(unreadable), 'unreadable file')}).",
            expected="at least one of " + ", ".join(sorted(PICTURE_SUFFIXES)),
            remedy="Check the path.",
        )
    return PictureFolder(root, tuple(pictures), tuple(_unreadable_notice(unreadable)), tuple(unreadable))


def load_inputs(pictures: Sequence[Picture], spec: InputSpec) -> npt.NDArray[np.uint8]:
    """Model inputs for pictures, through the line's own preprocessing: `[N, size_px, size_px, 3]` uint8 RGB."""
    batch = np.empty((len(pictures), spec.size_px, spec.size_px, 3), np.uint8)

    def load(index: int) -> None:
        picture = pictures[index]
        batch[index] = to_model_input(read_image(picture.path), picture.box, spec)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(load, range(len(pictures))):
            pass
    return batch


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def hash_pictures(folder: Path) -> dict[str, Path]:
    """Hash of every picture file below a folder, readable or not, with its path."""
    paths = _picture_files(_require_folder(folder))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(pool.map(hash_file, paths), paths, strict=True))


def _require_folder(folder: Path) -> Path:
    if not folder.exists():
        raise InputError(f"There is no folder {folder}.", remedy="Check the path.")
    if not folder.is_dir():
        raise InputError(f"{folder} is a file.", expected="a folder with pictures")
    return folder


def _choose_labels(
    folder: Path, present: Sequence[str], labels: Sequence[str] | None, *, every_label: bool
) -> tuple[tuple[str, ...], list[str]]:
    notices: list[str] = []
    listing = folder / "labels.txt"
    if labels is not None:
        chosen, origin = tuple(labels), "the labels given"
    elif listing.is_file():
        chosen = tuple(line.strip() for line in read_text(listing).splitlines() if line.strip())
        origin = str(listing)
    else:
        chosen, origin = tuple(name for name in present if name != UNSORTED), f"the folders in {folder}"
        if len(chosen) > 1:
            notices.append(
                f"No ripeness order given: labels in alphabetical order ({', '.join(chosen)}). "
                "Name it with --labels or a labels.txt."
            )
    repeated = [label for label, times in Counter(chosen).items() if times > 1]
    if repeated:
        raise InputError(f"Label '{repeated[0]}' stands twice in {origin}.", remedy="Name each label once.")
    missing = [label for label in chosen if label not in present]
    if missing and every_label:
        raise InputError(
            f"There is no folder {folder / missing[0]} for label '{missing[0]}' of {origin}.",
            expected="one sub-folder a label; found " + (", ".join(present) or "none"),
            remedy="Correct the label's name or add its pictures.",
        )
    if every_label and len(chosen) < 2:
        raise InputError(
            f"{folder} has {'only the label ' + chosen[0] if chosen else 'no labels'}.",
            expected="at least two labels, each a sub-folder with pictures",
            remedy="Sort the pictures into one sub-folder a label.",
        )
    return chosen, notices


def _refuse_untrainable(folder: Path, files: dict[str, list[Path]]) -> None:
    for label, paths in files.items():
        if not paths:
            raise InputError(
                f"Label '{label}' has no pictures in {folder / label}.",
                expected="picture files: " + ", ".join(sorted(PICTURE_SUFFIXES)),
                remedy="Add pictures or leave the label out with --labels.",
            )


def _picture_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def _hash_readable(paths: Sequence[Path]) -> list[str | None]:
    """Hash of each file; None where it is no whole picture."""

    def check(path: Path) -> str | None:
        try:
            data = path.read_bytes()
        except OSError:
            return None
        return hashlib.sha256(data).hexdigest() if is_readable(data) else None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(check, paths))


def _item(path: Path, file: str, sha256: str, label: str, row: dict[str, str], domain: str) -> Item:
    return Item(
        path=path,
        file=file,
        sha256=sha256,
        box=parse_box(row.get("box_px"), file),
        label=label,
        group=row.get("group") or row.get("fruit") or sha256,
        fruit=row.get("fruit") or None,
        source=row.get(domain) or None,
        from_line=bool(row.get(_FRAME)),
    )


def _unreadable_notice(files: Sequence[str]) -> list[str]:
    if not files:
        return []
    return [f"{count(len(files), 'file')} damaged or no picture, left out: {some(files)}."]
