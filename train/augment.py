"""Other views of a training picture, as a line would take them. None moves a colour: colour carries the label."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

LARGEST_SCALE_CHANGE = 0.1
LARGEST_SHIFT = 0.05
LARGEST_GAIN_CHANGE = 0.1


def augmented_view(inputs: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Each picture turned by any angle, perhaps mirrored, slightly scaled, shifted, and brighter or darker.

    Brightness is one gain for all three channels. What a turn brings in at the borders is the picture mirrored.

    Args:
        inputs: `[N, size, size, 3]` uint8 RGB.
        rng: Decides everything.

    Returns:
        A new array of the same shape.
    """
    size = inputs.shape[1]
    views = np.empty_like(inputs)
    for picture, view in zip(inputs, views, strict=True):
        turn = cv2.getRotationMatrix2D(
            ((size - 1) / 2, (size - 1) / 2),
            rng.uniform(0, 360),
            1 + rng.uniform(-LARGEST_SCALE_CHANGE, LARGEST_SCALE_CHANGE),
        )
        turn = turn + np.pad(rng.uniform(-LARGEST_SHIFT, LARGEST_SHIFT, (2, 1)) * size, ((0, 0), (2, 0)))
        gain = 1 + rng.uniform(-LARGEST_GAIN_CHANGE, LARGEST_GAIN_CHANGE)
        source = picture[:, ::-1] if rng.random() < 0.5 else picture
        turned = cv2.warpAffine(np.ascontiguousarray(source), turn, (size, size), borderMode=cv2.BORDER_REFLECT_101)
        cv2.convertScaleAbs(turned, view, gain)
    return views
