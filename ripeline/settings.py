"""Settings of a training run from what was typed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ripeline import console

if TYPE_CHECKING:
    from train import TrainConfig


def train_config(data: Path, labels: str | None, given: dict[str, Any]) -> TrainConfig:
    """Settings with defaults for what was not given; raises InputError that names the option at fault."""
    from pydantic import ValidationError

    from edge_runtime.errors import InputError
    from train import TrainConfig

    try:
        return TrainConfig(data=data, labels=console.split_names(labels), **given)
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("size_px", "image_size").removesuffix("_mb").replace("_", "-")
        raise InputError(f"{option} {first['input']}: {first['msg']}.", remedy="see `ripeline train --help`") from error
