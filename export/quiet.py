"""Keep converters' chatter, which they print to file descriptors, out of people's terminals and `--json`."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quietly() -> Iterator[None]:
    """Send stdout and stderr of this process, C++ included, to a scratch file; shown when the block raises."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, original in zip(kept, (1, 2), strict=True):
                os.dup2(descriptor, original)
                os.close(descriptor)
            if failed:
                log.seek(0)
                sys.stderr.write(log.read().decode("utf-8", "replace")[-4000:])
