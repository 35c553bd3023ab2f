"""Where `run` takes its source from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Ripeline


def test_the_source_comes_from_the_option_else_the_environment_else_line_toml(
    ripeline: Ripeline, bundle_dir: Path, clip_dir: Path, tmp_path: Path
) -> None:
    config = tmp_path / "line.toml"
    words = ["run", bundle_dir, "--config", config, "--json", "--engine", "onnxruntime", "--artefact", "onnx-fp32"]
    config.write_text("")
    refused = ripeline(*words, "-o", tmp_path / "none")
    assert refused.code == 2
    assert "no source" in refused.stderr
    assert not (tmp_path / "none").exists()

    config.write_text(f'source = "{clip_dir / "clip.mp4"}"\n')
    (tmp_path / "empty").mkdir()
    by_file = ripeline(*words, "-o", tmp_path / "file", "--duration", 0.3)
    assert by_file.code == 0, by_file.stderr
    assert by_file.document["source"] == str(clip_dir / "clip.mp4")
    by_environment = ripeline(*words, "-o", tmp_path / "env", env={"RIPELINE_SOURCE": str(tmp_path / "empty")})
    assert "no pictures" in by_environment.stderr
    missing = tmp_path / "missing.mp4"
    by_option = ripeline(
        *words, "-o", tmp_path / "option", "--source", missing, env={"RIPELINE_SOURCE": str(tmp_path / "empty")}
    )
    assert str(missing) in by_option.stderr
