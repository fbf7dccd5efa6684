"""A made-up run for tests of the report: a small queue for each app stands for the board."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from actors.requests.records import RECORD, Status
from scheduler.profile import RungProfile
from scheduler.views import Gear
from workloads.mix.app import App
from workloads.mix.arrivals import Periodic, Poisson
from workloads.mix.events import at
from workloads.mix.mix import Mix
from workloads.results.epoch_log import EpochLogWriter, LogHeader
from workloads.results.run_dir import EPOCHS_FILE, SUMMARY_FILE, write_requests
from workloads.results.stored_requests import records_file
from workloads.results.summarize import AppRecords, summarize_app, tail_of
from workloads.results.summary import HostSummary, ManagerSummary, Summary, Tail, UnitSummary, energy_summary

UNITS_MHZ = {"big": tuple(range(200, 2001, 200)), "little": tuple(range(200, 1401, 200))}
LADDER = tuple(
    RungProfile(subnet=f"w{width}-r{size}", accuracy=accuracy, accuracy_source="measured", times=())
    for width, size, accuracy in (
        (1, 64, 0.68), (1, 96, 0.75), (2, 96, 0.79), (2, 128, 0.83), (3, 128, 0.88), (4, 160, 0.93),
    )
)  # fmt: skip
_SERVICE_MS = (7.0, 12.0, 18.0, 26.0, 33.0, 46.0)  # on one core of big at its top clock
_SPEED = {"big": 1.0, "little": 0.52}
_W = {"big": 5.0, "little": 0.5}

MIX = Mix(
    "car-park",
    duration_s=40,
    apps=[
        App("entrance", "ofa-plates", Periodic(hz=15), 60, min_accuracy=0.80, weight=2),
        App("garage", "ofa-plates", Poisson(hz=5), 150, min_accuracy=0.70),
    ],
    events=[
        at(10, "entrance", latency_ms=30),
        at(20, unit="big", max_mhz=1400),
        at(25, add=App("yard", "ofa-plates", Periodic(hz=2), 200)),
        at(30, "entrance", min_accuracy=0.70),
        at(35, remove="garage"),
    ],
)

# (time, app, rung, unit, cores, why) and (time, unit, clock).
GEARS = [
    (-0.3, "entrance", 3, "big", 1, "start"),
    (-0.3, "garage", 1, "little", 1, "start"),
    (10.08, "entrance", 3, "big", 2, "entrance: latency 60 → 30 ms"),
    (20.06, "entrance", 2, "big", 2, "big: at most 1400 MHz"),
    (20.11, "entrance", 3, "big", 2, "late: 0.91 on time"),
    (25.09, "yard", 4, "little", 1, "yard was added"),
    (25.1, "garage", 0, "little", 1, "yard was added"),
    (30.07, "entrance", 1, "big", 1, "entrance: floor 0.80 → 0.70"),
    (35.05, "yard", 5, "little", 1, "garage was removed"),
]
CLOCKS = [(-0.3, "big", 1200), (-0.3, "little", 600), (10.05, "big", 2000), (20.0, "big", 1400),
          (25.08, "little", 1400), (30.1, "big", 1000), (35.09, "little", 1000)]  # fmt: skip
EVENTS = [
    (10.0, "entrance: latency 60 → 30 ms"),
    (20.0, "big: at most 1400 MHz"),
    (25.0, "yard joins"),
    (30.0, "entrance: floor 0.80 → 0.70"),
    (35.0, "garage leaves"),
]


@dataclass
class Made:
    """A made-up run that a test may change before it is written."""

    summary: Summary
    header: LogHeader
    entries: list[tuple[str, float, dict[str, Any]]]
    records: dict[str, Any]
    arrivals_s: dict[str, Any]

    def write(self, run_dir: Path) -> Path:
        run_dir.mkdir(parents=True, exist_ok=True)
        (run_dir / SUMMARY_FILE).write_text(self.summary.to_json(), encoding="utf-8")
        with EpochLogWriter(run_dir / EPOCHS_FILE, self.header) as log:
            for kind, now_s, fields in self.entries:
                log.append({"kind": kind, "now_s": now_s, **fields})
        write_requests(run_dir, self.records, self.arrivals_s)
        return run_dir

    def write_killed(self, run_dir: Path, at_s: float) -> Path:
        """Write what a run leaves that is killed at that time, board time."""
        run_dir.mkdir(parents=True, exist_ok=True)
        with EpochLogWriter(run_dir / EPOCHS_FILE, self.header) as log:
            for kind, now_s, fields in sorted(self.entries, key=lambda entry: entry[1]):
                if now_s <= at_s:
                    log.append({"kind": kind, "now_s": now_s, **fields})
        none = dict.fromkeys(self.records, np.empty(0, dtype=RECORD))
        write_requests(run_dir, none, self.arrivals_s)
        for app, records in self.records.items():
            records_file(run_dir, app).write_bytes(records[records["end_s"] <= at_s].tobytes())
        return run_dir


def make_run(policy: str = "joint", seed: int = 0, stalled: bool = False) -> Made:
    rng = np.random.default_rng(seed)
    arrivals_s = MIX.arrivals_s(seed)
    records = {app: _serve(app, times_s, rng) for app, times_s in arrivals_s.items()}
    apps = {}
    for app, times_s in arrivals_s.items():
        mine = [gear for gear in GEARS if gear[1] == app]
        apps[app] = summarize_app(
            AppRecords(
                arrivals_s=times_s,
                records=records[app],
                targets=MIX.targets_of(app),
                ladder=LADDER,
                gears=[Gear(subnet=LADDER[rung].subnet, unit=unit, cores=cores) for _, _, rung, unit, cores, _ in mine],
                switch_ms=rng.gamma(2, 0.1, len(mine)),
            )
        )
    entries = _entries(records, rng)
    busy = {unit: np.mean([e[2]["units"][unit]["busy"] for e in entries if e[0] == "epoch"]) for unit in UNITS_MHZ}
    if stalled:
        entries += [("stall", at_s, {"cpu": 0, "lost_ms": ms}) for at_s, ms in ((12.4, 310.0), (27.9, 140.0))]
    summary = Summary(
        mix=MIX.name,
        board="two-core-host",
        backend="ray",
        policy=policy,
        seed=seed,
        duration_s=MIX.duration_s,
        time_scale=1.0,
        apps=apps,
        units={
            unit: UnitSummary(busy=float(busy[unit]), clock_changes=3, mean_mhz=float(np.mean(UNITS_MHZ[unit])))
            for unit in UNITS_MHZ
        },
        energy=energy_summary(53.2, None, units_source="modelled"),
        manager=ManagerSummary(epochs=400, solve_ms=tail_of([1.2, 2.5]), apply_ms=Tail(), overruns=0),
        host=HostSummary(
            steal_s=0.02,
            stall_ms_max=310.0 if stalled else 0.0,
            stalled_share=0.0112 if stalled else 0.0,
            void=stalled,
        ),
    )
    header = LogHeader(
        mix=MIX.name,
        board="two-core-host",
        policy=policy,
        seed=seed,
        time_scale=1.0,
        epoch_ms=100.0,
        emulated=True,
        power_source="modelled: Odroid XU3, measured table",
        units_mhz=UNITS_MHZ,
        ladders=dict.fromkeys(apps, tuple(rung.subnet for rung in LADDER)),
        duration_s=MIX.duration_s,
        targets={app: tuple(MIX.targets_of(app)) for app in apps},
        accuracies=dict.fromkeys(apps, tuple((rung.accuracy, rung.accuracy_source) for rung in LADDER)),
        metrics=dict.fromkeys(apps, "exact match"),
    )
    return Made(summary, header, entries, records, arrivals_s)


def _in_force(rows: list[Any], now_s: float) -> Any:
    return [row for row in rows if row[0] <= now_s][-1]


def _mhz(unit: str, now_s: float) -> float:
    return float(_in_force([clock for clock in CLOCKS if clock[1] == unit], now_s)[2])


def _serve(app: str, times_s: Any, rng: np.random.Generator) -> Any:
    """Serve first come, first served on cores of its own; a request whose deadline passes in the queue is dropped."""
    mine, targets = [gear for gear in GEARS if gear[1] == app], MIX.targets_of(app)
    rows, free_s = [], 0.0
    for index, arrival_s in enumerate(times_s):
        target_ms = [target for target in targets if target.from_s <= arrival_s][-1].latency_ms
        start_s = max(arrival_s, free_s)
        known = [gear for gear in mine if gear[0] <= start_s]
        if not known:
            start_s, known = mine[0][0], mine[:1]
        _, _, rung, unit, cores, _ = known[-1]
        if start_s > arrival_s + target_ms / 1000:
            rows.append((index, arrival_s, np.nan, start_s, target_ms, np.nan, Status.DROPPED, np.nan, -1, -1, 0))
            continue
        pace = _SPEED[unit] * _mhz(unit, start_s) / UNITS_MHZ[unit][-1] * cores**0.8
        service_ms = _SERVICE_MS[rung] / pace * rng.gamma(150, 1 / 150)
        failed = app == "garage" and index == 80
        free_s = start_s + service_ms / 1000
        right = rng.random() < LADDER[rung].accuracy
        status = Status.FAILED if failed else Status.COMPLETED
        place = list(UNITS_MHZ).index(unit)
        rows.append((index, arrival_s, start_s, free_s, target_ms, service_ms, status, right, rung, place, cores))
    return np.array(rows, dtype=RECORD)


def _entries(records: dict[str, Any], rng: np.random.Generator) -> list[tuple[str, float, dict[str, Any]]]:
    entries: list[tuple[str, float, dict[str, Any]]] = []
    before: dict[str, Any] = {}
    for now_s, app, rung, unit, cores, why in GEARS:
        after = [LADDER[rung].subnet, unit, cores]
        fields = {"app": app, "from": before.get(app), "to": after, "why": why, "plan": int(now_s * 10)}
        entries.append(("gear", now_s, fields))
        before[app] = after
    for now_s, unit, mhz in CLOCKS:
        entries.append(("clock", now_s, {"unit": unit, "from": before.get(unit), "to": float(mhz)}))
        before[unit] = float(mhz)
    entries += [("event", now_s, {"text": text}) for now_s, text in EVENTS]
    for epoch in range(400):
        now_s = epoch / 10
        units = {}
        for place, unit in enumerate(UNITS_MHZ):
            served = np.concatenate([own[own["unit"] == place] for own in records.values()])
            overlap_s = np.minimum(served["end_s"], now_s) - np.maximum(served["start_s"], now_s - 0.1)
            busy = min(1.0, float(overlap_s.clip(0).sum()) / 0.1)
            mhz = _mhz(unit, now_s)
            power_w = _W[unit] * (mhz / UNITS_MHZ[unit][-1]) ** 2 * (0.15 + 0.85 * busy)
            units[unit] = {"mhz": mhz, "busy": busy, "power_w": power_w}
        present = {"entrance": True, "garage": now_s < 35, "yard": now_s >= 25}
        apps = {app: {"gear": None, "queue_len": 0} for app, there in present.items() if there}
        entries.append(("epoch", now_s, {"epoch": epoch, "units": units, "apps": apps, "decided": False}))
    return sorted(entries, key=lambda entry: entry[1])
