from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_runtime.encoders.csv_file import CsvEncoder, find_encoder
from edge_runtime.errors import EncoderError


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "encoder.csv"
    path.write_text(text)
    return path


def test_between_rows_the_position_is_linear(tmp_path: Path) -> None:
    encoder = CsvEncoder(write(tmp_path, "frame,time_ns,position_mm\n0,1000,10\n1,2000,20\n2,3000,50\n"))
    assert encoder.position_mm(1000) == 10
    assert encoder.position_mm(1250) == pytest.approx(12.5)
    assert encoder.position_mm(2500) == pytest.approx(35)
    assert encoder.position_mm(3000) == 50


def test_half_a_period_outside_is_extrapolated_and_more_is_unknown(tmp_path: Path) -> None:
    encoder = CsvEncoder(write(tmp_path, "time_ns,position_mm\n1000,10\n2000,20\n3000,30\n"))
    assert encoder.position_mm(3500) == pytest.approx(35)
    assert encoder.position_mm(500) == pytest.approx(5)
    assert encoder.position_mm(3501) is None
    assert encoder.position_mm(499) is None


def test_monotonic_clock_times_lose_no_precision(tmp_path: Path) -> None:
    start = 4_611_686_018_427_000_000
    encoder = CsvEncoder(write(tmp_path, f"time_ns,position_mm\n{start},0\n{start + 1000},1000\n"))
    assert encoder.position_mm(start + 1) == pytest.approx(1)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,2\nx,3\n", "line 3"),
        ("1,2\n2,\n", "line 3"),
        ("1,2\n2\n", "line 3"),
        ("1,2\n2,nan\n", "line 3.*finite"),
        ("1,2\n2,inf\n", "line 3.*finite"),
        ("1,2\n5,3\n5,4\n", "line 4.*does not rise"),
        ("1,2\n5,3\n4,4\n", "line 4.*does not rise"),
        ("1.5,2\n", "line 2"),
        ("1,2\n", "1 rows"),
        ("", "0 rows"),
        ("1,2\n99999999999999999999,3\n", "line 3"),
    ],
)
def test_a_malformed_file_is_refused_with_its_line(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(EncoderError, match=f"(?s)encoder\\.csv.*{message}"):
        CsvEncoder(write(tmp_path, "time_ns,position_mm\n" + rows))


def test_missing_columns_files_and_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="no column position_mm"):
        CsvEncoder(write(tmp_path, "time_ns,mm\n1,2\n2,3\n"))
    with pytest.raises(EncoderError, match="no such file"):
        CsvEncoder(tmp_path / "nothing.csv")
    (tmp_path / "encoder.csv").write_bytes(b"\xff\xfe\x00\x81" * 20)
    with pytest.raises(EncoderError, match="not a CSV"):
        CsvEncoder(tmp_path / "encoder.csv")


def test_the_file_beside_a_clip_or_a_folder_is_found(tmp_path: Path) -> None:
    clip, folder = tmp_path / "clip.mp4", tmp_path / "frames"
    clip.touch()
    folder.mkdir()
    assert find_encoder(str(clip)) is None
    beside = write(tmp_path, "time_ns,position_mm\n1,2\n2,3\n")
    assert find_encoder(str(clip)) == beside
    assert find_encoder(str(folder)) == beside
    inside = write(folder, "time_ns,position_mm\n1,2\n2,3\n")
    assert find_encoder(str(folder)) == inside
    assert find_encoder("rtsp://host/stream") is None
    assert find_encoder("0") is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: b"time_ns,position_mm\n" + text.encode()))
def test_any_content_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "encoder.csv"
    path.write_bytes(content)
    try:
        encoder = CsvEncoder(path)
    except EncoderError:
        return
    assert encoder.position_mm(-(2**63)) is None
