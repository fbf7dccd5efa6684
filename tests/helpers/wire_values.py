"""Values that travel between processes: the start of a worker, and some messages and effects."""

from __future__ import annotations

import numpy as np

from actors.worker.spec import WorkerSpec
from helpers.tiny_networks import board, profile
from scheduler.messages import Activate, AppJoined, Event, PowerCapped, Prepare, SetClock, Tick, UnitSlowed
from scheduler.views import Gear
from supernets.artifact import Artifact

PREPARE = Prepare(app="a", gear=Gear(subnet="small", unit="big", cores=1), plan=4)
MESSAGES = (
    PREPARE,
    Activate(app="a", gear=PREPARE.gear, cpus=(0,), plan=4),
    SetClock(unit="big", clock=800.0, plan=4),
    Event(change=AppJoined(app="a", from_s=2.5), text="a joins"),
    Event(change=PowerCapped(power_cap_w=2.0), text="cap"),
    Tick(epoch=1),
    UnitSlowed(unit="big", slowdown=1.5),
)
SPEC = WorkerSpec(
    app="entrance",
    board=board(),
    ledger_path="/dev/shm/ledger",
    slot=3,
    arrivals_s=np.array([0.5, 1.25]),
    saturate=False,
    segments=((0.0, 60.0), (10.0, 30.0)),
    until_s=40.0,
    queue_bound=2,
    drop="late",
    artifacts={
        name: Artifact(subnet=name, path=f"{name}.onnx", input_shape=(1, 3, 8, 8), weights_hash="0")
        for name in ("small", "large")
    },
    profile=profile(),
    seed=7,
    records_path="records",
)
