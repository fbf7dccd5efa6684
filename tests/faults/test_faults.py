"""A sample of faults in every subject holds, and the harness notices a product that is changed for the worse."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.agent.devices.journal import Journal
from actors.ledger.referee import Referee
from actors.requests.records import RECORD, RecordWriter
from faults import knobs, ledger, managing, results
from faults.__main__ import SHARES
from faults.campaign import campaign, inject
from faults.points import Points, Subject, kind
from faults.system import left_open, under_faults
from scheduler.transition import Transition

FAULTS = 150
MOST_OF_A_MUTANT = 150


@pytest.mark.parametrize("subject", SHARES, ids=lambda subject: subject.name)
def test_a_sample_of_faults_holds(subject: Subject) -> None:
    done = list(campaign(subject, round(FAULTS * SHARES[subject]), seed=0))
    assert [f"{one.case}: {one.broken}" for one in done if one.broken is not None] == []
    assert sum(one.fired for one in done) == round(FAULTS * SHARES[subject])


def test_a_fault_is_the_same_each_time() -> None:
    for subject in (ledger.SUBJECT, managing.SUBJECT):
        first, again = (inject(subject, subject.kinds[0], 0, 3) for _ in range(2))
        assert first == again


# ---------------------------------------------------------------- the harness


def test_the_nth_call_below_the_directory_fails_and_no_other(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    with under_faults(Points(kind("EIO", "write"), 2), inside):
        for directory in (outside, inside):
            (directory / "first").write_text("1")
        (outside / "second").write_text("2")
        with pytest.raises(OSError, match="Input/output error"):
            (inside / "second").write_text("2")
        (inside / "third").write_text("3")
    assert (inside / "first").read_text() + (outside / "second").read_text() + (inside / "third").read_text() == "123"
    # What "second" holds is Python's affair: a buffer that could not be written may be written again at its end.
    assert left_open(tmp_path) == []


def test_what_a_dead_process_has_in_its_buffers_is_lost(tmp_path: Path) -> None:
    points = Points(kind("killed", "rename"), 1)
    with under_faults(points, tmp_path), contextlib.suppress(BaseException), (tmp_path / "log").open("w") as log:
        log.write("never flushed")
        os.rename(tmp_path / "log", tmp_path / "new")
    assert points.fired
    assert (tmp_path / "log").read_text() == ""


# ---------------------------------------------------------------- changes for the worse


@contextlib.contextmanager
def in_place(path: Path) -> Iterator[Path]:
    """Write a file under its own name from the start."""
    yield path


def without_a_look_at_lengths(self: Any, record: tuple[float, ...]) -> None:
    """Take a record that was written in part for a whole one."""
    if self._file is not None:
        with contextlib.suppress(OSError):
            os.write(self._file, np.array(record, dtype=RECORD).tobytes())


MUTANTS: dict[str, tuple[Subject, Any, str, Callable[..., Any]]] = {
    "results are written in place": (results.SUBJECT, "workloads.results.stored_requests", "whole", in_place),
    "records that are cut short count": (results.SUBJECT, RecordWriter, "write", without_a_look_at_lengths),
    "the dead keep their cores": (ledger.SUBJECT, Referee, "_void", lambda *_: None),
    "the journal does not say what is set": (knobs.SUBJECT, Journal, "_record", lambda *_: None),
    "nobody waits for cores that others leave": (managing.SUBJECT, Transition, "_blockers", lambda *_: set()),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_change_for_the_worse_is_noticed(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    subject, where, name, change = MUTANTS[mutant]
    if isinstance(where, str):
        monkeypatch.setattr(f"{where}.{name}", change)
    else:
        monkeypatch.setattr(where, name, change)
    assert any(one.broken is not None for one in campaign(subject, MOST_OF_A_MUTANT, seed=0))


def test_threads_that_take_turns_do_so_in_the_same_order_each_time() -> None:
    from faults.turns import Turns

    def order(seed: int) -> list[int]:
        found: list[int] = []
        turns = Turns(random.Random(seed), lambda: None)

        def work(number: int) -> None:
            for _ in range(5):
                found.append(number)
                turns.pause()

        for number in range(3):
            turns.add(lambda number=number: work(number))
        turns.run()
        return found

    assert order(1) == order(1)
    assert order(1) != order(2)
