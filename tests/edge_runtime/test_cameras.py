from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import pytest

from edge_runtime.cameras import open_camera, source_kind
from edge_runtime.cameras.image_folder import ImageFolder
from edge_runtime.cameras.stream import hide_password
from edge_runtime.cameras.video_file import VideoFile
from edge_runtime.errors import CameraError, EncoderError
from edge_runtime.records import Frame, Image
from tests.mjpeg import as_jpeg, served

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def plain(colour: tuple[int, int, int], height: int = 64, width: int = 96) -> Image:
    return np.full((height, width, 3), colour, np.uint8)


def write_picture(path: Path, rgb: Image) -> Path:
    assert cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    return path


def write_video(path: Path, frames: list[Image], rate_hz: float = 25.0, codec: str = "mp4v") -> Path:
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), rate_hz, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def looks(image: Image) -> str:
    """The strongest channel by name, if it clearly is."""
    means = image.reshape(-1, 3).mean(axis=0)
    assert np.sort(means)[1] < 60
    assert means.max() > 180
    return ("red", "green", "blue")[int(means.argmax())]


@contextmanager
def mjpeg_server(frames: list[Image], pause_s: float = 0.02) -> Iterator[str]:
    """A camera on the network: sends the frames in a loop for as long as someone listens."""

    stop = threading.Event()

    def send(stream: BinaryIO, head: bytes, data: bytes) -> bool:
        stream.write(head + data + b"\r\n")
        time.sleep(pause_s)
        return not stop.is_set()

    server = served([as_jpeg(frame) for frame in frames], send)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/video.mjpg"
    finally:
        stop.set()
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("0", "device"),
        ("12", "device"),
        ("rtsp://host/a", "stream"),
        ("http://h/v.mjpg", "stream"),
        ("/dev/v4l/by-id/usb-belt", "device"),
        ("clip.mp4", "file"),
        ("/dev/shm/belt.mp4", "file"),
    ],
)
def test_a_source_string_says_its_kind(source: str, kind: str) -> None:
    assert source_kind(source) == kind


def test_red_stays_red_through_a_video_file(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", [plain(RED), plain(GREEN), plain(BLUE)] * 3)
    frames = list(open_camera(str(path)).frames())
    assert [looks(frame.image) for frame in frames] == ["red", "green", "blue"] * 3
    assert all(frame.image.dtype == np.uint8 and frame.image.flags.c_contiguous for frame in frames)


def test_red_stays_red_through_a_folder(tmp_path: Path) -> None:
    for name, colour in (("1.png", RED), ("2.png", GREEN), ("10.png", BLUE)):
        write_picture(tmp_path / name, plain(colour))
    frames = list(open_camera(str(tmp_path)).frames())
    assert [looks(frame.image) for frame in frames] == ["red", "green", "blue"]


def test_red_stays_red_through_a_stream_and_after_a_reconnect() -> None:
    with mjpeg_server([plain(RED)]) as url:
        for _ in range(2):
            camera = open_camera(url)
            frame = next(iter(camera.frames()))
            camera.close()
            assert looks(frame.image) == "red"
            assert camera.live


def test_a_video_is_stamped_with_its_place_in_the_recording(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.avi", [plain(RED)] * 7, rate_hz=30.0, codec="MJPG")
    camera = open_camera(str(path))
    frames = list(camera.frames())
    assert [frame.captured_ns for frame in frames] == [round(index * 1e9 / 30) for index in range(7)]
    assert [frame.index for frame in frames] == list(range(7))
    assert (camera.frame_rate_hz, camera.live, camera.dropped) == (30.0, False, 0)


def test_a_whole_video_is_not_called_truncated(tmp_path: Path) -> None:
    camera = VideoFile(write_video(tmp_path / "clip.mp4", [plain(RED)] * 20))
    assert len(list(camera.frames())) == 20
    assert camera.truncated is None


def test_a_video_that_ends_early_gives_what_it_has_and_says_so(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noisy = [rng.integers(0, 255, (64, 96, 3), dtype=np.uint8) for _ in range(40)]
    path = write_video(tmp_path / "clip.avi", noisy, codec="MJPG")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    camera = VideoFile(path)
    read = len(list(camera.frames()))
    assert 5 < read < 30
    assert camera.truncated is not None
    assert f"after {read} of" in camera.truncated


def test_a_video_without_its_index_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", [plain(RED)] * 20)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(CameraError, match=r"clip\.mp4.*\n?.*whole video file"):
        open_camera(str(path))


def test_a_text_file_called_mp4_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "clip.mp4"
    path.write_text("this is no video\n" * 100)
    with pytest.raises(CameraError, match=r"clip\.mp4"):
        open_camera(str(path))
    assert capfd.readouterr().err == ""


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="no such file"):
        open_camera(str(tmp_path / "nothing.mp4"))


def test_a_camera_that_does_not_exist_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CameraError, match="camera 97"):
        open_camera("97")
    assert capfd.readouterr().err == ""


def test_a_stream_that_nobody_serves_is_refused_without_showing_the_password() -> None:
    with pytest.raises(CameraError, match="cannot be opened") as caught:
        open_camera("http://user:secret@127.0.0.1:9/video.mjpg")
    assert "secret" not in str(caught.value)
    assert hide_password("rtsp://user:secret@host/path") == "rtsp://user:***@host/path"
    assert hide_password("rtsp://user:se@cret@host/path@2") == "rtsp://user:***@host/path@2"


def test_closing_a_file_ends_it(tmp_path: Path) -> None:
    camera = VideoFile(write_video(tmp_path / "clip.mp4", [plain(RED)] * 20))
    frames = camera.frames()
    next(frames)
    camera.close()
    camera.close()
    assert list(frames) == []
    assert camera.truncated is None


def test_a_slow_reader_of_a_live_source_gets_the_newest_frame_and_a_count() -> None:
    with mjpeg_server([plain(RED)], pause_s=0.005) as url:
        camera = open_camera(url)
        frames = camera.frames()
        seen: list[Frame] = []
        while len(seen) < 4:
            seen.append(next(frames))
            time.sleep(0.1)
        camera.close()
    indices = [frame.index for frame in seen]
    assert indices == sorted(set(indices))
    assert camera.dropped >= indices[-1] - len(indices) + 1 > 0
    assert all(a.captured_ns < b.captured_ns for a, b in pairwise(seen))


def test_a_live_source_that_ends_is_an_error_not_an_end() -> None:
    with mjpeg_server([plain(RED)]) as url:
        camera = open_camera(url)
        frames = camera.frames()
        next(frames)
    with pytest.raises(CameraError, match="stopped giving pictures"):
        for _ in frames:
            pass
    camera.close()


def test_closing_a_live_source_from_another_thread_ends_the_iteration() -> None:
    with mjpeg_server([plain(RED)]) as url:
        camera = open_camera(url)
        threading.Timer(0.2, camera.close).start()
        assert sum(1 for _ in camera.frames()) > 0


def test_grey_alpha_and_16_bit_pictures_become_8_bit_rgb(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1_grey.png"), np.full((20, 30), 128, np.uint8))
    cv2.imwrite(str(tmp_path / "2_alpha.png"), np.full((20, 30, 4), (0, 0, 255, 255), np.uint8))
    cv2.imwrite(str(tmp_path / "3_deep.png"), np.full((20, 30, 3), (0, 0, 65535), np.uint16))
    cv2.imwrite(str(tmp_path / "4_deep_grey.png"), np.full((20, 30), 32896, np.uint16))
    images = [frame.image for frame in ImageFolder(tmp_path).frames()]
    assert [(image.shape, image.dtype) for image in images] == [((20, 30, 3), np.uint8)] * 4
    assert [image[0, 0].tolist() for image in images] == [[128] * 3, [255, 0, 0], [255, 0, 0], [128] * 3]


def test_pictures_of_another_size_are_refused_by_name(tmp_path: Path) -> None:
    write_picture(tmp_path / "1.png", plain(RED))
    write_picture(tmp_path / "2.png", plain(RED, width=80))
    with pytest.raises(CameraError, match=r"2\.png: 80x64 pixels"):
        list(ImageFolder(tmp_path).frames())


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_truncated_picture_is_refused_by_name(tmp_path: Path, suffix: str) -> None:
    image = np.random.default_rng(0).integers(0, 255, (80, 80, 3), dtype=np.uint8)
    write_picture(tmp_path / f"1{suffix}", image)
    path = write_picture(tmp_path / f"2{suffix}", image)
    path.write_bytes(path.read_bytes()[:-200])
    frames = ImageFolder(tmp_path).frames()
    next(frames)
    with pytest.raises(CameraError, match=f"2{suffix}: damaged"):
        next(frames)


@pytest.mark.parametrize("content", [b"", b"no picture at all"])
def test_a_text_file_called_jpg_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "1.jpg").write_bytes(content)
    with pytest.raises(CameraError, match=r"1\.jpg: damaged"):
        list(ImageFolder(tmp_path).frames())


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing to see")
    with pytest.raises(CameraError, match="no pictures"):
        open_camera(str(tmp_path))


def test_a_folder_takes_its_rate_from_the_belt_positions_beside_it(tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in range(3):
        write_picture(frames / f"{number}.png", plain(RED))
    (tmp_path / "encoder.csv").write_text("frame,time_ns,position_mm\n0,0,0\n1,20000000,5\n2,40000000,10\n")
    assert [frame.captured_ns for frame in open_camera(str(frames)).frames()] == [0, 20_000_000, 40_000_000]
    (tmp_path / "encoder.csv").write_text("time_ns\n1\n")
    with pytest.raises(EncoderError):
        open_camera(str(frames))
