"""Counts that are read on the way are those of the summary afterwards."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from actors.requests.records import RECORD, Status, spare_records, table
from scheduler.profile import RungProfile
from workloads.mix.mix import Target
from workloads.results.counts import RecordTail, RequestCounts
from workloads.results.summarize import AppRecords, summarize_app

LADDER = [RungProfile(subnet=name, accuracy=None, accuracy_source="unknown", times=()) for name in ("small", "large")]
TARGET = Target(from_s=0.0, latency_ms=50.0, min_accuracy=0.0, weight=1.0, slo=0.95)
ENDS = st.tuples(
    st.integers(0, 19),
    st.sampled_from([Status.COMPLETED, Status.DROPPED, Status.FAILED]),
    st.floats(0, 0.1),
    st.integers(0, 1),
)


def records_of(arrived: int, ends: list[tuple[int, Status, float, int]]) -> np.ndarray:
    """Return records in the order in which they are written: an end is never before its arrival."""
    written = [(float(index), index, Status.ARRIVED, math.nan, -1) for index in range(arrived)]
    written += [
        (index + took, index, status, index + took, subnet) for index, status, took, subnet in ends if index < arrived
    ]
    return table(
        [
            (index, float(index), math.nan, end_s, 50.0, math.nan, status, math.nan, subnet, 0, 1)
            for _, index, status, end_s, subnet in sorted(written, key=lambda one: one[0])
        ]
    )


@given(arrived=st.integers(0, 20), ends=st.lists(ENDS, max_size=30), cuts=st.lists(st.integers(0, 50), max_size=4))
def test_counts_taken_bit_by_bit_are_those_of_the_summary(arrived, ends, cuts):
    records = records_of(arrived, ends)
    counts = RequestCounts((0.02, 0.05))
    for part in np.split(records, sorted(min(cut, len(records)) for cut in cuts)):
        counts.take(part)
    arrivals_s = np.arange(float(arrived))
    summary = summarize_app(
        AppRecords(arrivals_s=arrivals_s, records=records, targets=[TARGET], ladder=LADDER, gears=[])
    )
    assert counts.arrived == summary.submitted
    assert (counts.completed, counts.dropped, counts.failed) == (summary.completed, summary.dropped, summary.failed)
    assert counts.arrived - counts.ended == summary.in_flight
    assert {LADDER[place].subnet: times for place, times in counts.subnets.items()} == summary.subnets
    assert sum(counts.by_latency) == counts.completed
    assert sum(counts.by_latency[:2]) >= counts.on_time


def test_a_tail_reads_each_record_once_also_those_of_the_spare_file(tmp_path: Path):
    records = records_of(3, [(0, Status.COMPLETED, 0.01, 1), (1, Status.DROPPED, 0.2, 0), (2, Status.FAILED, 0.1, 0)])
    file, raw = tmp_path / "records", records.tobytes()
    tail, counts = RecordTail(file), RequestCounts()
    tail.read_into(counts)
    for end in (1, RECORD.itemsize + 5, len(raw) - 2 * RECORD.itemsize):
        file.write_bytes(raw[:end])
        tail.read_into(counts)
    spare_records(file).write_bytes(raw[-2 * RECORD.itemsize :])
    tail.read_into(counts)
    tail.read_into(counts)
    assert (counts.arrived, counts.completed, counts.dropped, counts.failed) == (3, 1, 1, 1)
