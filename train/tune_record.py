"""`study.json`, what a study has come to."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Best(BaseModel):
    """The trial with the lowest loss, and the command that trains with its settings."""

    model_config = ConfigDict(frozen=True)

    trial: int
    loss: float
    command: str


class StudyRecord(BaseModel):
    """`study.json`.

    `judged_by` are the sources held out in turn, or the validation split; `usual_loss` is that of the settings that
    `ripeline train` has by itself, None as long as that trial has no result.
    """

    model_config = ConfigDict(frozen=True)

    schema_version: Literal[1] = 1
    storage: str
    study: str
    judged_by: tuple[str, ...]
    trials: dict[str, int]
    best: Best
    usual_loss: float | None
