"""`history.jsonl`: one line for every bundle that was checked, so that a slow slide over many releases is seen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge_runtime.bundles.manifest import Manifest, Result
from edge_runtime.errors import InputError
from evaluation.dataset import Dataset

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Entry(BaseModel):
    """One bundle on one set of pictures.

    `refused`: its gate said no, for a FAIL or, where one was strict, an INCONCLUSIVE. `pictures` is the SHA-256 over
    their hashes. `right` says of each of them, sorted by hash, whether the answer was right ("1" or "0"): with it two
    bundles can be compared picture by picture though only one of them is still there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bundle_id: str
    created: str
    result: Result
    refused: bool
    labels: tuple[str, ...]
    artefact: str
    n: int = Field(ge=1)
    accuracy: float
    recall: dict[str, float]
    bytes: int
    p50_ms: float
    pictures: str
    right: str = Field(pattern="^[01]+$")

    @model_validator(mode="after")
    def _an_answer_for_each_picture(self) -> Entry:
        if len(self.right) != self.n:
            raise ValueError(f"right has {len(self.right)} answers for {self.n} pictures")
        if self.result is Result.FAIL and not self.refused:
            raise ValueError("a FAIL that was not refused")
        return self

    def concluded(self, result: Result, *, strict: bool) -> Entry:
        """The same with what everything came to."""
        return self.model_copy(update={"result": result, "refused": result.refuses(strict=strict)})

    def was_right(self) -> npt.NDArray[np.bool_]:
        """`[n]`, pictures sorted by hash."""
        return np.array([one == "1" for one in self.right])


def by_hash(dataset: Dataset) -> list[int]:
    """Places of the data set's pictures in the order of the history: by content, wherever the files lie."""
    return sorted(range(len(dataset.items)), key=lambda place: (dataset.items[place].sha256, dataset.items[place].file))


def entry(manifest: Manifest, dataset: Dataset, logits: npt.NDArray[np.float32], p50_ms: float) -> Entry:
    """The line for a bundle whose default artefact gave `logits` `[n, labels]` on the data set; refused so far."""
    truth, order = dataset.label_indices(), by_hash(dataset)
    right = logits.argmax(axis=-1) == truth
    artefact = next(one for one in manifest.artefacts if one.name == manifest.default_artefact)
    return Entry(
        bundle_id=manifest.bundle_id,
        created=manifest.created,
        result=Result.FAIL,
        refused=True,
        labels=manifest.labels,
        artefact=artefact.name,
        n=len(truth),
        accuracy=float(right.mean()),
        recall={
            label: float(right[truth == index].mean())
            for index, label in enumerate(manifest.labels)
            if np.any(truth == index)
        },
        bytes=artefact.bytes,
        p50_ms=round(p50_ms, 4),
        pictures=pictures_sha256(dataset),
        right="".join("1" if right[place] else "0" for place in order),
    )


def pictures_sha256(dataset: Dataset) -> str:
    """Over the sorted hashes and labels of all pictures: the same pictures, wherever they lie."""
    lines = sorted(f"{item.sha256} {item.label}\n" for item in dataset.items)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def read_history(file: Path) -> list[Entry]:
    """Every line, oldest first; none when there is no file yet. Raises InputError for a line that is none."""
    if not file.exists():
        return []
    entries = []
    for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1):
        try:
            entries.append(Entry.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            where = "".join(f"{part}: " for part in first["loc"])
            raise InputError(
                f"{file}, line {number} is no entry of a history: {where}{first['msg']}.",
                expected="what `ripeline check --record` wrote",
                remedy="remove the line, or record to a new file",
            ) from error
    return entries


def record(file: Path, new: Entry) -> None:
    """Append a line."""
    with file.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(new.model_dump(mode="json"), ensure_ascii=False) + "\n")


def best(entries: Sequence[Entry], like: Entry) -> Entry | None:
    """The most accurate bundle that was let through on the same pictures with the same labels, the first of equals."""
    comparable = [
        one
        for one in entries
        if (one.pictures, set(one.labels)) == (like.pictures, set(like.labels))
        and one.bundle_id != like.bundle_id
        and not one.refused
    ]
    return max(comparable, key=lambda one: one.accuracy, default=None)


def trend(entries: Sequence[Entry]) -> Figure:
    """Accuracy and each label's recall over the bundles on the pictures of the newest entry."""
    from matplotlib.figure import Figure

    shown = [one for one in entries if one.pictures == entries[-1].pictures]
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes, places = figure.subplots(), range(len(shown))
    for label in shown[-1].labels:
        shares = [one.recall.get(label, np.nan) * 100 for one in shown]
        axes.plot(places, shares, ".-", linewidth=1, alpha=0.7, label=f"recall of {label}")
    axes.plot(places, [one.accuracy * 100 for one in shown], "o-", color="#26211c", linewidth=2, label="accuracy")
    refused = [place for place in places if shown[place].refused]
    axes.plot(refused, [shown[place].accuracy * 100 for place in refused], "x", color="#b3202f", ms=12, label="refused")
    axes.set_xticks(list(places), [one.bundle_id[:6] for one in shown], rotation=45, ha="right", fontsize=8)
    axes.set_ylabel("%")
    axes.set_title(f"{len(shown)} bundles on the same {shown[-1].n} pictures", loc="left", fontsize=10)
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.spines[["top", "right"]].set_visible(False)
    return figure
