"""What a camera is reached by stays with who typed it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Ripeline

pytestmark = pytest.mark.usefixtures("the_line")


@pytest.mark.parametrize("verb", ["run", "collect", "commission"])
def test_a_cameras_password_is_in_nothing_that_is_written(
    verb: str, camera_url: str, bundle_dir: Path, tmp_path: Path, ripeline: Ripeline
) -> None:
    source = ("--source", camera_url.replace("://", "://user:5ecret@"), "--duration", "2")
    if verb == "run":
        done = ripeline("run", bundle_dir, *source, "-o", tmp_path / "out", "--artefact", "tflite-fp32", "--json")
    elif verb == "collect":
        done = ripeline("collect", *source, "-o", tmp_path / "out", "--json")
    else:
        done = ripeline("line", "commission", *source, "-o", tmp_path / "line.toml")
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) >= 1
    assert "5ecret" not in done.stdout + done.stderr + "".join(map(str, written))
    assert not [path for path in written if b"5ecret" in path.read_bytes()]
