"""The soak's verdict: a process that grows is found among noise and peaks, and one that does not is left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soak.growth import growth
from soak.report import table
from soak.sampling import Figures, Sample, look

HOUR_S = np.arange(600.0, 3600.0, 60.0)
SUMMARY: dict[str, Any] = {
    "apps": {
        "gate": {
            "submitted": 36_000, "completed": 35_990, "dropped": 10, "failed": 0, "in_flight": 0, "on_time": 0.999,
            "switches": 12,
        }
    }
}  # fmt: skip


@settings(max_examples=25)
@given(
    start=st.floats(1, 1000),
    percent=st.floats(-5, 5),
    peaks=st.lists(st.tuples(st.integers(0, 49), st.floats(-0.5, 5)), max_size=3),
)
def test_growth_is_found_whatever_the_peaks(start: float, percent: float, peaks: list[tuple[int, float]]) -> None:
    values = start * (1 + percent / 100 * (HOUR_S - HOUR_S[0]) / (HOUR_S[-1] - HOUR_S[0]))
    for place, height in peaks:
        values[place] += start * height
    found = growth(HOUR_S, values)
    assert found.percent == pytest.approx(percent, abs=0.15 + 0.1 * abs(percent))
    assert found.per_hour == pytest.approx(
        start * percent / 100 * 3600 / (HOUR_S[-1] - HOUR_S[0]), rel=0.25, abs=start / 500
    )


def run(at_s: float, **memory_mb: float) -> Sample:
    processes = {
        name.replace("_", " "): Figures(pid=number, memory_mb=mb, descriptors=50, threads=9, cpu_s=at_s / 20)
        for number, (name, mb) in enumerate(memory_mb.items())
    }
    return Sample(at_s=at_s, processes=processes, sizes_kb={"epochs.msgpack": 8 * at_s})


def test_the_table_names_what_grows() -> None:
    def steady(at_s: float) -> Sample:
        return run(at_s, driver=100 + (at_s < 600), worker=150 + at_s % 3 / 10)

    samples = [steady(at_s) for at_s in np.arange(60.0, 3600.0, 60.0)]
    rows, passed = table(samples, 600.0, SUMMARY)
    assert passed
    assert "| driver | 100.00 → 100.00 | +0.00 % | +0.00 | 50 → 50 | 9 → 9 | 5.0 % | < 1 % |" in rows
    assert "| epochs.msgpack | 4,800 | 28,320 | +8.000 |" in rows
    assert "gate 36,000 requests: 35,990 completed, 10 dropped" in rows
    assert not table(samples, 600.0, None)[1]
    assert table(samples[:5], 600.0, SUMMARY) == ("only 0 samples since the warm-up of 600 s", False)

    grown = [run(at_s, driver=100 + at_s / 1800, worker=150) for at_s in np.arange(60.0, 3600.0, 60.0)]
    rows, passed = table(grown, 600.0, SUMMARY)
    assert not passed
    assert [line.split(" | ")[0] for line in rows.splitlines() if "**grows**" in line] == ["| driver"]


def test_a_process_that_another_took_the_place_of_has_not_passed() -> None:
    early = [run(at_s, driver=100, worker=150) for at_s in np.arange(600.0, 1980.0, 60.0)]
    late = [run(at_s, agent=60, driver=100) for at_s in np.arange(1980.0, 3600.0, 60.0)]  # another number
    rows, passed = table([*early, *late], 600.0, SUMMARY)
    assert not passed
    assert "**replaced**" in rows


def test_this_process_is_seen(tmp_path) -> None:
    import os
    import threading

    (tmp_path / "epochs.msgpack").write_bytes(b"x" * 5000)
    sample = look(os.getpid(), tmp_path, 1.0)
    driver = sample.processes["driver"]
    assert driver.pid == os.getpid()
    assert 1 < driver.memory_mb < 100_000
    assert driver.threads >= threading.active_count()
    assert driver.descriptors > 2
    assert sample.sizes_kb["epochs.msgpack"] >= 5
