"""The course of a run for TensorBoard: `tensorboard --logdir RUN/tensorboard`."""

from __future__ import annotations

import shutil
from pathlib import Path

import tensorflow as tf

from train.events import Notice, OnEvent, Progress
from train.run_record import EpochRow, RecipeEvent

FOLDER = "tensorboard"
EVENTS = "events"


class TensorBoardLog:
    """Writes each epoch and each decision of the recipe as it comes.

    Each phase and each new attempt at it is a TensorBoard run of its own, `1 head/train`, `1 head/validation`,
    `2 fine_tune/train`, ..., with the scalars `loss`, `accuracy` and `learning_rate`: they share a chart, each in its
    colour. Decisions are texts of the run `events`.
    """

    def __init__(self, folder: Path) -> None:
        """Start the log afresh: what an interrupted start left in the folder is removed, and told again."""
        shutil.rmtree(folder, ignore_errors=True)
        self._folder = folder
        self._writers: dict[str, tf.summary.SummaryWriter] = {}
        self._attempt, self._last = 0, ("", 0)

    def __call__(self, entry: EpochRow | RecipeEvent) -> None:
        """Log one entry; it is on disk when this returns."""
        if isinstance(entry, EpochRow):
            self._epoch(entry)
        else:
            with self._writer(EVENTS).as_default(step=entry.epoch):
                tf.summary.text(entry.kind, f"{entry.phase}, epoch {entry.epoch}: {entry.reason} (rate {entry.rate:g})")
            self._writers[EVENTS].flush()

    def beside(self, on_event: OnEvent) -> OnEvent:
        """Tell `on_event` everything, and log what belongs here."""

        def tell(event: Progress | Notice | EpochRow | RecipeEvent) -> None:
            if isinstance(event, EpochRow | RecipeEvent):
                self(event)
            on_event(event)

        return tell

    def close(self) -> None:
        """Release the files."""
        for writer in self._writers.values():
            writer.close()

    def _epoch(self, row: EpochRow) -> None:
        phase, epoch = self._last
        if row.phase != phase or row.epoch <= epoch:  # a phase that is tried again counts its epochs again
            self._attempt += 1
        self._last = (row.phase, row.epoch)
        for part, values in (
            ("train", {"loss": row.loss, "accuracy": row.accuracy, "learning_rate": row.learning_rate}),
            ("validation", {"loss": row.val_loss, "accuracy": row.val_accuracy}),
        ):
            writer = self._writer(f"{self._attempt} {row.phase}/{part}")
            with writer.as_default(step=row.epoch):
                for name, value in values.items():
                    tf.summary.scalar(name, value)
            writer.flush()

    def _writer(self, name: str) -> tf.summary.SummaryWriter:
        if name not in self._writers:
            self._writers[name] = tf.summary.create_file_writer(str(self._folder / name))
        return self._writers[name]
