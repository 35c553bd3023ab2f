"""From where on the backbone may change, and where its graph can be cut in two."""

from __future__ import annotations

import keras

from edge_runtime.errors import InputError
from train.config import Boundary

AUTO = "auto"
AUTO_SHARES = (0.10, 0.20, 0.35)
"""About how much of the backbone, counted in layers from its end, `auto` tries to unfreeze; nothing is the fourth."""


def resolve_boundary(backbone: keras.Model, boundary: Boundary) -> int | None:
    """The first layer that phase two may change.

    Args:
        backbone: A functional model.
        boundary: The layer's number; its name; or the share of the layers to unfreeze, from the end, 0 up to below 1.

    Returns:
        The layer's index, or None where nothing is to be unfrozen.

    Raises:
        InputError: There is no such layer.
    """
    layers = backbone.layers
    names = {layer.name: index for index, layer in enumerate(layers)}
    if isinstance(boundary, float):
        found = 0 <= boundary < 1
        at = len(layers) - round(boundary * len(layers)) if found else 0
    elif isinstance(boundary, int):
        at, found = boundary, True
    else:
        at, found = names.get(boundary, 0), boundary in names
    if not found or not 0 < at <= len(layers):
        raise InputError(
            f"The backbone has no layer {boundary} to fine-tune from.",
            expected=f"auto, a layer number (1 to {len(layers)}), a layer name such as {layers[-1].name}, or the share "
            "of layers to unfreeze, below 1 (0.2)",
            remedy="Correct --fine-tune-at; --fine-tune-at 0.0 leaves the backbone as it is.",
        )
    return at if at < len(layers) else None


def auto_boundaries(backbone: keras.Model) -> tuple[int, ...]:
    """Where a block of the backbone begins, nearest to each of `AUTO_SHARES`, shallowest first."""
    layers = len(backbone.layers)
    cuts = [at for at in range(1, layers) if single_tensor_cut(backbone, at) == at]
    blocks = [at for at in cuts if backbone.layers[at].name.endswith("_expand")] or cuts
    return tuple(dict.fromkeys(min(blocks, key=lambda at: abs(at - layers * (1 - share))) for share in AUTO_SHARES))


def single_tensor_cut(backbone: keras.Model, at: int) -> int:
    """The last place, at layer `at` or before, where one tensor carries everything that later layers need.

    Args:
        backbone: A functional model.
        at: Index of a layer, above 0.

    Returns:
        Index k of at least 1: the output of layer k - 1 is all that layers k and later take from earlier ones.
    """
    layers = backbone.layers
    place = {layer.name: i for i, layer in enumerate(layers)}
    last_use = [0] * len(layers)
    for i, layer in enumerate(layers[1:], start=1):
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        for tensor in inputs:
            maker = place[tensor._keras_history.operation.name]
            last_use[maker] = max(last_use[maker], i)
    return next(k for k in range(at, 0, -1) if all(last < k for last in last_use[: k - 1]))
