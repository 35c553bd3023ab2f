from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime import preprocess
from edge_runtime.preprocess import InputSpec, fingerprint, fingerprints_agree, to_model_input, to_model_inputs
from edge_runtime.records import Box, Image

SPEC = InputSpec(size_px=32, margin=0.0)


def coordinates(height: int = 60, width: int = 80) -> Image:
    """A picture whose red says the column and whose green says the row."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x, y, np.full_like(x, 200)], axis=-1).astype(np.uint8)


def test_a_square_box_of_the_models_size_comes_out_as_it_is() -> None:
    image = coordinates()
    found = to_model_input(image, Box(10, 5, 32, 32), SPEC)
    np.testing.assert_array_equal(found, image[5:37, 10:42])
    assert found.flags.c_contiguous


def test_a_wide_box_becomes_the_square_around_its_middle() -> None:
    found = to_model_input(coordinates(), Box(20, 24, 32, 12), SPEC)
    np.testing.assert_array_equal(found, coordinates()[14:46, 20:52])


def test_the_margin_is_a_share_of_the_longer_side_on_each_side() -> None:
    spec = SPEC.model_copy(update={"margin": 0.3})
    found = to_model_input(coordinates(), Box(20, 20, 20, 10), spec)  # 20 px and 6 px on each side make 32
    np.testing.assert_array_equal(found, coordinates()[9:41, 14:46])


def test_shrinking_averages_areas() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[::2] = 100
    np.testing.assert_array_equal(to_model_input(image, None, SPEC), np.full((32, 32, 3), 50, np.uint8))


def test_growing_is_linear() -> None:
    image = np.zeros((16, 16, 3), np.uint8)
    image[:, 8:] = 80
    middle_row = to_model_input(image, None, SPEC)[16, :, 0]
    np.testing.assert_array_equal(middle_row, [0] * 15 + [20, 60] + [80] * 15)


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        (Box(-10, 10, 32, 32), range(10, 42), [0] * 10 + list(range(22))),
        (Box(60, 10, 32, 32), range(10, 42), [*range(60, 80), *[79] * 12]),
        (Box(10, -4, 32, 32), [0] * 4 + list(range(28)), range(10, 42)),
        (Box(10, 50, 32, 32), [*range(50, 60), *[59] * 22], range(10, 42)),
    ],
    ids=["left", "right", "top", "bottom"],
)
def test_beyond_the_border_the_last_pixels_go_on(box: Box, rows: object, columns: object) -> None:
    expected = coordinates()[np.ix_(list(rows), list(columns))]  # type: ignore[call-overload]
    np.testing.assert_array_equal(to_model_input(coordinates(), box, SPEC), expected)


def test_a_picture_without_a_box_is_padded_to_a_square_about_its_middle() -> None:
    image = coordinates(height=32, width=20)
    columns = [0] * 6 + list(range(20)) + [19] * 6
    np.testing.assert_array_equal(to_model_input(image, None, SPEC), image[:, columns])


@given(
    x=st.floats(-500, 500), y=st.floats(-500, 500), width=st.floats(0.1, 400), height=st.floats(0.1, 400),
    margin=st.floats(0, 1), rows=st.integers(1, 90), columns=st.integers(1, 90),
)  # fmt: skip
def test_any_box_gives_pixels_of_the_picture_and_nothing_else(
    x: float, y: float, width: float, height: float, margin: float, rows: int, columns: int
) -> None:
    plain = np.full((rows, columns, 3), (10, 120, 240), np.uint8)
    found = to_model_input(plain, Box(x, y, width, height), InputSpec(size_px=32, margin=margin))
    np.testing.assert_array_equal(found, np.full((32, 32, 3), (10, 120, 240), np.uint8))


def test_a_batch_is_its_crops_one_by_one() -> None:
    boxes = [Box(0, 0, 30, 30), Box(50, 20, 60, 20), Box(7, 9, 5, 5)]
    batch = to_model_inputs([(coordinates(), box) for box in boxes], SPEC)
    np.testing.assert_array_equal(batch, np.stack([to_model_input(coordinates(), box, SPEC) for box in boxes]))
    assert to_model_inputs([], SPEC).shape == (0, 32, 32, 3)


def test_the_picture_is_left_as_it_was() -> None:
    image = coordinates()
    to_model_inputs([(image, Box(-5, -5, 30, 30))], SPEC)
    np.testing.assert_array_equal(image, coordinates())


def test_a_fingerprint_agrees_with_itself_at_any_model_size() -> None:
    assert fingerprints_agree(fingerprint(InputSpec(size_px=96)), fingerprint(InputSpec(size_px=224)))


@pytest.mark.parametrize("margin", [0.0, 0.05, 0.2])
def test_a_fingerprint_tells_another_margin(margin: float) -> None:
    assert not fingerprints_agree(fingerprint(InputSpec(size_px=96)), fingerprint(InputSpec(size_px=96, margin=margin)))


def test_a_fingerprint_tells_swapped_colours() -> None:
    mine = fingerprint(InputSpec(size_px=96))
    assert not fingerprints_agree(mine, mine[..., ::-1])


@pytest.mark.parametrize("resizer", ["INTER_NEAREST", "INTER_CUBIC", "INTER_LANCZOS4"])
def test_a_fingerprint_tells_another_resizer(resizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = fingerprint(InputSpec(size_px=96))
    real = cv2.resize

    def resize(crop: Image, size: tuple[int, int], dst: Image, interpolation: int) -> None:
        real(crop, size, dst=dst, interpolation=getattr(cv2, resizer))

    monkeypatch.setattr(preprocess.cv2, "resize", resize)
    assert not fingerprints_agree(mine, fingerprint(InputSpec(size_px=96)))


def test_a_fingerprint_tells_linear_shrinking(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = fingerprint(InputSpec(size_px=96))
    monkeypatch.setattr(preprocess.cv2, "INTER_AREA", cv2.INTER_LINEAR)
    assert not fingerprints_agree(mine, fingerprint(InputSpec(size_px=96)))


def test_a_fingerprint_tells_another_border(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = fingerprint(InputSpec(size_px=96))
    monkeypatch.setattr(preprocess.cv2, "BORDER_REPLICATE", cv2.BORDER_REFLECT_101)
    assert not fingerprints_agree(mine, fingerprint(InputSpec(size_px=96)))


def test_rounding_of_another_opencv_still_agrees() -> None:
    mine = fingerprint(InputSpec(size_px=96))
    noise = np.random.default_rng(0).integers(-1, 2, mine.shape) * (np.arange(mine.size).reshape(mine.shape) % 2)
    assert fingerprints_agree(mine, np.clip(mine + noise, 0, 255).astype(np.uint8))


def test_fingerprints_of_another_shape_never_agree() -> None:
    mine = fingerprint(InputSpec(size_px=96))
    assert not fingerprints_agree(mine, mine[:-1])
