"""Keep libraries' chatter, which they write past Python to the process's stderr, out of people's terminals."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def native_stderr_silenced() -> Iterator[None]:
    """Nothing that the block writes to file descriptor 2 is seen; exceptions pass through as ever."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
