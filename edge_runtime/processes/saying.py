"""What the processes of a line say, from a thread of its own: who does not read the log holds nobody up."""

from __future__ import annotations

import logging
import os
import queue
from contextlib import suppress
from threading import Thread

_STDERR = 2
_LINES = 1000
_LAST_WORDS_S = 0.2


class _Saying(logging.Handler):
    """Hands lines over and forgets them; where so many wait that nobody can be reading, further ones are left out."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: queue.Queue[str] = queue.Queue(_LINES)
        Thread(target=self._write, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(queue.Full):
            self._waiting.put_nowait(self.format(record))

    def flush(self) -> None:
        """Wait a moment for what was said to be out."""
        with self._waiting.all_tasks_done:
            self._waiting.all_tasks_done.wait_for(lambda: not self._waiting.unfinished_tasks, _LAST_WORDS_S)

    def _write(self) -> None:
        while True:
            data = f"{self._waiting.get()}\n".encode(errors="backslashreplace")
            # Not by `sys.stderr`, whose lock a write that waits would hold: whoever starts a process flushes it.
            with suppress(OSError):
                while data:
                    data = data[os.write(_STDERR, data) :]
            self._waiting.task_done()


def say_as(prefix: str = "") -> None:
    """From here on this process's log goes to stderr, each line behind the prefix, and never makes it wait."""
    logging.basicConfig(handlers=[_Saying()], level=logging.INFO, format=f"{prefix}%(message)s", force=True)


def last_words() -> None:
    """Wait a moment, no longer, for what was said to be out."""
    for handler in logging.getLogger().handlers:
        handler.flush()
