"""The user's code never runs while cores are held, and what it does wrong is counted and told."""

from __future__ import annotations

import numpy as np
import pytest

from actors.requests.records import Status
from actors.worker.results import RequestFailedError
from actors.worker.tally import MOST_FAULTS
from helpers.tiny_networks import Numbers
from helpers.worker_rig import LARGE, LITTLE, SMALL


class Watching(Numbers):
    """A source that calls back at each of its calls, with a word for which it is."""

    def __init__(self, called, broken=()):
        super().__init__(broken=broken)
        self.called = called

    def inputs(self, artifact):
        of = super().inputs(artifact)

        def called(index):
            self.called("input", index)
            return of(index)

        return called

    def score(self, index, output):
        self.called("score", index)
        return super().score(index, output)

    def adapt(self, picture, artifact):
        self.called("adapt", -1)
        return super().adapt(picture, artifact)


def test_no_cores_are_held_while_the_users_code_runs(rig):
    held = []

    def called(what, index):
        held.append((what, index, one.ledger.holders("big"), one.worker.totals().phase))

    one = rig(
        arrivals_s=[0.1, 0.2],
        source=Watching(called),
        on_result=lambda request, output: called("on_result", request.index),
    )
    one.shift(SMALL)
    one.run_until(0.3)
    one.worker.submit(np.zeros(3))
    one.run_until(1)
    nobody = (None,)
    assert held == [
        *[("input", 0, nobody, "input"), ("score", 0, nobody, "result"), ("on_result", 0, nobody, "result")],
        *[("input", 1, nobody, "input"), ("score", 1, nobody, "result"), ("on_result", 1, nobody, "result")],
        *[("adapt", -1, nobody, "input"), ("on_result", 2, nobody, "result")],
    ]


def test_a_source_that_raises_costs_its_request_before_it_asks_for_cores(rig):
    def called(what, index):
        if what == "input" and index == 1:
            raise RuntimeError("camera <b>gone</b>")
        if what == "adapt":
            raise ValueError("a picture of 3 numbers")

    one = rig(arrivals_s=[0.1, 0.2, 0.3], source=Watching(called))
    one.shift(SMALL)
    one.run_until(0.5)
    future = one.worker.submit(np.zeros(3))
    one.run_until(1)
    assert [status for status in one.statuses().values()] == [
        *[Status.COMPLETED, Status.FAILED, Status.COMPLETED, Status.FAILED]
    ]
    assert np.isnan(one.ends[1]["start_s"])
    assert one.ledger.read("big").busy_s[0] == pytest.approx(0.040)
    with pytest.raises(RequestFailedError, match="a picture of 3 numbers"):
        future.result(0)
    assert [(fault.where, fault.text, fault.first) for fault in one.worker.totals().faults] == [
        ("source", "RuntimeError: camera <b>gone</b>", 1),
        ("input", "ValueError: a picture of 3 numbers", 3),
    ]
    assert one.telemetry().faults == one.worker.status().faults == one.worker.totals().faults


@pytest.mark.parametrize(("gear", "fetches"), [(LITTLE, 1), (LARGE, 2)])
def test_an_input_is_fetched_anew_only_where_the_next_gear_takes_another_shape(rig, gear, fetches):
    calls = []

    def called(what, index):
        calls.append(what)
        if what == "input":
            one.shift(gear, plan=1)

    one = rig(arrivals_s=[0.1], source=Watching(called))
    one.shift(SMALL)
    one.run_until(1)
    assert calls == ["input"] * fetches + ["score"]
    assert one.ends[0]["cores"] == 1


def test_errors_that_never_read_the_same_are_all_counted(rig):
    def called(what, index):
        raise RuntimeError(f"frame {index} is missing" + "!" * 5000)

    count = MOST_FAULTS + 5
    one = rig(arrivals_s=0.01 * np.arange(count), source=Watching(called))
    one.shift(SMALL)
    one.run_until(1)
    faults = one.worker.totals().faults
    assert sum(fault.times for fault in faults) == count
    assert len(faults) == MOST_FAULTS + 1
    assert faults[-1].text == "other errors"
    assert max(len(fault.text) for fault in faults) == 300


def test_the_pulse_stands_still_only_while_something_lasts(rig):
    seen = []

    def called(what, index):
        seen.append(one.worker.totals().beats)

    one = rig(arrivals_s=[0.1, 0.2, 0.3], source=Watching(called))
    one.shift(SMALL)
    one.run_until(1)
    assert seen == sorted(set(seen))
    assert one.worker.totals().phase == "idle"
