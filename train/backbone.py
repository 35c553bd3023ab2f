"""MobileNetV2 without its top (Sandler et al. 2018)."""

from __future__ import annotations

import warnings
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt

from edge_runtime.errors import InputError

STARTER_ALPHA = 0.35
STARTER_FILE = Path(__file__).parent / "starter" / "mobilenet_v2_0.35_starter.weights.h5"
ALPHAS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)


def build_backbone(size_px: int, alpha: float, weights: str) -> keras.Model:
    """The feature extractor: `[N, size_px, size_px, 3]` float32 in -1..1 to `[N, h, w, channels]` float32.

    Args:
        size_px: Side of the picture.
        alpha: Width multiplier, one of `ALPHAS`.
        weights: `imagenet`, `starter`, `none`, or the path of a Keras weights file.

    Raises:
        InputError: No such width, or weights that cannot be had or belong to another network.
    """
    if alpha not in ALPHAS:
        raise InputError(
            f"MobileNetV2 has no width {alpha}.",
            expected="one of " + ", ".join(map(str, ALPHAS)),
            remedy="Correct --alpha.",
        )
    if weights == "starter" and alpha != STARTER_ALPHA:
        raise InputError(
            f"There are no starter weights for alpha {alpha}.",
            expected=f"alpha {STARTER_ALPHA}",
            remedy=f"Use --alpha {STARTER_ALPHA}, or --weights imagenet.",
        )
    if weights == "imagenet":
        return _downloaded(size_px, alpha)
    backbone = keras.applications.MobileNetV2(
        input_shape=(size_px, size_px, 3), include_top=False, weights=None, alpha=alpha
    )
    if weights != "none":
        _load(backbone, STARTER_FILE if weights == "starter" else Path(weights), alpha)
    return backbone


def batch_norms(backbone: keras.Model) -> list[keras.layers.BatchNormalization]:
    """Its batch normalisation layers, in order."""
    return [layer for layer in backbone.layers if isinstance(layer, keras.layers.BatchNormalization)]


def _downloaded(size_px: int, alpha: float) -> keras.Model:
    try:
        return keras.applications.MobileNetV2(
            input_shape=(size_px, size_px, 3), include_top=False, weights="imagenet", alpha=alpha
        )
    except Exception as error:  # Keras raises a bare Exception when a download fails
        raise InputError(
            f"The ImageNet weights could not be downloaded: {error}",
            expected="a network, or the file in Keras's cache (~/.keras/models)",
            remedy="Use --weights starter (comes with Ripeline), or --weights PATH with a file from elsewhere.",
        ) from error


def _load(backbone: keras.Model, path: Path, alpha: float) -> None:
    if not path.is_file():
        raise InputError(
            f"There is no weights file {path}.",
            expected="imagenet, starter, none, or the path of a Keras weights file",
            remedy="Correct --weights.",
        )
    before = _kernels(backbone)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Keras warns of layers it skips; they are found below
            backbone.load_weights(path)
        skipped = sum(np.array_equal(old, new) for old, new in zip(before, _kernels(backbone), strict=True))
        if skipped:
            raise ValueError(f"it has no weights for {skipped} of {len(before)} convolutions")
    except (ValueError, OSError, KeyError) as error:
        raise InputError(
            f"{path} does not fit MobileNetV2 with alpha {alpha}: {str(error).splitlines()[0]}",
            expected=f"a .weights.h5 file saved by Keras from MobileNetV2(include_top=False, alpha={alpha})",
            remedy="Check --alpha and the file.",
        ) from error


def _kernels(backbone: keras.Model) -> list[npt.NDArray[np.float32]]:
    return [weight.numpy() for weight in backbone.weights if "kernel" in weight.name]
