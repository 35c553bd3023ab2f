"""Round weights to int8 so that each layer's outputs stay, not its weights.

Rounding each weight to the nearest step is not the best that 8 bits can do. A depthwise filter of ImageNet often takes
the difference of its neighbours, and its batch normalisation then magnifies what is left: errors of half a step that
do not cancel as the weights did drown it. Here each weight is rounded in turn and those still to come make up for its
error as the layer's inputs allow: GPTQ (Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative
Pre-trained Transformers", ICLR 2023), after the optimal brain surgeon (Hassibi & Stork 1993). What shift of a
channel's mean remains goes into its bias (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
Correction", ICCV 2019). The largest weight of a channel is kept, so the converter finds the same steps and nothing
more to round.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_STEPS = 127
_BATCH = 16
_POSITIONS = 14
"""Places looked at along each side of a feature map; more of the same pictures tell little more."""

_DAMPING = 1e-3
_MEAN_DAMPING = 1e-6
"""Shares of the inputs' variance and mean square added to the diagonal: inputs that never vary, and rounding."""


def backbone_of(network: Any) -> Any:
    """The Keras model inside a network that holds one."""
    import keras

    return next(layer for layer in network.layers if isinstance(layer, keras.Model))


def round_weights(network: Any, samples: npt.NDArray[np.float32]) -> Any:
    """Return a copy of a network whose convolutions have weights that int8 per channel holds exactly.

    Args:
        network: Keras model that holds a backbone, in which a batch normalisation follows each convolution.
        samples: Its inputs, float32 `[n, size, size, 3]`.
    """
    import keras

    copy = _copy(network)
    backbone = backbone_of(copy)
    convolutions = [
        layer for layer in backbone.layers if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D)
    ]
    for layer, (mean, covariance) in zip(convolutions, _input_moments(backbone, convolutions, samples), strict=True):
        (kernel,) = layer.get_weights()
        rows = _as_rows(layer, kernel)
        rounded = round_rows(rows, mean, covariance)
        taps_first = rounded[:, 0].T if _is_depthwise(layer) else rounded[0].T
        layer.set_weights([taps_first.reshape(kernel.shape)])
        norm = _norm_behind(layer)
        gamma, beta, moving_mean, variance = norm.get_weights()
        shift = ((rounded - rows) * mean[:, None]).sum(axis=-1).ravel()
        norm.set_weights([gamma, beta, moving_mean + shift, variance])
    return copy


def restore_weights(rounded: Any, network: Any, layers: Collection[str]) -> Any:
    """Return a copy of the rounded network in which convolutions of these names are those of `network` again."""
    copy = _copy(rounded)
    before, now = backbone_of(network), backbone_of(copy)
    for layer in now.layers:
        if layer.name in layers and layer.weights:
            layer.set_weights(before.get_layer(layer.name).get_weights())
            norm = _norm_behind(layer)
            norm.set_weights(before.get_layer(norm.name).get_weights())
    return copy


def round_rows(rows: Floats, mean: Floats, covariance: Floats) -> Floats:
    """Round weights to multiples of their row's largest / 127, least changing what the rows make of their inputs.

    Args:
        rows: `[groups, rows, taps]`: filters, and the groups that look at inputs of their own.
        mean: Of the inputs, `[groups, taps]`.
        covariance: Of the inputs, `[groups, taps, taps]`.

    Returns:
        Weights of the same shape; the largest of a row is unchanged.
    """
    taps = rows.shape[-1]
    largest = np.abs(rows).max(axis=-1, keepdims=True)
    step = np.where(largest > 0, largest / _STEPS, 1.0)
    square = np.einsum("gii->g", covariance) * _DAMPING + np.einsum("gi,gi->g", mean, mean) * _MEAN_DAMPING
    damped = covariance + (square / taps + np.finfo(np.float64).eps)[:, None, None] * np.eye(taps)
    # Row j of the factor says how the weights after j make up for an error in weight j.
    factor = np.linalg.cholesky(np.linalg.inv(damped)).transpose(0, 2, 1)
    left, rounded = rows.copy(), np.empty_like(rows)
    for tap in range(taps):
        nearest = np.clip(np.rint(left[..., tap] / step[..., 0]), -_STEPS, _STEPS) * step[..., 0]
        kept = np.abs(rows[..., tap]) == largest[..., 0]
        rounded[..., tap] = np.where(kept, rows[..., tap], nearest)
        error = (left[..., tap] - rounded[..., tap]) / factor[:, None, tap, tap]
        left[..., tap:] -= error[..., None] * factor[:, None, tap, tap:]
    return rounded


def _input_moments(
    backbone: Any, convolutions: list[Any], samples: npt.NDArray[np.float32]
) -> list[tuple[Floats, Floats]]:
    """Mean `[groups, taps]` and covariance `[groups, taps, taps]` of what each convolution sees."""
    import keras

    probe = keras.Model(backbone.input, {layer.name: layer.input for layer in convolutions})
    totals: list[tuple[int, Any, Any]] = [(0, 0.0, 0.0)] * len(convolutions)
    for start in range(0, len(samples), _BATCH):
        inputs = probe(samples[start : start + _BATCH], training=False)
        for place, layer in enumerate(convolutions):
            seen = _taps_seen(layer, inputs[layer.name])
            count, total, products = totals[place]
            totals[place] = (
                count + seen.shape[1],
                total + seen.sum(axis=1),
                products + np.matmul(seen.transpose(0, 2, 1), seen),
            )
    moments = []
    for count, total, products in totals:
        mean = total / count
        moments.append((mean, products / count - mean[:, :, None] * mean[:, None, :]))
    return moments


def _taps_seen(layer: Any, inputs: Any) -> Floats:
    """Inputs of a convolution at some of its places, `[groups, places, taps]`."""
    import tensorflow as tf

    stride, side = layer.strides[0], inputs.shape[1]
    apart = stride * max(1, side // (_POSITIONS * stride))
    patches = tf.image.extract_patches(
        inputs, [1, *layer.kernel_size, 1], [1, apart, apart, 1], [1, 1, 1, 1], layer.padding.upper()
    )
    channels = inputs.shape[-1]
    seen = patches.numpy().reshape(-1, patches.shape[-1] // channels, channels).astype(np.float64)
    # Contiguous, or the products of thousands of small matrices leave BLAS and take seconds.
    return np.ascontiguousarray(seen.transpose(2, 0, 1)) if _is_depthwise(layer) else seen.reshape(1, len(seen), -1)


def _as_rows(layer: Any, kernel: npt.NDArray[np.float32]) -> Floats:
    """A kernel as `[groups, rows, taps]`: depthwise each channel a group of one row, else one group of all filters."""
    if _is_depthwise(layer):
        return kernel.astype(np.float64).reshape(-1, kernel.shape[2]).T[:, None]
    return kernel.astype(np.float64).reshape(-1, kernel.shape[-1]).T[None]


def _copy(network: Any) -> Any:
    import keras

    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    return copy


def _norm_behind(layer: Any) -> Any:
    return layer._outbound_nodes[0].operation


def _is_depthwise(layer: Any) -> bool:
    import keras

    return isinstance(layer, keras.layers.DepthwiseConv2D)
