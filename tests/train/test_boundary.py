from __future__ import annotations

import math

import keras
import pytest

from edge_runtime.errors import InputError
from train.backbone import build_backbone
from train.boundary import auto_boundaries, resolve_boundary, single_tensor_cut
from train.config import Boundary, TrainConfig


@pytest.fixture(scope="module")
def backbone() -> keras.Model:
    return build_backbone(96, 0.35, "none")


@pytest.mark.parametrize(
    ("at", "cut"), [(98, 98), (100, 98), (106, 98), (107, 107), (116, 116), (123, 123), (125, 125), (130, 125), (1, 1)]
)
def test_cuts_lie_where_one_tensor_is_live(backbone: keras.Model, at: int, cut: int) -> None:
    assert single_tensor_cut(backbone, at) == cut


@pytest.mark.parametrize(
    ("boundary", "at"),
    [
        (100, 100),
        ("100", 100),
        ("block_14_expand", 125),
        (0.2, 123),
        ("0.2", 123),
        (0.0, None),
        (0.35, 100),
        (153, 153),
    ],
)
def test_a_boundary_is_a_number_a_name_or_a_share(
    backbone: keras.Model, boundary: Boundary, at: int | None, drawn: object
) -> None:
    config = TrainConfig.model_validate({"data": drawn, "fine_tune_at": boundary})
    assert resolve_boundary(backbone, config.fine_tune_at) == at
    again = TrainConfig.model_validate_json(config.model_dump_json())
    assert resolve_boundary(backbone, again.fine_tune_at) == at


@pytest.mark.parametrize("boundary", [0, 155, -1, 1.0, -0.1, math.inf, math.nan, "block_99"])
def test_a_boundary_that_is_not_there_is_refused(backbone: keras.Model, boundary: Boundary) -> None:
    with pytest.raises(InputError, match=f"no layer {boundary}") as caught:
        resolve_boundary(backbone, boundary)
    assert "1 to 154" in str(caught.value)


def test_auto_tries_the_beginnings_of_blocks(backbone: keras.Model) -> None:
    boundaries = auto_boundaries(backbone)
    assert [backbone.layers[at].name for at in boundaries] == ["block_16_expand", "block_14_expand", "block_11_expand"]
    assert [single_tensor_cut(backbone, at) for at in boundaries] == list(boundaries)
