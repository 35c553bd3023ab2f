from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.decision_record import Record, RunIdentity
from edge_runtime.journaling.journal import Journal
from edge_runtime.journaling.journal_trouble import JournalError, Trouble, set_aside
from edge_runtime.journaling.recorder import Recorder
from edge_runtime.journaling.spool import SpoolReader, SpoolWriter
from edge_runtime.settings.record_settings import JournalSettings
from tests.decisions import decision
from tests.disks import small_disk

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def records(run: RunIdentity, numbers: Sequence[int], when: datetime = NOW) -> list[Record]:
    return [run.record(decision(number), when) for number in numbers]


def numbers_in(file: Path) -> list[int]:
    with Journal(file) as journal:
        return [one.key.fruit_id for one in journal.after("nobody", 100_000)]


@pytest.fixture
def run() -> RunIdentity:
    return RunIdentity.new("north")


def test_a_record_comes_back_as_it_was(tmp_path: Path, run: RunIdentity) -> None:
    record = run.record(decision(7), NOW)
    with Journal(tmp_path / "journal.db") as journal:
        journal.append([record])
    with Journal(tmp_path / "journal.db") as journal:
        assert journal.after("plant", 10) == [record]
    fields = json.loads(record.document)
    assert (fields["line"], fields["run_id"], fields["fruit_id"]) == ("north", run.run_id, 7)
    assert fields["decided_at"] == "2026-05-01T12:00:00.000+00:00"
    assert fields["verdict"] == "ACCEPT"


def test_the_disk_holds_what_append_returned_from(tmp_path: Path, run: RunIdentity) -> None:
    file = tmp_path / "journal.db"
    with Journal(file) as journal:
        journal.append(records(run, [1]))
        database = sqlite3.connect(file)
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        database.close()
        assert journal._database.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_what_comes_twice_is_one_record(tmp_path: Path, run: RunIdentity) -> None:
    again = RunIdentity(run.line, run.run_id + "x", run.boot_id)
    with Journal(tmp_path / "journal.db") as journal:
        journal.append(records(run, [1, 2]))
        journal.append(records(run, [2, 3]))
        journal.append(records(again, [2]))
        assert [(one.key.run_id == run.run_id, one.key.fruit_id) for one in journal.after("plant", 10)] == [
            (True, 1),
            (True, 2),
            (True, 3),
            (False, 2),
        ]


def test_each_reporter_reads_on_from_what_it_acknowledged(tmp_path: Path, run: RunIdentity) -> None:
    kept = records(run, range(1, 6))
    with Journal(tmp_path / "journal.db") as journal:
        journal.append(kept)
        journal.acknowledge("plant", kept[2].key)
        assert journal.waiting("plant") == (2, kept[3].decided_at)
        assert journal.waiting("office") == (5, kept[0].decided_at)
        journal.acknowledge("plant", kept[1].key)  # late word of an earlier one takes nothing back
        assert [one.key.fruit_id for one in journal.after("plant", 10)] == [4, 5]
        assert [one.key.fruit_id for one in journal.after("office", 2)] == [1, 2]
        journal.acknowledge("plant", kept[4].key)
        assert journal.waiting("plant") == (0, None)


def test_a_key_that_the_journal_does_not_know_acknowledges_nothing(tmp_path: Path, run: RunIdentity) -> None:
    with Journal(tmp_path / "journal.db") as journal:
        journal.append(records(run, [1]))
        journal.acknowledge("plant", records(run, [9])[0].key)
        assert len(journal.after("plant", 10)) == 1


@given(
    st.lists(
        st.one_of(
            st.lists(st.integers(1, 30), max_size=8),
            st.tuples(st.sampled_from(["plant", "office"]), st.integers(0, 5)),
        ),
        max_size=15,
    )
)
@settings(deadline=None, max_examples=15)
def test_whatever_happens_in_whichever_order_each_receiver_gets_each_record_once(
    tmp_path_factory: pytest.TempPathFactory, steps: list[list[int] | tuple[str, int]]
) -> None:
    run = RunIdentity("north", "run", "boot")
    file = tmp_path_factory.mktemp("journal") / "journal.db"
    written: list[int] = []
    got: dict[str, list[int]] = {"plant": [], "office": []}
    with Journal(file) as journal:
        for step in [*steps, ("plant", 100), ("office", 100)]:
            if isinstance(step, list):
                journal.append(records(run, step))
                written += [number for number in dict.fromkeys(step) if number not in written]
            else:
                batch = journal.after(step[0], step[1])
                got[step[0]] += [one.key.fruit_id for one in batch]
                if batch:
                    journal.acknowledge(step[0], batch[-1].key)
    assert got == {"plant": written, "office": written}


def test_old_records_go_once_everybody_has_them(tmp_path: Path, run: RunIdentity) -> None:
    old, new = records(run, [1, 2, 3], NOW - timedelta(days=40)), records(run, [4])
    before = (NOW - timedelta(days=30)).isoformat(timespec="milliseconds")
    with Journal(tmp_path / "journal.db") as journal:
        journal.append([*old, *new])
        assert journal.prune(["plant", "office"], before=before, max_bytes=1e9).delivered == 0
        journal.acknowledge("plant", new[0].key)
        journal.acknowledge("office", old[1].key)
        pruned = journal.prune(["plant", "office"], before=before, max_bytes=1e9)
        assert (pruned.delivered, pruned.undelivered) == (2, 0)
        assert [one.key.fruit_id for one in journal.after("third", 10)] == [3, 4]


def test_a_receiver_that_is_not_configured_any_more_holds_nothing_back(tmp_path: Path, run: RunIdentity) -> None:
    old = records(run, [1, 2], NOW - timedelta(days=40))
    with Journal(tmp_path / "journal.db") as journal:
        journal.append(old)
        journal.acknowledge("gone", old[0].key)
        journal.acknowledge("plant", old[1].key)
        assert journal.prune(["plant"], before=NOW.isoformat(timespec="milliseconds"), max_bytes=1e9).delivered == 2


def test_what_nobody_acknowledged_goes_last_and_is_counted(tmp_path: Path, run: RunIdentity) -> None:
    kept = records(run, range(1, 3001))
    with Journal(tmp_path / "journal.db") as journal:
        journal.append(kept)
        journal.acknowledge("plant", kept[999].key)
        limit = journal.used_bytes() / 2
        before = (NOW - timedelta(days=30)).isoformat(timespec="milliseconds")
        pruned = [journal.prune(["plant"], before=before, max_bytes=limit, at_most=500) for _ in range(8)]
        assert sum(one.delivered for one in pruned) == 1000
        lost = sum(one.undelivered for one in pruned)
        assert journal.used_bytes() <= limit
        assert 400 <= lost <= 1000
        assert journal.after("plant", 1)[0].key.fruit_id == 1001 + lost
        assert sum(journal.prune(["plant"], before=before, max_bytes=limit).__getstate__()) == 0


def test_files_that_are_no_journal_are_called_broken(tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("not a database\n" * 400)
    other = tmp_path / "other.db"
    database = sqlite3.connect(other)
    database.execute("CREATE TABLE something (x)")
    database.commit()
    database.close()
    for file in (text, other):
        with pytest.raises(JournalError) as failed:
            Journal(file)
        assert failed.value.trouble is Trouble.BROKEN
        assert str(file) in failed.value.what


def test_a_broken_journal_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "journal.db"
    file.write_bytes(b"damaged")
    (tmp_path / "journal.db-wal").write_bytes(b"its log")
    kept = set_aside(file, NOW)
    assert kept.read_bytes() == b"damaged"
    assert kept.with_name(kept.name + "-wal").read_bytes() == b"its log"
    assert not file.exists()


# The spool.


def test_a_line_outlives_the_process_that_wrote_it(tmp_path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from edge_runtime.decision_record import RunIdentity
from edge_runtime.journaling.spool import SpoolWriter
from tests.decisions import decision
writer = SpoolWriter(Path({str(tmp_path / "spool")!r}), RunIdentity.new("north"))
for number in range(1200):
    writer.append(decision(number))
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == -signal.SIGKILL
    recorder = Recorder(tmp_path / "spool", tmp_path / "journal.db", JournalSettings(), [])
    while recorder.work():
        pass
    recorder.close()
    assert numbers_in(tmp_path / "journal.db") == list(range(1200))
    assert list((tmp_path / "spool").glob("*.jsonl")) == []


def test_a_reader_that_is_killed_before_it_forgets_gives_all_out_again(tmp_path: Path, run: RunIdentity) -> None:
    writer = SpoolWriter(tmp_path, run)
    for number in range(700):
        writer.append(decision(number))
    first = SpoolReader(tmp_path)
    batch = first.read()
    assert len(batch.records) == 700
    assert SpoolReader(tmp_path).read() == batch
    first.forget(batch)
    assert first.read().records == ()
    writer.append(decision(700))
    assert [one.key.fruit_id for one in first.read().records] == [700]
    # A segment is removed once it is read and complete; the one that is written to stays.
    assert len(list(tmp_path.glob("*.jsonl"))) == 1
    assert first.waiting_bytes() > 0


def test_what_the_writer_adds_between_reading_and_forgetting_is_not_lost(tmp_path: Path, run: RunIdentity) -> None:
    writer = SpoolWriter(tmp_path, run)
    writer.append(decision(1))
    reader = SpoolReader(tmp_path)
    batch = reader.read()
    writer.append(decision(2))
    writer.close()
    reader.forget(batch)
    batch = reader.read()
    assert [one.key.fruit_id for one in batch.records] == [2]
    reader.forget(batch)
    assert list(tmp_path.glob("*.jsonl")) == []


def test_a_torn_line_and_nonsense_are_skipped_and_counted(tmp_path: Path, run: RunIdentity) -> None:
    good = run.record(decision(1), NOW).document.encode()
    (tmp_path / "x.00000000.jsonl").write_bytes(b"\xff\n[1]\n{}\n" + good + b"\n" + good[:40])
    reader = SpoolReader(tmp_path)
    batch = reader.read()
    assert ([one.key.fruit_id for one in batch.records], batch.unreadable) == ([1], 3)
    reader.forget(batch)
    assert list(tmp_path.glob("*.jsonl")) == []


def test_a_spool_that_nobody_empties_stops_growing_and_counts(tmp_path: Path, run: RunIdentity) -> None:
    writer = SpoolWriter(tmp_path, run, max_bytes=100_000)
    for number in range(2000):
        writer.append(decision(number))
    kept = len(SpoolReader(tmp_path).read(10_000).records)
    assert writer.lost == 2000 - kept
    assert kept < 1001
    assert sum(file.stat().st_size for file in tmp_path.glob("*.jsonl")) < 500_000


# What disks do.


def work_until_idle(recorder: Recorder) -> None:
    while recorder.work():
        pass


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_runtime.journaling.recorder._RETRY_S", 0.0)


@pytest.mark.usefixtures("impatient")
def test_a_full_disk_loses_nothing(tmp_path: Path, run: RunIdentity) -> None:
    with small_disk(tmp_path / "disk", 2048) as disk:
        ballast = disk / "ballast"
        writer = SpoolWriter(tmp_path / "spool", run)
        recorder = Recorder(tmp_path / "spool", disk / "journal.db", JournalSettings(keep_free_mb=0), [])
        writer.append(decision(1))
        work_until_idle(recorder)
        with pytest.raises(OSError, match="No space"):
            ballast.write_bytes(bytes(2_048_000))
        for number in range(2, 400):
            writer.append(decision(number))
        work_until_idle(recorder)
        assert recorder.facts().trouble == Trouble.FULL
        assert recorder.facts().waiting_bytes > 100_000
        ballast.unlink()
        work_until_idle(recorder)
        assert recorder.facts().trouble is None
        assert recorder.facts().waiting_bytes == 0
        recorder.close()
        assert numbers_in(disk / "journal.db") == list(range(1, 400))
    assert writer.lost == 0


@pytest.mark.usefixtures("impatient")
def test_a_journal_makes_room_on_a_disk_that_others_fill(tmp_path: Path, run: RunIdentity) -> None:
    with small_disk(tmp_path / "disk", 9000) as disk:
        writer = SpoolWriter(tmp_path / "spool", run)
        recorder = Recorder(tmp_path / "spool", disk / "journal.db", JournalSettings(keep_free_mb=2), [])
        for number in range(2000):
            writer.append(decision(number))
        work_until_idle(recorder)
        (disk / "ballast").write_bytes(bytes(shutil.disk_usage(disk).free - 1_500_000))
        for number in range(2000, 2300):
            writer.append(decision(number))
        for _ in range(20):
            recorder._prune_at = 0.0
            work_until_idle(recorder)
            recorder.work()
        assert recorder.facts().trouble is None
        assert recorder.facts().waiting_bytes == 0
        assert shutil.disk_usage(disk).free > 1_900_000
        recorder.close()
        kept = numbers_in(disk / "journal.db")
        assert kept[-1] == 2299
        assert kept == list(range(kept[0], 2300))
        assert kept[0] > 0


@pytest.mark.usefixtures("impatient")
def test_a_disk_that_turns_read_only_loses_nothing(tmp_path: Path, run: RunIdentity) -> None:
    with small_disk(tmp_path / "disk", 4096) as disk:
        writer = SpoolWriter(tmp_path / "spool", run)
        recorder = Recorder(tmp_path / "spool", disk / "journal.db", JournalSettings(keep_free_mb=0), [])
        writer.append(decision(1))
        work_until_idle(recorder)
        recorder.close()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        writer.append(decision(2))
        work_until_idle(recorder)
        assert recorder.facts().trouble == Trouble.READ_ONLY
        assert "cannot be written" in recorder.facts().detail
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        work_until_idle(recorder)
        assert recorder.facts().trouble is None
        recorder.close()
        assert numbers_in(disk / "journal.db") == [1, 2]


@pytest.mark.usefixtures("impatient")
def test_a_limit_on_the_files_size_is_a_trouble_too(tmp_path: Path, run: RunIdentity) -> None:
    writer = SpoolWriter(tmp_path / "spool", run)
    recorder = Recorder(tmp_path / "spool", tmp_path / "journal.db", JournalSettings(keep_free_mb=0), [])
    writer.append(decision(1))
    work_until_idle(recorder)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    for number in range(2, 600):
        writer.append(decision(number))
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, before[1]))
        work_until_idle(recorder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert recorder.facts().trouble is not None
    work_until_idle(recorder)
    recorder.close()
    assert numbers_in(tmp_path / "journal.db") == list(range(1, 600))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("damage", ["head", "middle", "emptied", "text"])
def test_a_damaged_journal_is_set_aside_and_records_go_on(tmp_path: Path, run: RunIdentity, damage: str) -> None:
    file = tmp_path / "journal.db"
    writer = SpoolWriter(tmp_path / "spool", run)
    recorder = Recorder(tmp_path / "spool", file, JournalSettings(keep_free_mb=0), [])
    for number in range(1, 400):
        writer.append(decision(number))
    work_until_idle(recorder)
    recorder.close()
    content = bytearray(file.read_bytes())
    match damage:
        case "head":
            content[:100] = os.urandom(100)
        case "middle":
            content[4096:] = b"\xa5" * (len(content) - 4096)
        case "emptied":
            del content[5000:]
        case "text":
            content = bytearray(b"hello\n" * 1000)
    file.write_bytes(content)
    for number in range(400, 410):
        writer.append(decision(number))
    for _ in range(3):
        work_until_idle(recorder)
    facts = recorder.facts()
    recorder.close()
    assert facts.trouble is None
    assert len(facts.set_aside) == 1
    assert Path(facts.set_aside[0]).read_bytes()[100:5000] == bytes(content[100:5000])
    assert numbers_in(file) == list(range(400, 410))


def test_a_disk_that_is_nearly_full_costs_acknowledged_records_alone(tmp_path: Path, run: RunIdentity) -> None:
    free_mb = shutil.disk_usage(tmp_path).free / 1e6
    settings = JournalSettings(keep_free_mb=free_mb + 1000)
    recorder = Recorder(tmp_path / "spool", tmp_path / "journal.db", settings, ["plant"])
    writer = SpoolWriter(tmp_path / "spool", run)
    for number in range(300):
        writer.append(decision(number))
    for acknowledged in (None, 99):
        if acknowledged is not None:
            with Journal(tmp_path / "journal.db") as journal:
                journal.acknowledge("plant", records(run, [acknowledged])[0].key)
        for _ in range(5):
            recorder._prune_at = 0.0
            recorder.work()
    recorder.close()
    assert recorder.facts().pruned_undelivered == 0
    assert numbers_in(tmp_path / "journal.db") == list(range(100, 300))


def test_segments_that_vanish_while_they_are_counted_cost_no_decision(tmp_path: Path, run: RunIdentity) -> None:
    writer = SpoolWriter(tmp_path, run)
    (tmp_path / "gone.jsonl").symlink_to(tmp_path / "nowhere")  # listed, and not there when it is asked for its size
    writer.append(decision(1))
    assert writer.lost == 0


@given(st.binary(max_size=400), st.integers(0, 20_000))
@settings(deadline=None, max_examples=25)
def test_no_damage_gives_anything_but_a_journal_error(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes, place: int
) -> None:
    run = RunIdentity("north", "run", "boot")
    file = tmp_path_factory.mktemp("journal") / "journal.db"
    with Journal(file) as journal:
        journal.append(records(run, range(20)))
    content = bytearray(file.read_bytes())
    content[place : place + len(junk)] = junk
    file.write_bytes(content)
    with contextlib.suppress(JournalError), Journal(file) as journal:
        journal.append(records(run, range(20, 40)))
        for record in journal.after("plant", 100):
            assert isinstance(record.document, str)
        journal.acknowledge("plant", records(run, [30])[0].key)
        journal.prune(["plant"], before="2030", max_bytes=0)


def test_a_new_journal_that_several_open_at_once_is_there_for_all(tmp_path: Path) -> None:
    """As the reporter's threads do at a first start; SQLite refuses some of them at once, whatever its timeout."""
    refused = []
    for number in range(200):
        file, together = tmp_path / f"{number}.db", threading.Barrier(4)

        def open_it(file: Path = file, together: threading.Barrier = together) -> None:
            together.wait()
            try:
                Journal(file).close()
            except JournalError as error:
                refused.append(str(error))

        threads = [threading.Thread(target=open_it) for _ in range(4)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    assert refused == []
