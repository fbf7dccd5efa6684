"""A simulation's run directory: the files that a run on a board has, for the same report."""

from __future__ import annotations

from pathlib import Path

from workloads.results.epoch_log import EpochLogWriter, log_header
from workloads.results.run_dir import EPOCHS_FILE, SUMMARY_FILE, write_requests
from workloads.results.trace import record_run
from workloads.simulator.plan import SimulationPlan
from workloads.simulator.simulate import Simulated


def write_simulated(plan: SimulationPlan, simulated: Simulated, out: Path) -> None:
    """Writes the summary, the epoch log, the requests and the trace into a directory that is made if missing.

    The simulation must have kept its log.
    """
    out.mkdir(parents=True, exist_ok=True)
    header = log_header(
        plan.mix,
        plan.board,
        policy=plan.policy,
        seed=plan.seed,
        epoch_s=plan.epoch_s,
        time_scale=1.0,
        emulated=False,
        ladders={app: tuple(rung.subnet for rung in profile.rungs) for app, profile in plan.profiles.items()},
    )
    with EpochLogWriter(out / EPOCHS_FILE, header) as log:
        for entry in simulated.entries:
            fields = {name: value for name, value in entry.items() if name not in ("kind", "now_s")}
            log.append(entry["kind"], entry["now_s"], fields)
    write_requests(out, simulated.records, simulated.arrivals_s)
    (out / SUMMARY_FILE).write_text(simulated.summary.to_json() + "\n", encoding="utf-8")
    record_run(out, plan.board, plan.events, simulated=True)
