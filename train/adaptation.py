"""What `run.json` says of a run that was adapted from another one."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

_CLEAR = 2.0
"""Standard errors from which a gain is taken for more than chance."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class AtTheLine(_Strict):
    """How new pictures were answered by heads that saw none of their groups.

    `better_by` is by how much cross-entropy falls below that of the old head, `noise` the standard error of that;
    `recall` is None for a label without new pictures.
    """

    loss: float
    better_by: float
    noise: float
    accuracy: float
    accuracy_ci95: tuple[float, float]
    recall: dict[str, float | None]


class TriedWeight(AtTheLine):
    """One share of the loss for the new pictures, and the share that its head has in the average."""

    weight: float
    share: float


class OldPictures(_Strict):
    """What the adaptation costs on the test split of the parent; the interval is of the paired difference, by group."""

    pictures: int
    accuracy_before: float
    accuracy_after: float
    difference_ci95: tuple[float, float]


class Mistake(_Strict):
    """A new picture that a head that had not seen it takes for something else."""

    file: str
    label: str
    answer: str


class Adaptation(_Strict):
    """Where an adapted run comes from, what was done and what to expect.

    Attributes:
        parent: Name of the run's folder.
        parent_sha256: Of its `run.json`.
        data: The new pictures.
        data_sha256: Of their labels and hashes.
        pictures: New ones of each label; a label with none is untested at the new line.
        groups: How many unrelated pictures they are.
        weight: Mean share of the loss; 0 keeps the old head.
        tried: Every weight, 0, the old head, first.
        expected: The adapted head at the new line: its weighing too was done without the pictures that it answers.
        on_old: What it costs where the parent came from.
        mistakes: On new pictures.
    """

    parent: str
    parent_sha256: str
    data: Path
    data_sha256: str
    pictures: dict[str, int]
    groups: int
    weight: float
    tried: tuple[TriedWeight, ...]
    expected: AtTheLine
    on_old: OldPictures
    mistakes: tuple[Mistake, ...]

    @property
    def changed(self) -> bool:
        """Whether the head is another one."""
        return self.weight > 0

    @property
    def surely_helps(self) -> bool:
        """Whether it is better by more than chance would do with so few pictures."""
        return self.changed and self.expected.better_by > _CLEAR * self.expected.noise

    @property
    def before(self) -> TriedWeight:
        """The old head at the new line."""
        return self.tried[0]

    @property
    def untested(self) -> tuple[str, ...]:
        """Labels of which there is no new picture."""
        return tuple(label for label, count in self.pictures.items() if count == 0)
