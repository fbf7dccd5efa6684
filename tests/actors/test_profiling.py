"""Profiles are measured once and kept, and measured anew where the kept ones do not fit."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import network_times, profiling
from actors.agent.devices.sysfs import Tree
from actors.network_times import NOISE, examples_of
from actors.profiling import profile_gpu, profile_ladder
from helpers.sized import SizedNumbers
from helpers.tiny_networks import Numbers, with_program
from helpers.tiny_networks import ladder as tiny_ladder
from scheduler.profile import Profile, RungProfile, ServiceTime, fastest_engines
from supernets import SupernetError

SAMPLE_MS = st.floats(0.01, 100)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GEARSHIFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(profiling, "_SAMPLES", 20)
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

    def profile(self, cores: tuple[int, ...] = (1,), **how: bool | str) -> Profile:
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
        assert {time.engine for time in rung.times} <= {"onnxruntime", "openvino"}
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


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_an_engine_that_is_named_is_the_one_that_is_measured(cache, ladder, engine):
    measured = Measured(ladder)
    profile = measured.profile(engine=engine)
    assert {time.engine for rung in profile.rungs for time in rung.times} == {engine}
    assert measured.counts[-1] == (40, 40)
    assert measured.profile(engine=engine) == profile
    assert not measured.counts
    measured.profile()  # what another choice of engines measured is another profile
    assert measured.counts[-1] == (80, 80)


def test_an_unknown_engine_is_refused_before_anything_is_measured(cache, ladder):
    with pytest.raises(SupernetError, match=r"engine 'openvin' is unknown\. Did you mean 'openvino'?"):
        Measured(ladder).profile(engine="openvin")


def test_other_settings_and_versions_of_an_engine_are_other_profiles(cache, ladder, monkeypatch):
    measured = Measured(ladder)
    measured.profile()
    monkeypatch.setattr("supernets.engines.registry._SETTINGS", 10**6)
    measured.profile()
    assert measured.counts


class Timed:
    """A network that takes so long, and says when it ran."""

    memory_mb = 0.0

    def __init__(self, name: str, ran: list[str]) -> None:
        self.name, self.ran = name, ran

    def __call__(self, x):
        self.ran.append(self.name)
        return x


def test_networks_are_measured_in_turns(monkeypatch):
    slept: list[int] = []
    ran: list[str] = []
    monkeypatch.setattr(network_times.time, "sleep", lambda _: slept.append(len(ran)))
    samples = []
    results = network_times.measure(
        [Timed(name, ran) for name in "abc"],
        [[np.zeros(1, np.float32)]] * 3,
        lambda: samples.append(1),
        samples=200,
        settle_before={2},
    )
    assert ran[:12] == list("aabbccaabbcc")  # the second of two counts
    assert len(ran) == 2 * len(samples) == 2 * sum(len(one.samples_ms) + one.disturbed for one in results)
    assert slept == list(range(4, len(ran), 6))


FORMS = [(subnet, cores) for subnet in "ab" for cores in (1, 2)]
TIMES_MS = st.fixed_dictionaries({form: st.fixed_dictionaries({"one": SAMPLE_MS, "two": SAMPLE_MS}) for form in FORMS})


class TestFastestEngines:
    def test_one_engine_serves_a_ladder_unless_the_other_is_clearly_faster_there(self):
        times_ms = {
            "a": {"one": 1.00, "two": 0.96},  # less than 5 % faster: not worth another engine
            "b": {"one": 1.00, "two": 0.95},  # more than that
            "c": {"one": 1.00, "two": 2.00},
        }
        assert fastest_engines(times_ms) == {"a": "one", "b": "two", "c": "one"}

    def test_the_mean_is_geometric(self):
        # In sums `two` would be the faster one; a long network does not count for more.
        times_ms = {"small": {"one": 1.0, "two": 1.5}, "large": {"one": 100.0, "two": 97.0}}
        assert fastest_engines(times_ms) == {"small": "one", "large": "one"}

    def test_the_first_of_equals(self):
        assert fastest_engines({"a": {"one": 1.0, "two": 1.0}}) == {"a": "one"}
        assert fastest_engines({}) == {}

    @given(TIMES_MS)
    def test_no_form_is_more_than_five_percent_off_its_best(self, times_ms):
        chosen = fastest_engines(times_ms)
        assert set(chosen) == set(times_ms)
        for form, engine in chosen.items():
            assert times_ms[form][engine] <= 1.05 * min(times_ms[form].values())

    @given(TIMES_MS, st.floats(0.1, 10))
    def test_an_engine_that_is_slower_everywhere_is_never_chosen(self, times_ms, by):
        slower = {form: {"one": times["one"], "two": times["one"] * (1 + by)} for form, times in times_ms.items()}
        assert set(fastest_engines(slower).values()) == {"one"}


def _without_a_rung(stored: dict) -> dict:
    return {**stored, "rungs": stored["rungs"][:1]}


def _without_samples(stored: dict) -> dict:
    stored["rungs"][0]["times"][0]["samples_ms"] = []
    return stored


def _of_half_a_line(stored: dict) -> dict:
    stored["rungs"][0]["times"][0] |= {"base_ms": 1.0, "per_size_ms": 2.0}
    return stored


def _of_another_schema(stored: dict) -> dict:
    return {**stored, "schema_version": 99}


@pytest.mark.parametrize("spoil", [_without_a_rung, _without_samples, _of_half_a_line, _of_another_schema])
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


SIZES = (1.0, 2.0, 3.0, 4.0)


class Watched(SizedNumbers):
    """A stream of inputs full of 0, 1, 2 and so on, of these sizes; work is as its network's output says."""

    asked: ClassVar[list[str]] = []

    def inputs(self, artifact):
        self.asked.append(artifact.subnet)
        return super().inputs(artifact)


def test_a_profile_by_size_is_kept_with_its_sizes(cache, ladder, monkeypatch):
    """Real networks, whose work is read off their outputs; how long they take is a matter of their input here."""
    monkeypatch.setattr(network_times, "timed_output", lambda run, x: (5 + 2 * (1 + float(x.mean())), True, run(x)))
    stream = Watched(sizes=SIZES, work_of=lambda number: 1.0 + number)
    examples = examples_of(stream, ladder[0][0], len(SIZES))

    def profile(**how):
        return profile_ladder("tiny", ladder, {1: (min(os.sched_getaffinity(0)),)}, engine="onnxruntime", **how)

    stream.asked.clear()
    measured = profile(examples=examples)
    assert stream.asked == ["small", "large"]
    assert measured.sizes == SIZES
    small, large = (rung.times[0] for rung in measured.rungs)
    assert small.samples_ms == pytest.approx(sorted([7, 9, 11, 13] * 5))
    assert (small.base_ms, small.per_size_ms) == pytest.approx((5, 2))
    # The large one makes twice the number, so a unit of its work takes half the time, and sizes foretell too little.
    assert large.per_size_ms == pytest.approx(1)
    assert [warning.partition(":")[0] for warning in measured.warnings] == ["large, 1 core(s)"]
    assert "than their sizes foretell" in measured.warnings[0]
    stream.asked.clear()
    assert profile(examples=examples) == measured
    assert not stream.asked
    # Another stream, and none, are other profiles.
    assert profile(examples=replace(examples, sizes=SIZES[::-1])).sizes == SIZES[::-1]
    assert profile().sizes == (1.0,)


def test_a_stream_of_one_size_is_timed_by_noise(ladder):
    assert examples_of(SizedNumbers(), ladder[0][0], 10) is NOISE
    assert examples_of(Numbers(), ladder[0][0], 10) is NOISE


def test_a_gpus_times_are_measured_through_an_executor_and_once(cache, ladder, monkeypatch):
    """On this machine's CPU: the way there, and what is kept of it, do not depend on the device."""
    on_gpu = [(with_program(artifact), accuracy, source) for artifact, accuracy, source in ladder]
    counts = []
    profile = profile_gpu("tiny", on_gpu, "cpu", on_sample=lambda done, total: counts.append((done, total)))
    assert [rung.subnet for rung in profile.rungs] == ["small", "large"]
    assert [rung.accuracy for rung in profile.rungs] == [0.6, None]
    for rung in profile.rungs:
        (time,) = rung.times
        assert (time.kind, time.cores, time.engine) == ("gpu", 1, "torch (cpu)")
        assert time.samples_ms == tuple(sorted(time.samples_ms))
        assert rung is profile.rung(rung.subnet)
    assert profile.machine == f"{profiling.machine_name()}, cpu"
    assert counts[-1] == (2 * profiling._SAMPLES, 2 * profiling._SAMPLES)
    monkeypatch.setattr(profiling, "own_executor", None)
    assert profile_gpu("tiny", on_gpu, "cpu") == profile
    with pytest.raises(TypeError):  # what would have started an executor
        profile_gpu("tiny", on_gpu, "cpu", fresh=True)
    # The CPU's times of the same ladder are another matter.
    assert {time.kind for rung in Measured(ladder).profile().rungs for time in rung.times} == {"cpu"}


def test_times_of_a_slower_core_are_those_of_a_core_of_speed_1_after_scaling():
    forms = (("cpu", 1), ("cpu", 2), ("gpu", 1))
    times = tuple(ServiceTime(kind=kind, cores=cores, samples_ms=(20.0, 30.0)) for kind, cores in forms)
    rung = RungProfile(subnet="s", accuracy=None, accuracy_source="unknown", times=times)
    scaled = Profile(supernet="net", machine="m", rungs=(rung,)).at_speeds({1: 0.5, 2: 1.0})
    assert [time.samples_ms for time in scaled.rung("s").times] == [(10.0, 15.0), (20.0, 30.0), (20.0, 30.0)]


class Anywhere:
    """Lets every thread run where it likes, so that CPUs may be named that this machine lacks."""

    def set(self, tid, cpus):
        pass


def test_a_profile_is_of_a_kind_of_core(cache, ladder, tmp_path):
    """On the board below CPU 0 is little and CPU 1 is big, whatever this machine is."""
    for cpu, capacity in enumerate(("414", "1024")):
        file = tmp_path / f"sys/devices/system/cpu/cpu{cpu}/cpu_capacity"
        file.parent.mkdir(parents=True)
        file.write_text(capacity)
    taken: list[int] = []

    def profile(cpu: int) -> Profile:
        taken.clear()
        return profile_ladder(
            "tiny",
            ladder,
            {1: (cpu,)},
            engine="onnxruntime",
            on_sample=lambda done, total: taken.append(done),
            affinity=Anywhere(),
            tree=Tree(tmp_path),
        )

    little = profile(0)
    assert taken
    assert "1 core of (unknown core, capacity 414)" in little.machine
    assert "1 core of (unknown core, capacity 1024)" in profile(1).machine
    assert taken
    assert profile(0) == little
    assert not taken


def test_of_engines_that_can_not_run_every_form_the_one_that_can_is_chosen():
    every = {"a": {"x": 10.0, "y": 12.0}, "b": {"y": 5.0}}
    assert fastest_engines(every) == {"a": "x", "b": "y"}
    assert fastest_engines({"a": {"x": 10.0, "y": 10.2}, "b": {"y": 5.0}}) == {"a": "y", "b": "y"}
    assert fastest_engines({"a": {"x": 10.0}, "b": {"y": 5.0}}) == {"a": "x", "b": "y"}


def test_a_network_that_an_engine_can_not_run_is_measured_in_the_other(cache, ladder):
    (small, *known), large = ladder
    able = Measured([(replace(small, unable=(("onnxruntime", "why"),)), *known), large])
    profile = able.profile()
    assert {time.engine for time in profile.rung("small").times} == {"openvino"}
    assert able.counts[-1][1] == 3 * profiling._SAMPLES
    Measured(ladder).profile()  # a copy of the same file that both can run
    assert len(list(cache.iterdir())) == 2
