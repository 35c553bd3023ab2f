"""How small the picture is made in which things are looked for, and what it then shows."""

import cv2
import numpy as np
import pytest

from edge_runtime.localization.localize import Localizer
from edge_runtime.localization.small_picture import SmallPicture, factor_of, is_large
from edge_runtime.settings.vision_settings import BeltSettings, LocalizeSettings


@pytest.mark.parametrize(
    ("width", "height", "factor"),
    [(320, 240, 2), (1280, 720, 2), (720, 1280, 2), (1600, 1200, 2), (1604, 1203, 3), (1920, 1080, 3), (3840, 2160, 6)],
)
def test_pictures_are_halved_and_large_ones_made_smaller_still(width: int, height: int, factor: int) -> None:
    assert factor_of(height, width) == factor


@pytest.mark.parametrize(
    ("width", "height", "large"),
    [
        (320, 240, False),
        (1023, 768, False),
        (1024, 768, True),
        (720, 1280, True),
        (1604, 1203, False),
        (1366, 768, False),
        (1920, 1080, True),
        (3840, 2160, True),
    ],
)
def test_only_what_divides_and_leaves_256_px_is_halved_again(width: int, height: int, large: bool) -> None:
    assert is_large(height, width) is large


@pytest.mark.parametrize("size", [(720, 1280), (1440, 2560), (1080, 1920)])
def test_a_part_seen_closely_is_that_part_of_a_picture_twice_as_large(size: tuple[int, int]) -> None:
    height, width = size[0] // (2 * factor_of(*size)), size[1] // (2 * factor_of(*size))
    image = cv2.blur(np.random.default_rng(4).integers(0, 256, (*size, 3), np.uint8), (9, 9))
    small, twice = SmallPicture(), SmallPicture()
    small.of(image, (width, height), closer=True)
    expected = twice.of(image, (2 * width, 2 * height))[1].copy()
    seen = small.closely((20, 30, 61, 50))
    assert seen.shape == (3, 40, 82)
    assert np.abs(seen.astype(int) - expected[:, 60:100, 40:122]).max() <= 1


@pytest.mark.parametrize(("downscale", "size"), [(None, (180, 320)), (2, (360, 640)), (4, (180, 320))])
def test_the_scene_is_as_large_as_the_picture_that_things_are_looked_for_in(
    downscale: int | None, size: tuple[int, int]
) -> None:
    localizer = Localizer(LocalizeSettings(downscale=downscale), BeltSettings())
    localizer.detect(np.full((720, 1280, 3), 90, np.uint8))
    assert localizer.scene is not None
    assert localizer.scene.shape[:2] == size


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 8])
def test_each_pixel_is_the_mean_of_what_it_stands_for(factor: int) -> None:
    image = np.random.default_rng(3).integers(0, 256, (96, 144, 3), np.uint8)
    height, width = 96 // factor, 144 // factor
    small, planes = SmallPicture().of(image, (width, height))
    means = image.reshape(height, factor, width, factor, 3).mean(axis=(1, 3)).astype(np.float32)
    expected = cv2.cvtColor(means / 255, cv2.COLOR_RGB2YCrCb) * 255
    assert np.abs(small - expected).max() < 2
    assert np.array_equal(planes, small.transpose(2, 0, 1))


def test_pictures_of_another_size_may_follow() -> None:
    shrink = SmallPicture()
    for side in (64, 32, 64):
        grey = np.full((side, 2 * side, 3), side, np.uint8)
        small, planes = shrink.of(grey, (side // 2, side // 4))
        assert small.shape == (side // 4, side // 2, 3)
        assert (planes[0] == side).all()
