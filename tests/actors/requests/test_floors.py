"""Every request is served above its accuracy floor, also while a better network is still being prepared."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors.cluster import packaged_board
from actors.requests.floors import Floors
from actors.requests.records import Status
from actors.stored_profiles import packaged_profile
from helpers.tiny_networks import profile
from helpers.worker_rig import LARGE, SMALL, Rig
from scheduler.profile import Profile, RungProfile
from workloads import App, Mix, Periodic, at
from workloads.runs.simulated import plan_simulation
from workloads.simulator import simulate


def ladder(*accuracies: float | None) -> Profile:
    rungs = tuple(
        RungProfile(subnet=f"s{place}", accuracy=accuracy, accuracy_source="measured", times=())
        for place, accuracy in enumerate(accuracies)
    )
    return Profile(supernet="s", machine="m", rungs=rungs)


@pytest.mark.parametrize(
    ("subnet", "arrival_s", "allowed"),
    [(0, 0.0, True), (0, 9.999, True), (0, 10.0, False), (1, 10.0, True), (0, 20.0, True), (0, -1.0, True)],
)
def test_the_floor_in_force_at_the_arrival_counts(subnet, arrival_s, allowed):
    floors = Floors(((0.0, 0.5), (10.0, 0.7), (20.0, 0.0)), ladder(0.6, 0.8))
    assert floors.allow(subnet, arrival_s) is allowed


def test_without_floors_or_above_all_of_the_ladder_or_unknown_everything_may_serve():
    assert Floors((), ladder(0.6)).allow(0, 1.0)
    assert Floors(((0.0, 0.9),), ladder(0.6, 0.8)).allow(0, 1.0)
    assert Floors(((0.0, 0.7),), ladder(None, 0.8)).allow(0, 1.0)


def test_a_worker_lets_a_request_wait_for_a_network_above_its_floor(tmp_path):
    measured = profile()
    known = [replace(rung, accuracy=0.8 if rung.subnet == "large" else 0.7) for rung in measured.rungs]
    floors = ((0.0, 0.0), (0.2, 0.75))
    one = Rig(tmp_path, arrivals_s=[0.1, 0.3, 0.35], floors=floors, profile=replace(measured, rungs=tuple(known)))
    places = {rung.subnet: place for place, rung in enumerate(known)}
    one.shift(SMALL)
    one.run_until(0.5)
    assert one.statuses() == {0: Status.COMPLETED}
    one.shift(LARGE, plan=1)
    one.run_until(1.0)
    assert one.statuses() == dict.fromkeys(range(3), Status.COMPLETED)
    used = [int(one.ends[number]["subnet"]) for number in range(3)]
    assert used == [places["small"], places["large"], places["large"]]
    assert one.ends[1]["start_s"] >= 0.5
    one.worker.stop()
    one.ledger.close()


def test_in_simulation_no_request_is_served_below_its_floor():
    mix = Mix(
        "rising",
        duration_s=6,
        apps=[App("gate", "ofa-plates", Periodic(hz=20), 150, min_accuracy=0.6)],
        events=[at(2, "gate", min_accuracy=0.8), at(4, "gate", min_accuracy=0.9)],
    )
    plates = packaged_profile("ofa-plates")
    assert plates is not None
    simulated = simulate(plan_simulation(mix, packaged_board("two-core-host")), log=False)
    served = [row for row in simulated.records["gate"] if row["status"] == Status.COMPLETED]
    for row in served:
        floor = 0.6 if row["arrival_s"] < 2 else 0.8 if row["arrival_s"] < 4 else 0.9
        assert plates.rungs[row["subnet"]].accuracy >= floor
    assert {int(row["subnet"]) for row in served} >= {0, 6}  # from the smallest to the largest
