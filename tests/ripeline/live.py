"""`ripeline run` in a process of its own, to be ended by signals."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def start(bundle: Path, source: str, output: Path, *options: str, new_session: bool = False) -> subprocess.Popen[str]:
    words = ["run", str(bundle), "--source", source, "-o", str(output), "--artefact", "tflite-fp32", "--json", *options]
    command = [sys.executable, "-m", "ripeline.main", *words]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=new_session
    )
