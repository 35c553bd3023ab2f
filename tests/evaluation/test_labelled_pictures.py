from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.errors import InputError
from edge_runtime.preprocess import InputSpec, to_model_input
from edge_runtime.records import Box
from evaluation.dataset import load_inputs, read_dataset, read_images
from evaluation.picture import is_readable, read_image


def truncate(path: Path, share: float = 0.6) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def test_without_an_order_labels_are_alphabetical_and_that_is_said(folder: Path) -> None:
    dataset = read_dataset(folder)
    assert dataset.labels == ("green", "pink", "red")
    assert "alphabetical" in dataset.notices[0]
    assert dataset.label_indices().tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    first = dataset.items[0]
    assert first.file == "green/0.jpg"
    assert first.sha256 == hashlib.sha256((folder / "green/0.jpg").read_bytes()).hexdigest() == first.group


def test_labels_file_gives_the_order_and_the_argument_overrides_it(folder: Path) -> None:
    (folder / "labels.txt").write_text("red\npink\ngreen\n")
    assert read_dataset(folder).labels == ("red", "pink", "green")
    assert read_dataset(folder).notices == ()
    assert read_dataset(folder, ["green", "red"]).labels == ("green", "red")


def test_folders_left_out_are_counted_and_named(folder: Path) -> None:
    dataset = read_dataset(folder, ["green", "red"])
    assert dataset.ignored == 3
    assert "3 pictures" in dataset.notices[0]
    assert "pink" in dataset.notices[0]
    assert {item.label for item in dataset.items} == {"green", "red"}


def test_what_nobody_has_labelled_yet_is_no_label(folder: Path) -> None:
    (folder / "pink").rename(folder / "unsorted")
    dataset = read_dataset(folder)
    assert dataset.labels == ("green", "red")
    assert any("3 pictures in folders that are no label here ignored: unsorted" in each for each in dataset.notices)


def test_what_was_thrown_away_while_sorting_is_not_missed(folder: Path) -> None:
    rows = ["file,fruit,group", "unsorted/0-1.png,f1,f1", "unsorted/0-2.png,f1,f1", "unsorted/0-3.png,f2,f2"]
    (folder / "manifest.csv").write_text("\n".join(rows))
    picture = (folder / "green" / "0.jpg").read_bytes()
    (folder / "green" / "0-1.png").write_bytes(picture)
    items = {item.file: item for item in read_dataset(folder).items}
    assert items["green/0-1.png"].fruit == "f1"
    (folder / "green" / "0-2.png").write_bytes(picture)
    (folder / "red" / "0-2.png").write_bytes(picture)
    with pytest.raises(InputError, match=r"names 1 file not there: unsorted/0-2\.png"):
        read_dataset(folder)


def test_manifest_gives_group_fruit_source_and_box(folder: Path) -> None:
    (folder / "manifest.csv").write_text(
        "file,label,group,fruit,source,box_px\n"
        'green/0.jpg,green,g1,f1,farm,"[1, 2, 30, 20]"\n'
        "green/1.jpg,green,g1,,,4 5 6.5 7\n"
    )
    first, second, third = read_dataset(folder, ["green", "red"]).items[:3]
    assert (first.group, first.fruit, first.source, first.box) == ("g1", "f1", "farm", Box(1, 2, 30, 20))
    assert (second.group, second.fruit, second.source, second.box) == ("g1", None, None, Box(4, 5, 6.5, 7))
    assert third.group == third.sha256
    assert any("4 pictures not in" in notice for notice in read_dataset(folder, ["green", "red"]).notices)


def test_a_picture_with_a_frame_number_is_from_a_line(folder: Path) -> None:
    (folder / "manifest.csv").write_text("file,frame\ngreen/0.jpg,0\ngreen/1.jpg,\n")
    assert [item.from_line for item in read_dataset(folder).items[:3]] == [True, False, False]


@pytest.mark.parametrize("name", ["manifest.csv", "labels.txt"])
def test_a_text_file_in_another_encoding_is_refused_by_name(folder: Path, name: str) -> None:
    (folder / name).write_bytes("file,label,group\ngreen/0.jpg,green,Überlingen\n".encode("cp1252"))
    with pytest.raises(InputError, match=f"{name} is not text in UTF-8") as error:
        read_dataset(folder)
    assert "UTF-8" in str(error.value.remedy)


def test_pictures_of_one_fruit_are_a_group_unless_the_manifest_says_otherwise(folder: Path) -> None:
    (folder / "manifest.csv").write_text(
        "file,label,group,fruit\ngreen/0.jpg,green,,f1\ngreen/1.jpg,green,,f1\nred/0.jpg,red,g7,f2\n"
    )
    groups = {item.file: item.group for item in read_dataset(folder).items}
    assert (groups["green/0.jpg"], groups["green/1.jpg"], groups["red/0.jpg"]) == ("f1", "f1", "g7")


def test_another_column_may_say_where_a_picture_comes_from(folder: Path) -> None:
    (folder / "manifest.csv").write_text("file,label,source,camera\ngreen/0.jpg,green,farm,left\n")
    assert read_dataset(folder).items[0].source == "farm"
    assert read_dataset(folder, domain="camera").items[0].source == "left"
    with pytest.raises(InputError, match=r"manifest\.csv has no column 'kamera'"):
        read_dataset(folder, domain="kamera")


def test_a_copied_file_stays_in_the_group_of_its_original(folder: Path) -> None:
    (folder / "green/copy.jpg").write_bytes((folder / "green/0.jpg").read_bytes())
    by_file = {item.file: item.group for item in read_dataset(folder).items}
    assert by_file["green/copy.jpg"] == by_file["green/0.jpg"] != by_file["green/1.jpg"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("green/9.jpg,green,g,", "names 1 file not there: green/9.jpg"),
        ("green/0.jpg,red,g,", "gives green/0.jpg the label 'red'"),
        ("green/0.jpg,green,g,1 2 3", "box_px of green/0.jpg"),
        ("green/0.jpg,green,g,1 2 0 5", "box_px of green/0.jpg"),
        ("green/0.jpg,green,g,a b c d", "box_px of green/0.jpg"),
        (",green,g,", "line 2 names no file"),
    ],
)
def test_a_wrong_manifest_line_is_refused(folder: Path, line: str, says: str) -> None:
    (folder / "manifest.csv").write_text(f"file,label,group,box_px\n{line}\n")
    with pytest.raises(InputError, match=r"manifest\.csv") as caught:
        read_dataset(folder)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("name,label\ngreen/0.jpg,green\n", "no column 'file'"),
        ("file,label,file\ngreen/0.jpg,green\n", "the column 'file' more than once"),
        ("label,file\ngreen\n", "line 2 names no file"),
    ],
)
def test_a_manifest_that_does_not_say_which_file_is_refused(folder: Path, table: str, says: str) -> None:
    (folder / "manifest.csv").write_text(table)
    with pytest.raises(InputError, match=says):
        read_dataset(folder)


def test_cells_that_are_not_there_and_columns_without_a_name_are_empty(folder: Path) -> None:
    (folder / "manifest.csv").write_text("file,label,,group,\ngreen/0.jpg\n")
    assert len(read_dataset(folder).items) > 0


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no folder .*nowhere"):
        read_dataset(tmp_path / "nowhere")


def test_one_label_only(folder: Path) -> None:
    with pytest.raises(InputError, match="only the label green"):
        read_dataset(folder, ["green"])
    assert len(read_dataset(folder, ["green"], every_label=False).items) == 3


def test_an_empty_label(folder: Path) -> None:
    (folder / "blue").mkdir()
    with pytest.raises(InputError, match="'blue' has no pictures"):
        read_dataset(folder)


def test_an_unknown_label(folder: Path) -> None:
    with pytest.raises(InputError, match="for label 'blue'") as caught:
        read_dataset(folder, ["green", "blue"])
    assert "green, pink, red" in str(caught.value)


def test_a_label_named_twice(folder: Path) -> None:
    with pytest.raises(InputError, match="'green' stands twice"):
        read_dataset(folder, ["green", "red", "green"])


def test_damaged_files_are_left_out_and_named(folder: Path) -> None:
    truncate(folder / "green/1.jpg")
    (folder / "red/2.jpg").write_text("not a picture")
    (folder / "red/empty.jpg").write_bytes(b"")
    dataset = read_dataset(folder, ["green", "red"])
    assert dataset.unreadable == ("green/1.jpg", "red/2.jpg", "red/empty.jpg")
    assert {item.file for item in dataset.items} == {"green/0.jpg", "green/2.jpg", "red/0.jpg", "red/1.jpg"}
    assert any("3 files damaged" in notice and "green/1.jpg" in notice for notice in dataset.notices)


def test_a_label_with_only_damaged_files_is_refused(folder: Path) -> None:
    for path in (folder / "red").iterdir():
        truncate(path)
    with pytest.raises(InputError, match="None of the 3 pictures of label 'red'"):
        read_dataset(folder)


def test_a_truncated_jpeg_is_refused_even_after_its_thumbnail(folder: Path) -> None:
    whole, path = (folder / "green/0.jpg").read_bytes(), folder / "green/1.jpg"
    # An EXIF block holding a complete small JPEG, as cameras write it: its end marker is not the picture's.
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + len(whole)) + whole
    with_thumbnail = whole[:2] + thumbnail + whole[2:]
    path.write_bytes(with_thumbnail)
    assert read_image(path).shape == (40, 48, 3)
    path.write_bytes(with_thumbnail[:-200])
    with pytest.raises(InputError, match="ends early"):
        read_image(path)
    path.write_bytes(whole + b"trailing bytes of a phone")
    assert read_image(path).shape == (40, 48, 3)


def test_a_truncated_png_is_refused(write, tmp_path: Path) -> None:
    path = write("a.png", np.random.default_rng(0).integers(0, 255, (50, 50, 3), np.uint8))
    truncate(path)
    with pytest.raises(InputError, match="ends early"):
        read_image(path)


def test_colours_are_rgb(write) -> None:
    red = np.zeros((20, 20, 3), np.uint8)
    red[..., 0] = 255
    assert read_image(write("red.png", red))[5, 5].tolist() == [255, 0, 0]


def test_grey_becomes_three_equal_channels(write) -> None:
    image = read_image(write("grey.png", np.full((20, 30), 77, np.uint8)))
    assert image.shape == (20, 30, 3)
    assert np.unique(image).tolist() == [77]


def test_sixteen_bits_become_eight(write) -> None:
    image = read_image(write("deep.png", np.full((20, 30, 3), 0x8040, np.uint16)))
    assert image.dtype == np.uint8
    assert np.unique(image).tolist() == [0x80]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_transparency_shows_neutral_grey(write, dtype: type) -> None:
    most = np.iinfo(dtype).max
    pixels = np.zeros((20, 20, 4), dtype)
    pixels[...] = (0, most, 0, 0)  # green that nobody sees
    pixels[:10] = (most, 0, 0, most)
    image = read_image(write("cut-out.png", pixels))
    assert image.shape == (20, 20, 3)
    assert image[0, 0].tolist() == [255, 0, 0]
    assert image[-1, -1].tolist() == [128, 128, 128]


def test_exif_orientation_is_honoured(tmp_path: Path) -> None:
    pixels = np.zeros((20, 40, 3), np.uint8)
    done, jpeg = cv2.imencode(".jpg", pixels)
    assert done
    tiff = b"MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
    exif = b"Exif\x00\x00" + tiff
    path = tmp_path / "turned.jpg"
    path.write_bytes(jpeg.tobytes()[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(exif)) + exif + jpeg.tobytes()[2:])
    assert read_image(path).shape == (40, 20, 3)


def test_a_missing_picture_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.jpg cannot be read"):
        read_image(tmp_path / "gone.jpg")


def test_inputs_are_what_the_line_would_make_of_the_pictures(folder: Path) -> None:
    (folder / "manifest.csv").write_text("file,box_px\ngreen/0.jpg,5 6 20 14\n")
    items = read_dataset(folder).items
    spec = InputSpec(size_px=32)
    inputs = load_inputs(items, spec)
    assert inputs.shape == (9, 32, 32, 3)
    assert inputs.dtype == np.uint8
    for item, row in zip(items, inputs, strict=True):
        np.testing.assert_array_equal(row, to_model_input(read_image(item.path), item.box, spec))
    assert items[0].box is not None


def test_unlabelled_pictures(folder: Path, tmp_path: Path) -> None:
    truncate(folder / "red/0.jpg")
    found = read_images(folder)
    assert len(found.pictures) == 8
    assert found.unreadable == ("red/0.jpg",)
    assert [p.file for p in read_images(folder / "green/1.jpg").pictures] == ["1.jpg"]
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match="No readable picture"):
        read_images(tmp_path / "nothing")


@pytest.mark.skipif("RIPELINE_TEST_DATA" not in os.environ, reason="RIPELINE_TEST_DATA names no folder of real data")
def test_the_real_set_is_read_whole() -> None:
    folder = Path(os.environ["RIPELINE_TEST_DATA"]) / "data" / "strawberry_train"
    dataset = read_dataset(folder, ["unripe", "turning", "ripe"])
    assert [sum(item.label == label for item in dataset.items) for label in dataset.labels] == [650, 192, 546]
    assert dataset.ignored == 225
    assert dataset.unreadable == ()
    assert all(item.group.startswith("g") and item.source for item in dataset.items)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tif"])
def test_the_quick_look_at_a_file_agrees_with_decoding_it(suffix: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    whole = cv2.imencode(suffix, rng.integers(0, 255, (97, 133, 3), np.uint8))[1].tobytes()
    answers = set()
    for cut in (0, 1, 30, len(whole) // 2, len(whole) - 3, len(whole)):
        data = whole[:cut]
        (tmp_path / f"cut{suffix}").write_bytes(data)
        try:
            readable = read_image(tmp_path / f"cut{suffix}").size > 0
        except InputError:
            readable = False
        assert is_readable(data) is readable, cut
        answers.add(readable)
    assert answers == {True, False}
