"""A model whose answers change, and orders that come too late, each by the fault itself: no judge is pretended."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.acting.schedule import LATE
from edge_runtime.monitoring.health_server import ask
from edge_runtime.monitoring.watch import Fault
from tests.faults.rot import pieces, rot
from tests.faults.running import Line, until

if TYPE_CHECKING:
    from tests.conftest import Ripeline

Note = Callable[..., None]
MODEL = "onnx-fp32.onnx"


def test_a_model_that_answers_otherwise_is_refused_at_the_start(
    ripeline: Ripeline, bundle: Path, seal: Callable[[Path], None], tmp_path: Path, fault_table: Note
) -> None:
    data = (bundle / MODEL).read_bytes()
    for piece in pieces(bundle / MODEL):
        data = data.replace(piece, bytes(len(piece)))
    (bundle / MODEL).write_bytes(data)
    seal(bundle)  # every hash is right: only its answers give it away
    words = ["--source", "sim:calm?clock=real", "-o", tmp_path / "out"]
    refused = ripeline("run", bundle, *words, "--engine", "onnxruntime", "--artefact", "onnx-fp32")
    assert refused.code == 2
    assert "onnx-fp32 on onnxruntime" in refused.stderr
    assert "at most 0.001" in refused.stderr
    assert not (tmp_path / "out").exists()
    fault_table("model fails its self-test at the start", note="refused, nothing is started")


def test_a_model_whose_memory_rots_stops_the_line_until_vision_is_started_anew(
    start: Callable[..., Line], bundle_dir: Path, nothing_lost: Note
) -> None:
    line = start(safety="self_test_s = 1")
    until(lambda: line.permits(True, 0), what="it sorts")
    until(line.strokes, what="strokes")
    vision, at_ns = line.pid("vision"), time.monotonic_ns()
    assert rot(vision, bundle_dir / MODEL) > 0
    to_safe_ms = _stands_for(line, Fault.MODEL, at_ns)
    time.sleep(3.0)  # three rounds of the self-test, and ten times what would be long enough to sort again
    assert not line.sorts(), "it does not mend by itself"
    assert line.pid("vision") == vision, "nobody pretends that it is well"
    anew_ns = line.send("vision", signal.SIGKILL)
    line.restarted("vision", vision)
    nothing_lost(
        line,
        "memory of the model rots",
        to_safe_ms=to_safe_ms,
        recovered_ms=line.runs_again(anew_ns),
        note="self_test_s = 1; from the first weight of many; sorts again once vision is started anew",
    )


def test_orders_that_come_too_late_too_often_stop_the_line_until_they_have_not_for_a_minute(
    start: Callable[..., Line], nothing_lost: Note
) -> None:
    line = start(safety="max_misses = 2")
    with line.broken("late") as at_ns:
        to_safe_ms = _stands_for(line, Fault.DEADLINES, at_ns)
        late = [row for row in line.firings() if row["reason"] == LATE]
        assert len(late) >= 3
    gone_ns = time.monotonic_ns()
    recovered_ms = line.runs_again(gone_ns)
    before = len(line.strokes())
    until(lambda: len(line.strokes()) > before, what="strokes again")
    nothing_lost(
        line,
        "orders too late (pictures come later and later)",
        to_safe_ms=to_safe_ms,
        recovered_ms=recovered_ms,
        note="max_misses = 2; from when pictures are late by 40 ms more each; a minute without such orders",
    )


def _stands_for(line: Line, fault: Fault, after_ns: int) -> float:
    """Waits until the line stands and says that for this; milliseconds from that time until it stood.

    A busy machine may stop it for a moment before, for another reason.
    """
    until(lambda: fault in ask(line.name)["faults"], what=f"{fault}: {line.says()[-2000:]}")
    until(lambda: line.permits(False, after_ns) and not line.sorts(), what=f"safe: {line.says()[-2000:]}")
    return (max(line.permits(False, after_ns)) - after_ns) / 1e6
