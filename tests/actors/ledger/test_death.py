"""A process may die at any store of the ledger, and the ledger stays sound."""

import errno
import fcntl

import pytest

from actors.ledger.ledger import BoardLedger
from actors.ledger.lock import SharedLock
from actors.ledger.processes import ProcessKey, Sight
from helpers.kill_points import Killed
from helpers.mortal_records import MortalRecords
from helpers.small_ledger import BOARD, Request, waits


def dying_at(ledger, store, *, half):
    """Return the same ledger, of a process that dies at that store."""

    def at_store():
        nonlocal store
        store -= 1
        if store == 0 and not half:
            die()
        return store == 0

    mortal = BoardLedger.attach(ledger.path, BOARD, ledger._clock)
    mortal._file.records.close()
    mortal._file.records = MortalRecords(ledger.path / "ledger", at_store, die)
    return mortal


def die():
    raise Killed


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("store", range(1, 5))
def test_a_worker_may_die_while_it_takes_its_cores(ledger, store, half):
    mortal = dying_at(ledger, store, half=half)
    ledger._clock.sleep_until(1.0)
    with pytest.raises(Killed):
        mortal.take(0, "big", [4, 5], 5.0)
    ledger._clock.sleep_until(4.0)
    ledger.reap(0)
    assert set(ledger.read("big").busy_s) <= {0.0, 3.0}  # of the cores that it got or did not get
    ledger._clock.sleep_until(6.0)
    assert set(ledger.read("big").busy_s) <= {0.0, 3.0}
    assert ledger.take(1, "big", [4, 5], 9.0).start_s == 6.0
    mortal.close()


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("store", range(1, 6))
def test_a_worker_may_die_while_it_hands_its_cores_to_another(ledger, store, half):
    mortal = dying_at(ledger, store, half=half)
    ledger._clock.sleep_until(1.0)
    lease = ledger.take(0, "big", [4, 5], 5.0)
    heir = Request(ledger, 1, [4, 5], 6.0)
    ledger._clock.sleep_until(3.0)
    with pytest.raises(Killed):
        mortal.release(lease)
    ledger._clock.sleep_until(4.0)
    ledger.reap(0)
    assert heir.got().start_s == 4.0
    assert set(ledger.read("big").busy_s) <= {2.0, 3.0}  # each core was given up at 3 s, or kept until now
    ledger.release(heir.lease)
    totals = ledger.read("big").busy_s
    ledger._clock.sleep_until(9.0)
    assert ledger.read("big").busy_s == totals
    assert ledger.take(2, "big", [4, 5], 9.0)
    mortal.close()


def test_a_handover_that_a_killed_process_began_is_finished_before_an_earlier_deadline_is_served(ledger):
    mortal = dying_at(ledger, 4, half=False)  # both cores are free and one of them is handed on
    lease = ledger.take(0, "big", [4, 5], 5.0)
    heir = Request(ledger, 1, [4, 5], 6.0)
    with pytest.raises(Killed):
        mortal.release(lease)
    urgent = Request(ledger, 2, [4, 5], 1.0)
    ledger.wake(1)
    assert heir.got()
    assert waits(ledger, 2)
    ledger.release(heir.lease)
    assert urgent.got()
    mortal.close()


@pytest.mark.parametrize("half", [False, True])
def test_the_agent_may_die_while_it_changes_a_clock(ledger, half):
    ledger._clock.sleep_until(2.0)
    before = ledger.read("big")
    mortal = dying_at(ledger, 1, half=half)
    with pytest.raises(Killed):
        mortal.set_unit("big", mhz=2000.0)
    assert ledger.read("big") == before
    mortal.close()


def test_a_lock_that_the_system_refuses_is_not_kept_from_the_other_threads(tmp_path, monkeypatch):
    lock = SharedLock(tmp_path / "lock")

    def refuse(file, operation):
        monkeypatch.undo()
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="No locks available"), lock:
        pass
    assert not lock._threads.locked()
    lock.close()


def test_a_process_that_dies_on_another_unit_than_it_was_seen_on_loses_its_cores_there(ledger):
    nobody = ProcessKey(2.0**23, 1.0)  # more than the kernel's highest number of a process
    ledger._process = nobody
    assert ledger.take(1, "gpu", [], 5.0)
    ledger._referee.judge(0, ledger._unit(0), Sight(ended={1: nobody}, stopped=frozenset(), wall_s=0.0))
    ledger.enforce()
    assert ledger.holders("gpu") == (None,)
