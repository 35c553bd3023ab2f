"""Whatever a file holds, its reader gives a result or an error of the project's own: no crash, no hang.

The short form runs with the other tests. The long one: `RIPELINE_FUZZ_CASES=100000 pytest tests/fuzz --timeout 0`. With
`OPENCV_IO_MAX_IMAGE_PIXELS=4000000` before it, it spends no time on black pictures of a gigapixel that a damaged header
promises; they are then refused as those beyond OpenCV's own limit are.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import struct
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edge_runtime.bundles.bundle import read_manifest as read_bundle_manifest
from edge_runtime.cameras.image_folder import read_picture
from edge_runtime.decision_record import Record, RunIdentity
from edge_runtime.encoders.csv_file import CsvEncoder
from edge_runtime.errors import RipelineError
from edge_runtime.journaling.journal import Journal
from edge_runtime.journaling.spool import SpoolReader
from edge_runtime.settings.config_file import load_costs, load_line_config
from evaluation.manifest import parse_box, read_manifest
from evaluation.picture import is_readable, read_image
from simulator.evidence import read_evidence
from simulator.line_score import score
from simulator.matching import match, strokes
from tests.decisions import decision
from tests.fuzz.mutation import CASES, damaged, damaged_json, no_hang

fuzzed = settings(
    max_examples=CASES, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=True
)
RUN = RunIdentity("north", "run", "boot")
NOW = datetime(2026, 5, 1, tzinfo=UTC)
DECISIONS = "\n".join(RUN.record(decision(number), NOW).document for number in range(1, 4))

LINE = b"""name = "north"
[belt]
direction = "right"
mm_per_px = 0.4
lanes = 2
[localize]
min_diameter_px = 20
max_diameter_px = 500
[policy.costs.ripe]
ACCEPT = 0.0
DIVERT = 1.0
UNDECIDED = 0.25
[[ejector]]
at_mm = 300.0
verdicts = ["DIVERT"]
labels = ["spoiled"]
[ejector.modbus]
host = "io.local"
coil = 3
[journal]
max_mb = 100
[[report]]
name = "plant"
[report.mqtt]
host = "broker"
"""
COSTS = b'[ripe]\nACCEPT = 0\nDIVERT = 1\nUNDECIDED = 0.2\n["very unripe"]\nACCEPT = 6\nDIVERT = 0\nUNDECIDED = 0.2\n'
ENCODER = "time_ns,position_mm\n" + "".join(f"{n * 10_000_000},{n * 1.5}\n" for n in range(8))
TICKS = "\ufeffticks,time_ns,frame\n" + "".join(f"{n * 3},{n * 10_000_000},{n}\n" for n in range(8))
PICTURES = 'file,label,fruit,source,box_px\nripe/a.png,ripe,f1,here,1 2 3 4\nb.png,,,,"[5, 6, 7, 8]"\n'
TRUTH = [
    {
        "fruit_id": number,
        "label": "ripe" if number % 2 else "unripe",
        "ripeness": 0.5,
        "position_mm": 100.0 * number,
        "across_mm": 40.0,
        "lane": 0,
        "diameter_mm": 30.0,
        "size_px": [70, 72],
        "first_frame": 10 * number,
        "last_frame": 10 * number + 20,
    }
    for number in range(1, 4)
]
COST = {"ACCEPT": 1.0, "DIVERT": 0.0, "UNDECIDED": 0.25}
MANIFEST = {
    "schema_version": 1,
    "bundle_id": "d57215c9d50fe246",
    "created": "2026-11-24T11:39:45+00:00",
    "result": "PASS",
    "labels": ["unripe", "ripe"],
    "input": {
        **{"size_px": 128, "margin": 0.1, "padding": "edge", "resize": "area-or-linear"},
        **{"layout": "NHWC", "channels": "RGB", "dtype": "uint8"},
    },
    "policy": {"costs": {"unripe": COST, "ripe": {**COST, "ACCEPT": 0.0, "DIVERT": 1.0}}, "origin": "bundle"},
    "view_correlation": 0.77,
    "default_artefact": "tflite-int8",
    "artefacts": [
        {
            **{"name": "tflite-int8", "file": "tflite-int8.tflite", "format": "tflite-int8", "bytes": 646312},
            "engines": {
                "ai-edge-litert": {
                    "temperature": 1.27,
                    "parity": "PASS",
                    "golden": {"kind": "quantized", "clear_margin": 0.3, "median_logit_difference": 0.5},
                }
            },
        },
        {
            **{"name": "onnx-fp32", "file": "onnx-fp32.onnx", "format": "onnx-fp32", "bytes": 1604248},
            "engines": {
                "onnxruntime": {
                    "temperature": 1.29,
                    "parity": "PASS",
                    "golden": {"kind": "float", "max_logit_difference": 0.001},
                }
            },
        },
    ],
    "provenance": {"run": "run"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("fuzz")
    (made / "ripe").mkdir()
    (made / "ripe" / "a.png").write_bytes(b"picture")
    (made / "b.png").write_bytes(b"picture")
    return made


@contextlib.contextmanager
def harmless() -> Iterator[None]:
    with no_hang(), contextlib.suppress(RipelineError):
        yield


def test_the_originals_are_right(folder: Path) -> None:
    """Else the fuzzing would end at the first key."""
    for name, data in (
        ("line.toml", LINE),
        ("costs.toml", COSTS),
        ("t.csv", TICKS.encode()),
        ("e.csv", ENCODER.encode()),
    ):
        (folder / name).write_bytes(data)
    (folder / "manifest.csv").write_text(PICTURES)
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))
    assert load_line_config(folder / "line.toml").ejector
    assert len(load_costs(folder / "costs.toml")) == 2
    assert CsvEncoder(folder / "e.csv").position_mm(15_000_000) == 2.25
    assert CsvEncoder(folder / "t.csv").position_mm(15_000_000) == 4.5
    assert len(read_manifest(folder) or {}) == 2
    assert read_bundle_manifest(folder).labels
    assert scored(folder, json_lines(TRUTH))["counting"]["found"]["n"] == 3


@given(data=damaged_json(MANIFEST))
@example(data=b"[" * 100_000)
@fuzzed
def test_the_manifest_of_a_bundle(folder: Path, data: bytes) -> None:
    (folder / "manifest.json").write_bytes(data)
    with harmless():
        manifest = read_bundle_manifest(folder)
        manifest.policy.table(manifest.labels)


@given(data=damaged(LINE))
@example(data=b"x = " + b"[" * 5000 + b"]" * 5000)
@example(data=b"[" + b"a." * 5000 + b"b]")
@example(data=b"[belt]\nlanes = " + b"9" * 5000)
@fuzzed
def test_line_toml(folder: Path, data: bytes) -> None:
    (folder / "line.toml").write_bytes(data)
    with harmless():
        load_line_config(folder / "line.toml").model_dump_json()


@given(data=damaged(COSTS))
@fuzzed
def test_costs_toml(folder: Path, data: bytes) -> None:
    (folder / "costs.toml").write_bytes(data)
    with harmless():
        load_costs(folder / "costs.toml")


@given(data=damaged(ENCODER.encode(), TICKS.encode()), at_ns=st.integers(-(2**63), 2**63 - 1))
@example(data=b"time_ns,position_mm\n0,-1e308\n10,1e308\n", at_ns=5)
@example(data=b"time_ns,position_mm\n%d,0\n%d,1\n" % (-(2**62), 2**62), at_ns=5)
@fuzzed
@pytest.mark.filterwarnings("error")
def test_encoder_files(folder: Path, data: bytes, at_ns: int) -> None:
    (folder / "encoder.csv").write_bytes(data)
    with harmless():
        encoder = CsvEncoder(folder / "encoder.csv")
        for moment in (at_ns, at_ns % 80_000_000):
            found = encoder.position_mm(moment)
            assert found is None or np.isfinite(found)


@given(data=damaged(PICTURES.encode()))
@example(data=b"file,label\n" + b"[" * 3000 + b",ripe\n")
@example(data=b"file,label,file\nripe/a.png,ripe\n")
@fuzzed
def test_the_manifest_of_pictures(folder: Path, data: bytes) -> None:
    (folder / "manifest.csv").write_bytes(data)
    with harmless():
        for file, row in (read_manifest(folder) or {}).items():
            parse_box(row.get("box_px"), file)


def json_lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def after_a_good_row(row: bytes) -> bytes:
    return json_lines(TRUTH[:1]) + row + b"\n"


@given(data=st.one_of(damaged_json(TRUTH[1]).map(after_a_good_row), damaged(json_lines(TRUTH))))
@example(data=after_a_good_row(json.dumps(TRUTH[1] | {"size_px": None}).encode()))
@example(data=after_a_good_row(b""))
@example(data=b"{}")
@example(data=b"[1]")
@fuzzed
def test_truth_files(folder: Path, data: bytes) -> None:
    with harmless():
        scored(folder, data)


def scored(folder: Path, truth: bytes) -> dict[str, Any]:
    (folder / "decisions.jsonl").write_text(DECISIONS)
    (folder / "truth.jsonl").write_bytes(truth)
    evidence = read_evidence(folder, folder / "truth.jsonl")
    matched = match(evidence)
    return score(evidence, matched, strokes(evidence, matched), accepted=["ripe"])


@given(data=damaged(*(RUN.record(decision(number), NOW).document.encode() + b"\n" for number in (1, 2))))
@fuzzed
def test_the_spool(folder: Path, data: bytes) -> None:
    (folder / "spool").mkdir(exist_ok=True)
    (folder / "spool" / "run.00000000.jsonl").write_bytes(data)
    with harmless():
        reader = SpoolReader(folder / "spool")
        batch = reader.read()
        with Journal(folder / "of_spool.db") as journal:
            journal.append(batch.records)
        reader.forget(batch)


_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def journal(folder: Path) -> bytes:
    with Journal(folder / "good.db") as made:
        made.append([RUN.record(decision(number), NOW) for number in range(8)])
        made.acknowledge("plant", RUN.record(decision(3), NOW).key)
    return (folder / "good.db").read_bytes()


@given(edits=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=60)), min_size=1, max_size=4))
@example(edits=[(0.33978710935373596, b"\x00\x00")])
@fuzzed
def test_the_journal(folder: Path, journal: bytes, edits: list[tuple[float, bytes]]) -> None:
    data = bytearray(journal)
    for place, piece in edits:
        at = int(place * len(data))
        data[at : at + len(piece)] = piece
    file = folder / f"{next(_NUMBERS)}.db"
    file.write_bytes(data)
    try:
        with harmless(), Journal(file) as opened:
            for record in opened.after("plant", 100):
                with contextlib.suppress(ValueError, RecursionError):  # what the spool counts as unreadable
                    Record.from_document(record.document)
            opened.append([RUN.record(decision(100), NOW)])
            opened.waiting("plant")
            opened.acknowledge("plant", RUN.record(decision(100), NOW).key)
            opened.prune(["plant"], before=NOW.isoformat(), max_bytes=0)
    finally:
        for part in folder.glob(f"{file.name}*"):
            part.unlink()


def encoded(suffix: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 20, 4 if suffix == ".png" else 3), dtype=np.uint8)
    return bytes(cv2.imencode(suffix, pixels)[1])


def promising_too_much() -> bytes:
    """A PNG whose header says 100,000 x 100,000 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    parts = [header, b"IDAT" + zlib.compress(b"x"), b"IEND"]
    chunks = (struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@given(data=damaged(*map(encoded, (".jpg", ".png", ".bmp", ".webp", ".tif"))))
@example(data=promising_too_much())
@fuzzed
def test_pictures(folder: Path, data: bytes) -> None:
    (folder / "picture.jpg").write_bytes(data)
    for read in (read_image, read_picture):
        with harmless():
            image = read(folder / "picture.jpg")
            assert (image.dtype, image.ndim, image.shape[2]) == (np.uint8, 3, 3)
    with harmless():
        is_readable(data)
