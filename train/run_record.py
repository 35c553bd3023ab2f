"""What `run.json`, `splits.csv` and `history.csv` say, as models that refuse what they do not know."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic.dataclasses import dataclass

from edge_runtime.preprocess import InputSpec
from edge_runtime.records import Box
from evaluation.dataset import Item
from evaluation.metrics import Scores
from evaluation.split import Split
from train.adaptation import Adaptation
from train.config import TrainConfig
from train.evidence import Evidence
from train.folds import SelectBy

SCHEMA_VERSION: Final = 1

Phase = Literal["head", "fine_tune"]

_EmptyIsNone = BeforeValidator(lambda value: None if value == "" else value)


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class RecipeEvent(_Strict):
    """A decision that the recipe took: when, what, why, and the learning rate at that time."""

    phase: Phase
    epoch: int
    kind: Literal["plateau", "ceiling", "chosen", "unfrozen", "diverged", "gave_up", "kept", "finished"]
    reason: str
    rate: float


class EpochRow(_Strict):
    """One line of `history.csv`; epochs count on through both phases, from 1. Losses are cross-entropy alone.

    `source_loss` is that of heads that learned without a source, on that source, averaged over the held-out sources.
    """

    phase: Phase
    epoch: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    source_loss: Annotated[float | None, _EmptyIsNone] = None
    learning_rate: float
    seconds: float


class Judgement(_Strict):
    """Of one judge (a held-out source, or the validation split): mean cross-entropy and accuracy on its pictures."""

    pictures: int
    loss: float
    accuracy: float


class Candidate(_Strict):
    """One answer to the question how much of the backbone to unfreeze, and how it was judged.

    Attributes:
        boundary: First layer that may change; None unfreezes nothing.
        layer: Its name.
        share: Of the backbone's layers that it unfreezes.
        epochs: Of phase two, at which it was best.
        rate: Of phase two, the lowest that it was tried at; None where nothing is unfrozen.
        loss: Mean cross-entropy over the judges (held-out sources, or the validation split) then.
        by_judge: What each of them said.
        better_by: How much lower than with nothing unfrozen.
        noise: Standard error of that, paired over judges, or over groups of pictures where there is one judge.
        chosen: Whether the run took it.
        reason: Why, or why not.
    """

    boundary: int | None
    layer: str
    share: float
    epochs: int
    rate: float | None = None
    loss: float
    by_judge: dict[str, Judgement]
    better_by: float
    noise: float
    chosen: bool
    reason: str


class Choice(_Strict):
    """How much was unfrozen, and by whose judgement; no candidates where the boundary was simply given.

    `shipped` is what each judge says of what the run ships, finished or fine-tuned, at the temperature that suits them
    all (empty once `adapt` has changed that), and `shipped_loss` the mean of their losses.
    """

    select_by: SelectBy
    sources: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    shipped_loss: float | None = None
    shipped: dict[str, Judgement] = {}


@dataclass(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid"))
class SplitRow:
    """One line of `splits.csv`: a picture that the run used, and for what.

    A dataclass, because there is one for each picture: a model takes ten times the memory.
    """

    file: str
    sha256: str
    label: str
    group: str
    split: Split
    fruit: Annotated[str | None, _EmptyIsNone] = None
    source: Annotated[str | None, _EmptyIsNone] = None
    box_px: Annotated[str | None, _EmptyIsNone] = None
    from_line: bool = False

    @classmethod
    def of(cls, item: Item, split: Split) -> SplitRow:
        """The line for an item."""
        box = item.box
        return cls(
            file=item.file,
            sha256=item.sha256,
            label=item.label,
            group=item.group,
            split=split,
            fruit=item.fruit,
            source=item.source,
            box_px=f"{box.x_px} {box.y_px} {box.width_px} {box.height_px}" if box else None,
            from_line=item.from_line,
        )

    def item(self, path: Path) -> Item:
        """The picture again, found at `path`."""
        box = Box(*(float(part) for part in self.box_px.split())) if self.box_px else None
        return Item(
            path=path,
            file=self.file,
            sha256=self.sha256,
            box=box,
            label=self.label,
            group=self.group,
            fruit=self.fruit,
            source=self.source,
            from_line=self.from_line,
        )


class DataRecord(_Strict):
    """Where the pictures came from; `sha256` covers label and hash of every picture used.

    `further` are the folders of pictures that adapting added.
    """

    path: Path
    further: tuple[Path, ...] = ()
    sha256: str
    pictures: dict[Split, int]
    ignored: int
    unreadable: tuple[str, ...]
    notices: tuple[str, ...]


class RunRecord(_Strict):
    """`run.json`.

    `learned_from` are the splits whose pictures the model has learned from.
    `temperature_factor` is what a temperature fitted on the validation pictures is to be multiplied by: above 1 where
    the model has learned from them, or where a new line makes it less sure.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    created_at: datetime
    config: TrainConfig
    labels: tuple[str, ...]
    input: InputSpec
    data: DataRecord
    versions: dict[str, str]
    threads: int
    events: tuple[RecipeEvent, ...]
    choice: Choice | None = None
    evidence: Evidence = Evidence()
    adaptation: Adaptation | None = None
    learned_from: tuple[Split, ...] = (Split.TRAIN,)
    temperature_factor: float = 1.0
    timings_s: dict[str, float]
    seconds: float
    validation: Scores
    test: Scores
