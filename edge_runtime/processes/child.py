"""What every process of a line does first."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from edge_runtime.errors import RipelineError
from edge_runtime.processes import trouble
from edge_runtime.processes.plan import LinePlan, Memory
from edge_runtime.processes.saying import last_words, say_as

log = logging.getLogger("ripeline")

HOPELESS = 3
"""Exit code of a process that will not do better if it is started again."""

PARENTS_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM})
"""Sent to every process of a terminal or group; only the supervisor answers, and ends the others in order."""

_FAILURE = "failure"
_PRIORITY = 10


def begin(name: str, on_orphaned: Callable[[], None] = lambda: os._exit(1)) -> None:
    """Say who is talking, leave the word to stop to the supervisor, and do not outlive it.

    Args:
        name: Of the process, for its log.
        on_orphaned: Called from a thread when the supervisor has died.
    """
    say_as(f"{name}: ")
    for number in PARENTS_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        on_orphaned()

    threading.Thread(target=wait, name="orphaned", daemon=True).start()


def run(main: Callable[[LinePlan, Memory], None], plan: LinePlan, memory: Memory) -> NoReturn:
    """A process of the line from its beginning to its end."""
    code = 1
    try:
        main(plan, memory)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except RipelineError as error:
        log.error("%s", error)  # it says what happened; where in the code helps nobody
        trouble.tell(plan.runtime, multiprocessing.current_process().name, error)
    except BaseException:
        log.exception("ended by an error that nobody expected")
    # All is closed. To take an interpreter apart costs more time than a busy machine has left for the end, and without
    # memory it may hang.
    last_words()
    os._exit(code)


def raise_priority() -> str:
    """Ask for real-time scheduling, else for a better nice value; what was granted, in words."""
    with suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
        return "real-time priority"
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -_PRIORITY)
        return f"nice value {-_PRIORITY}"
    return "ordinary priority"


def failed(folder: Path, error: RipelineError) -> NoReturn:
    """Leave, and let the supervisor end the line with this error."""
    (folder / _FAILURE).write_bytes(pickle.dumps(error))
    sys.exit(HOPELESS)


def failure(folder: Path) -> RipelineError | None:
    """What a process left with; asked once."""
    file = folder / _FAILURE
    try:
        error = pickle.loads(file.read_bytes())
    except OSError:
        return None
    file.unlink()
    return error if isinstance(error, RipelineError) else None
