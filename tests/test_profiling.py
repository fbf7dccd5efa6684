"""Profiles: what is measured and kept, and when it is measured again, whatever the times themselves are."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_networks import ladder as tiny_ladder

from actors import profiling
from actors.profiling import profile_ladder
from scheduler.profile import Profile

SAMPLE_MS = st.floats(0.01, 100)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GEARSHIFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "profiles"


@pytest.fixture
def ladder(tmp_path: Path) -> profiling.Ladder:
    artifacts = tiny_ladder(tmp_path)
    return [(artifacts["small"], 0.6, "measured"), (artifacts["large"], None, "unknown")]


class Measured:
    """Profiles a ladder and counts the samples that it took."""

    def __init__(self, ladder: profiling.Ladder) -> None:
        self.ladder = ladder
        self.counts: list[tuple[int, int]] = []

    def profile(self, cores: tuple[int, ...] = (1,), **how: bool) -> Profile:
        self.counts.clear()
        cpus = sorted(os.sched_getaffinity(0))
        return profile_ladder(
            "tiny",
            self.ladder,
            {number: tuple(cpus[:number]) for number in cores},
            on_sample=lambda done, total: self.counts.append((done, total)),
            **how,
        )


def test_every_rung_is_measured_on_every_number_of_cores(cache, ladder):
    measured = Measured(ladder)
    cores = tuple(range(1, min(2, len(os.sched_getaffinity(0))) + 1))
    before = os.sched_getaffinity(0)
    profile = measured.profile(cores)
    assert os.sched_getaffinity(0) == before
    assert (profile.supernet, profile.machine) == ("tiny", profiling.machine_name())
    assert [(rung.subnet, rung.accuracy, rung.accuracy_source) for rung in profile.rungs] == [
        ("small", 0.6, "measured"),
        ("large", None, "unknown"),
    ]
    for rung in profile.rungs:
        assert [(time.kind, time.cores) for time in rung.times] == [("cpu", number) for number in cores]
        for time in rung.times:
            assert time.samples_ms
            assert list(time.samples_ms) == sorted(time.samples_ms)
            assert time.samples_ms[0] > 0


def test_progress_is_counted_to_its_end(cache, ladder):
    measured = Measured(ladder)
    measured.profile()
    done = [count for count, _ in measured.counts]
    (total,) = {total for _, total in measured.counts}
    assert done[0] == 1
    assert done == sorted(done)
    assert done[-1] == total


def test_an_interrupt_ends_a_measurement(cache, ladder, monkeypatch):
    monkeypatch.setattr(profiling, "_SAMPLES", 50_000)
    monkeypatch.setattr(profiling, "_ROUNDS_AT_MOST", 50_000)
    measured = Measured(ladder)

    class Interrupting(list):
        def append(self, count: tuple[int, int]) -> None:
            super().append(count)
            if len(self) == 10:
                os.kill(os.getpid(), signal.SIGINT)

    measured.counts = Interrupting()
    with pytest.raises(KeyboardInterrupt):
        measured.profile()
    assert 10 <= len(measured.counts) < 100_000
    assert not cache.exists()


def test_a_profile_is_measured_once(cache, ladder):
    measured = Measured(ladder)
    first = measured.profile()
    assert measured.counts
    assert measured.profile() == first
    assert not measured.counts
    measured.profile(fresh=True)
    assert measured.counts
    assert not [path for path in cache.iterdir() if path.suffix != ".json"]


def test_accuracies_are_the_ladder_s_not_the_cache_s(cache, ladder):
    Measured(ladder).profile()
    again = Measured([(artifact, 0.9, "published") for artifact, _, _ in ladder])
    profile = again.profile()
    assert not again.counts
    assert {(rung.accuracy, rung.accuracy_source) for rung in profile.rungs} == {(0.9, "published")}


def test_other_weights_and_another_order_are_other_profiles(cache, ladder):
    Measured(ladder).profile()
    (artifact, accuracy, source), *rest = ladder
    for other in ([(replace(artifact, weights_hash="other"), accuracy, source), *rest], ladder[::-1], ladder[:1]):
        measured = Measured(other)
        measured.profile()
        assert measured.counts


def _without_a_rung(stored: dict) -> dict:
    return {**stored, "rungs": stored["rungs"][:1]}


def _without_samples(stored: dict) -> dict:
    stored["rungs"][0]["times"][0]["samples_ms"] = []
    return stored


def _of_another_schema(stored: dict) -> dict:
    return {**stored, "schema_version": 99}


@pytest.mark.parametrize("spoil", [_without_a_rung, _without_samples, _of_another_schema])
def test_a_stored_profile_of_another_shape_is_measured_anew(cache, ladder, spoil):
    measured = Measured(ladder)
    measured.profile()
    (path,) = cache.iterdir()
    path.write_text(json.dumps(spoil(json.loads(path.read_text()))))
    assert len(measured.profile().rungs) == 2
    assert measured.counts
    measured.profile()
    assert not measured.counts


@pytest.mark.parametrize("content", [b"", b"{", b"\x93NUMPY\xff\x00", b"[]", b'{"supernet": "tiny"}'])
def test_a_corrupt_file_is_measured_anew(cache, ladder, content):
    measured = Measured(ladder)
    measured.profile()
    (path,) = cache.iterdir()
    path.write_bytes(content)
    measured.profile()
    assert measured.counts


@given(st.lists(SAMPLE_MS, max_size=60), st.lists(SAMPLE_MS, max_size=60))
def test_what_is_kept_is_undisturbed_and_all_is_counted(calm, taken_away):
    if not calm and not taken_away:
        return
    kept, disturbed = profiling._kept(calm, taken_away)
    assert kept == sorted(kept)
    assert len(kept) + disturbed == len(calm) + len(taken_away)
    # A machine that is never calm still gives its fastest; else nothing counts during which the core was taken away.
    allowed = calm if len(calm) >= 20 else calm + taken_away
    assert set(kept) <= {round(ms, 4) for ms in allowed}
    assert kept[0] == round(min(allowed), 4)


def test_a_stall_is_not_kept():
    kept, disturbed = profiling._kept([1.0] * 95 + [1.3] * 3 + [50.0] * 2, [9.0])
    assert (kept, disturbed) == ([1.0] * 95 + [1.3] * 3, 3)
