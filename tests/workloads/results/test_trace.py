"""A trace is read back as it was written, or refused by name; an environment holds what its units were limited to."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.board import Board, BoardUnit
from scheduler.messages import Event, UnitLimited
from scheduler.profile import Profile, RungProfile, ServiceTime
from workloads import App, Mix, Periodic, Poisson, at
from workloads.results.environment import check_units, environment, with_environment
from workloads.results.epoch_log import EpochLogWriter, LogHeader
from workloads.results.trace import BoardTrace, Sample, TraceError, UnitSample, read_trace, record_run, write_trace
from workloads.runs.simulated import plan_simulation, write_simulated
from workloads.simulator import Costs, simulate

BIG = BoardUnit(
    name="big",
    kind="cpu",
    cpus=(0,),
    dvfs="emulated",
    mhz=(200.0, 400.0, 600.0, 800.0, 1000.0),
    static_w=(0.1, 0.1, 0.2, 0.3, 0.4),
    dynamic_w=(0.2, 0.5, 0.9, 1.4, 2.0),
)
PAIR = replace(BIG, name="pair", cpus=(1, 2), mhz=(500.0, 1000.0), static_w=(0.1, 0.3), dynamic_w=(0.4, 1.0))
BOARD = Board(name="test", units=(BIG, PAIR), base_w=1.5, sensor="none", power_source="made up")
FREE = {"max_mhz": None, "cpus_online": (0,), "other_load": 0.0}


def trace(*samples: Sample, board: Board = BOARD, **header: Any) -> BoardTrace:
    known = {"mix": "m", "policy": "joint", "seed": 3, "source": "emulated", "period_ms": 100.0}
    return BoardTrace(board=board, samples=samples, **{**known, **header})


def big(at_s: float, mhz: float, busy: float, **more: Any) -> Sample:
    rails = more.pop("rails", {})
    return Sample(at_s=at_s, units={"big": UnitSample(mhz=mhz, busy=busy, **more)}, rails=rails)


# ---------------------------------------------------------------- files

shares = st.floats(0, 1)
unit_samples = st.builds(
    UnitSample,
    mhz=st.sampled_from(BIG.mhz),
    busy=shares,
    cores_busy=st.none() | st.tuples(shares),
    temp_c=st.none() | st.floats(-40, 120),
    max_mhz=st.none() | st.sampled_from(BIG.mhz),
    cpus_online=st.none() | st.just((0,)),
    other_load=shares,
    governor=st.none() | st.just("schedutil"),
)


@st.composite
def traces(draw: st.DrawFn) -> BoardTrace:
    times_s = sorted(draw(st.sets(st.floats(-5, 1e6), min_size=1, max_size=6)))
    rails = draw(st.sets(st.text(max_size=4), max_size=2))
    watts = st.fixed_dictionaries({rail: st.floats(0, 100) for rail in rails})
    apps = st.dictionaries(st.text(max_size=3), st.fixed_dictionaries({"queue_len": st.integers(0, 9)}), max_size=2)
    units = st.fixed_dictionaries({}, optional={"big": unit_samples})
    return trace(
        *(Sample(at_s=at_s, units=draw(units), rails=draw(watts), apps=draw(apps)) for at_s in times_s),
        source=draw(st.sampled_from(["measured", "emulated", "simulated"])),
        mix=draw(st.text(max_size=5)),
    )


@settings(deadline=None)
@given(written=traces())
def test_any_trace_reads_back_as_written(tmp_path_factory: pytest.TempPathFactory, written: BoardTrace) -> None:
    path = tmp_path_factory.getbasetemp() / "any.msgpack"
    write_trace(path, written)
    assert read_trace(path) == written


@settings(deadline=None)
@given(written=traces(), cut=st.floats(0, 1, exclude_max=True))
def test_a_trace_that_is_cut_short_anywhere_is_refused(
    tmp_path_factory: pytest.TempPathFactory, written: BoardTrace, cut: float
) -> None:
    path = tmp_path_factory.getbasetemp() / "cut-trace.msgpack"
    write_trace(path, written)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(cut * len(whole))])
    with pytest.raises(TraceError, match=r"cut-trace\.msgpack: (this is no trace|is cut short)"):
        read_trace(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a text\n", "this is no trace"),
        (b"\xc1", "is no trace, or damaged"),
        (msgpack.packb({"schema": 1, "mix": "an epoch log"}), "this is no trace"),
        (msgpack.packb({"format": "gearshift trace", "schema": 9}), "schema must be 2, not 9"),
    ],
)
def test_another_file_is_no_trace(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(TraceError, match=f"x: {said}"):
        read_trace(tmp_path / "x")


def test_a_trace_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="gone: cannot be read"):
        read_trace(tmp_path / "gone")


def written_raw(path: Path, *samples: dict[str, Any]) -> Path:
    """A file as another program may write it."""
    write_trace(path, trace(big(0.0, 200, 0.0)))
    with path.open("rb") as file:
        header = next(iter(msgpack.Unpacker(file)))
    path.write_bytes(b"".join(map(msgpack.packb, [header, *samples, {"samples": len(samples)}])))
    return path


def raw(at_s: float, units: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"at_s": at_s, "units": {"big": {"mhz": 200.0, "busy": 0.5}} if units is None else units, **more}


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        ([raw(0.1), raw(0.3), raw(0.2)], "sample 3: at_s 0.2 does not come after 0.3 of sample 2; put the samples in"),
        ([raw(0.1), raw(0.1)], "sample 2: at_s 0.1 does not come after 0.1 of sample 1"),
        ([raw(0.1), raw(0.2, {"huge": {"mhz": 1.0, "busy": 0.0}})], "sample 2: unit 'huge' is not on board 'test'"),
        ([raw(0.1, rails={"cpu": -0.5})], "sample 1: rail 'cpu' must be at least 0 W, not -0.5"),
        ([raw(0.1, rails={"cpu": 1.0}), raw(0.2)], "sample 2: rails must be those of sample 1 .cpu., not none"),
        (
            [raw(0.1, {"big": {"mhz": 200.0, "busy": 1.5}})],
            "sample 1: big: a share of time must be between 0 and 1, not",
        ),
        ([raw(0.1, {"big": {"mhz": 0.0, "busy": 0.5}})], "sample 1: big: mhz must be above 0, not 0.0"),
        ([raw(0.1, {"big": {"mhz": 200.0, "busy": 0.5, "cores_busy": [0.5, 0.5]}})], "for each of its 1 cores, not 2"),
        (
            [raw(0.1, {"big": {"mhz": 200.0, "busy": 0.5, "cpus_online": [0, 3]}})],
            r"sample 1: big: cpus_online must be some of \[0\], not \[3\]",
        ),
        ([raw(math.nan)], "sample 1: at_s must be a finite number, not nan"),
        (
            [raw(0.1, {"big": {"mhz": "fast", "busy": 0.5}})],
            r"samples\.0\.units\.big\.mhz: Input should be a valid number",
        ),
        ([], "there is no sample in it"),
    ],
)
def test_what_cannot_be_is_refused_with_the_file_and_the_sample(
    tmp_path: Path, samples: list[dict[str, Any]], said: str
) -> None:
    path = written_raw(tmp_path / "odd.msgpack", *samples)
    with pytest.raises(TraceError, match=rf"odd\.msgpack: .*{said}"):
        read_trace(path)


# ---------------------------------------------------------------- runs


def test_a_run_is_recorded_with_its_limits_and_governors(tmp_path: Path) -> None:
    header = LogHeader(
        mix="m", board="test", policy="p", seed=1, time_scale=1.0, epoch_ms=100.0, emulated=True,
        power_source="made up", units_mhz={"big": BIG.mhz, "pair": PAIR.mhz}, ladders={},
    )  # fmt: skip
    seen = {"mhz": 400.0, "busy": 0.25, "power_w": 0.3}
    apps = {"a": {"gear": ["s", "big", 1], "queue_len": 2}}
    with EpochLogWriter(tmp_path / "epochs.msgpack", header) as log:
        log.append({"kind": "epoch", "now_s": -0.5, "units": {}, "apps": {}})
        log.append({"kind": "epoch", "now_s": -0.4, "units": {"big": seen}, "apps": apps})
        log.append({"kind": "clock", "now_s": 0.01, "unit": "big", "from": 400.0, "to": "schedutil"})
        log.append({"kind": "epoch", "now_s": 0.1, "units": {"big": seen}, "apps": {}})
        log.append({"kind": "epoch", "now_s": 0.3, "units": {"big": seen}, "apps": {}})
    limit = UnitLimited(unit="big", max_mhz=600.0, cpus_online=(0,), other_load=0.5)
    made = record_run(tmp_path, BOARD, [(0.2, Event(change=limit, text=""))])
    assert made == read_trace(tmp_path / "trace.msgpack")
    assert made is not None
    assert (made.source, made.mix, made.policy, made.seed, made.board) == ("emulated", "m", "p", 1, BOARD)
    assert made.period_ms == pytest.approx(350)  # of 500 and 200 ms
    assert made.samples == (
        Sample(at_s=-0.4, units={"big": UnitSample(mhz=400.0, busy=0.25)}, apps=apps),
        Sample(at_s=0.1, units={"big": UnitSample(mhz=400.0, busy=0.25, governor="schedutil")}),
        Sample(
            at_s=0.3,
            units={
                "big": UnitSample(
                    mhz=400.0, busy=0.25, governor="schedutil", max_mhz=600.0, cpus_online=(0,), other_load=0.5
                )
            },
        ),
    )


def test_a_sample_has_the_stricter_of_the_mixs_limits_and_the_boards(tmp_path: Path) -> None:
    header = LogHeader(
        mix="m", board="test", policy="p", seed=1, time_scale=1.0, epoch_ms=100.0, emulated=False,
        power_source="made up", units_mhz={"big": BIG.mhz, "pair": PAIR.mhz}, ladders={},
    )  # fmt: skip
    shown: list[dict[str, Any]] = [
        {},
        {"max_mhz": 800.0, "cpus_online": [2], "held_by": "thermal"},
        {"max_mhz": 500.0, "cpus_online": [1, 2], "held_by": "thermal"},
        {"max_mhz": None, "cpus_online": None, "held_by": None},
    ]
    with EpochLogWriter(tmp_path / "epochs.msgpack", header) as log:
        for place, seen in enumerate(shown):
            units = {"pair": {"mhz": 500.0, "busy": 0.0, **seen}}
            log.append({"kind": "epoch", "now_s": 0.1 * place, "units": units, "apps": {}})
    limit = UnitLimited(unit="pair", max_mhz=600.0, cpus_online=(1,), other_load=0.0)
    made = record_run(tmp_path, BOARD, [(0.15, Event(change=limit, text=""))])
    assert made is not None
    assert [(one.units["pair"].max_mhz, one.units["pair"].cpus_online) for one in made.samples] == [
        (None, None),
        (800.0, (2,)),
        (500.0, (1,)),
        (600.0, (1,)),
    ]


def test_on_real_clocks_load_of_others_is_what_the_kernel_counted_beyond_ours(tmp_path: Path) -> None:
    header = LogHeader(
        mix="m", board="test", policy="p", seed=1, time_scale=1.0, epoch_ms=100.0, emulated=False,
        power_source="made up", units_mhz={"big": BIG.mhz, "pair": PAIR.mhz}, ladders={},
    )  # fmt: skip
    loads: list[tuple[float, tuple[float | None, ...]]] = [
        (0.0, (0.2, 0.0, 0.0)),
        (0.1, (0.9, 0.5, 0.1)),
        (0.2, (0.95, 0.5, 0.0)),
        (0.3, (0.2, 0.0, 0.0)),
        (0.4, (0.2, 0.6, None)),  # CPU 2 is away, and counts for nothing
        (0.5, (0.2, None)),  # CPUs 1 and 2 are
    ]
    with EpochLogWriter(tmp_path / "epochs.msgpack", header) as log:
        for at_s, cores in loads:
            units = {"big": {"mhz": 400.0, "busy": 0.25}, "pair": {"mhz": 500.0, "busy": 0.0}}
            log.append({"kind": "epoch", "now_s": at_s, "units": units, "apps": {}, "host": {"cores": cores}})
    made = record_run(tmp_path, BOARD, [])
    assert made is not None
    assert [sample.units["big"].other_load for sample in made.samples] == pytest.approx([0.0, 0.65, 0.7, 0.0, 0.0, 0.0])
    assert [sample.units["pair"].other_load for sample in made.samples] == pytest.approx(
        [0.0, 0.3, 0.25, 0.0, 0.6, 0.0]
    )
    # A change of less than a tenth is no event.
    changes = [(at_s, event.change) for at_s, event in environment(made)]
    assert [(at_s, change.unit, change.other_load) for at_s, change in changes if isinstance(change, UnitLimited)] == [
        (0.1, "big", pytest.approx(0.65)),
        (0.1, "pair", pytest.approx(0.3)),
        (0.3, "big", 0.0),
        (0.3, "pair", 0.0),
        (0.4, "pair", pytest.approx(0.6)),
        (0.5, "pair", 0.0),
    ]


def test_a_run_that_ended_at_once_leaves_no_trace(tmp_path: Path) -> None:
    header = LogHeader(
        mix="m", board="test", policy="p", seed=1, time_scale=1.0, epoch_ms=100.0, emulated=False,
        power_source="made up", units_mhz={}, ladders={},
    )  # fmt: skip
    EpochLogWriter(tmp_path / "epochs.msgpack", header).close()
    assert record_run(tmp_path, BOARD, []) is None
    assert not (tmp_path / "trace.msgpack").exists()


# ---------------------------------------------------------------- environments


def test_a_trace_of_a_unit_that_the_board_lacks_is_refused() -> None:
    other = replace(BOARD, name="other", units=(replace(BIG, name="bug"),))
    with pytest.raises(TraceError, match=r"has unit 'big', which board 'other' has not\. Did you mean 'bug'"):
        check_units(trace(big(0, 200, 0)), other)


PROFILE = Profile(
    supernet="made-up",
    machine="none",
    rungs=tuple(
        RungProfile(
            subnet=subnet,
            accuracy=accuracy,
            accuracy_source="published",
            times=tuple(ServiceTime(kind="cpu", cores=n, samples_ms=(ms / n, 1.2 * ms / n)) for n in (1, 2)),
        )
        for subnet, accuracy, ms in (("small", 0.6, 5.0), ("large", 0.8, 20.0))
    ),
)
APPS = [
    App("one", supernet="made-up", arrivals=Periodic(hz=15), latency_ms=60, min_accuracy=0.7),
    App("two", supernet="made-up", arrivals=Poisson(hz=10), latency_ms=120),
]
LIMITS = [at(1, unit="big", max_mhz=600, busy=0.25), at(2, "one", latency_ms=25), at(3, unit="big", max_mhz=None)]


def recorded(tmp_path: Path, mix: Mix, policy: str) -> BoardTrace:
    """The trace of a simulation in which managing costs the board nothing."""
    costs = Costs(on_board=False)
    plan = plan_simulation(mix, BOARD, policy=policy, profiles={"made-up": PROFILE}, costs=costs)
    write_simulated(plan, simulate(plan), tmp_path)
    return read_trace(tmp_path / "trace.msgpack")


def test_the_environment_is_what_a_unit_was_held_to_and_nothing_else() -> None:
    seen = trace(
        big(-0.1, 200, 0.0),
        big(0.1, 200, 0.5, max_mhz=600.0, other_load=0.25),
        big(0.2, 400, 0.9, max_mhz=600.0, other_load=0.25),
        big(0.3, 400, 0.9),
    )
    held = UnitLimited(unit="big", max_mhz=600.0, cpus_online=(0,), other_load=0.25)
    assert [(at_s, event.change) for at_s, event in environment(seen)] == [
        (0.1, held),
        (0.3, UnitLimited(unit="big", **FREE)),
    ]


def test_the_stricter_of_mix_and_trace_holds() -> None:
    seen = trace(
        big(0.0, 200, 0.0),
        big(0.1, 200, 0.5, max_mhz=600.0, other_load=0.25),
        big(0.4, 200, 0.5, max_mhz=800.0),
    )
    given_ = [
        (0.2, Event(change=UnitLimited(unit="big", **{**FREE, "max_mhz": 400.0}), text="cap")),
        (0.3, Event(change=UnitLimited(unit="big", **FREE), text="lifted")),
    ]
    merged = with_environment(given_, seen, BOARD)
    changes = [event.change for _, event in merged]
    assert [at_s for at_s, _ in merged] == [0.1, 0.2, 0.3, 0.4]
    assert [change.max_mhz for change in changes if isinstance(change, UnitLimited)] == [600.0, 400.0, 600.0, 800.0]
    assert [change.other_load for change in changes if isinstance(change, UnitLimited)] == [0.25, 0.25, 0.25, 0.0]


def test_only_cpus_that_both_leave_are_in_use() -> None:
    left = [
        Sample(at_s=at_s, units={"pair": UnitSample(mhz=500.0, busy=0.0, cpus_online=online)})
        for at_s, online in ((0.0, None), (0.1, (2,)), (0.3, None))
    ]
    free = UnitLimited(unit="pair", max_mhz=None, cpus_online=(1, 2), other_load=0.0)
    given_ = [
        (0.2, Event(change=replace(free, cpus_online=(1,)), text="one core")),
        (0.4, Event(change=free, text="lifted")),
    ]
    merged = with_environment(given_, trace(*left), BOARD)
    assert [(at_s, event.change.cpus_online) for at_s, event in merged if isinstance(event.change, UnitLimited)] == [
        (0.1, (2,)),
        (0.2, ()),
        (0.3, (1,)),
        (0.4, (1, 2)),
    ]


def test_a_simulation_in_the_environment_of_a_trace_is_held_to_the_same(tmp_path: Path) -> None:
    seen = recorded(tmp_path, Mix("m", apps=APPS, duration_s=4, events=LIMITS), "joint")
    free = plan_simulation(Mix("m", apps=APPS, duration_s=4), BOARD, profiles={"made-up": PROFILE})
    plan = replace(free, events=with_environment(free.events, seen, BOARD))
    out = tmp_path / "again"
    write_simulated(plan, simulate(plan), out)
    again = read_trace(out / "trace.msgpack")
    held = [sample.units["big"].max_mhz for sample in again.samples]
    assert held == [sample.units["big"].max_mhz for sample in seen.samples]
    assert set(held) == {None, 600.0}


def test_the_rails_of_a_run_are_in_its_trace_if_they_were_always_known(tmp_path: Path) -> None:
    header = LogHeader(
        mix="m",
        board="test",
        policy="joint",
        seed=0,
        time_scale=1.0,
        epoch_ms=100.0,
        emulated=False,
        power_source="made up",
        units_mhz={"big": BIG.mhz},
        ladders={},
    )
    epochs = (
        {"VDD_IN": 5.0, "VDD_CPU": 1.0, "VDD_SOC": 0.5},
        {"VDD_IN": 5.5, "VDD_SOC": -0.1},
        {"VDD_IN": 6.0, "VDD_CPU": 1.2, "VDD_SOC": 0.5},
    )
    with EpochLogWriter(tmp_path / "epochs.msgpack", header) as log:
        for place, rails in enumerate(epochs):
            units = {"big": {"mhz": 200.0, "busy": 0.5}}
            log.append({"kind": "epoch", "now_s": place / 10, "units": units, "apps": {}, "rails": rails})
    assert record_run(tmp_path, BOARD, ()) is not None
    assert [sample.rails for sample in read_trace(tmp_path / "trace.msgpack").samples] == [
        {"VDD_IN": 5.0},
        {"VDD_IN": 5.5},
        {"VDD_IN": 6.0},
    ]
