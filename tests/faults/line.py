"""`ripeline` itself, with edges that break: `python -m tests.faults.line FOLDER run BUNDLE …`."""

from __future__ import annotations

import atexit
import sys
from pathlib import Path
from typing import Any

from ripeline import in_processes
from ripeline.main import main
from tests.faults.ports import FaultyPorts

TAKEN_APART = "the interpreter is taken apart"

if __name__ == "__main__":
    atexit.register(print, TAKEN_APART, file=sys.stderr)
    faults = Path(sys.argv.pop(1))
    open_edges = in_processes.ports

    def faulty(asked: Any, config: Any) -> Any:
        edges, config, line = open_edges(asked, config)
        return FaultyPorts(edges, faults), config, line

    in_processes.ports = faulty
    main()
