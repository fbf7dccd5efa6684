"""Each packaged board, in each of its modes, is opened by its name, and a mix is decided and served on it."""

from pathlib import Path

import pytest

from actors import cluster
from actors.cluster import packaged_board
from helpers.small_mixes import app, mix
from workloads.runs.boards import open_board
from workloads.runs.simulated import plan_simulation
from workloads.simulator import simulate

BOARDS = sorted(path.stem for path in (Path(cluster.__file__).parent / "boards").glob("*.yaml"))
IN_MODES = [f"{board}:{mode.name}" for board in BOARDS for mode in packaged_board(board).modes]
NETWORK = {
    "host": "ofa-plates",
    "jetson-xavier-nx": "dynamic-ofa-gpu",
    "odroid-n2": "mlperf-armnn-n2",
    "raspberry-pi-4": "mlperf-armnn-pi4",
}
"""A network with packaged times of each machine that a board's speeds are relative to."""


@pytest.mark.parametrize("policy", ["joint", "schedutil"])
@pytest.mark.parametrize("named", BOARDS + IN_MODES)
def test_a_board_runs_and_says_what_it_knows_of_energy(named, policy):
    board = open_board(named, "sim")
    assert board.name == named
    # A slow board at its lowest clocks needs some seconds until its first network is ready.
    gate = app("gate", supernet=NETWORK[board.speed_of], latency_ms=400)
    summary = simulate(plan_simulation(mix(apps=[gate], duration_s=10), board, policy=policy), log=False).summary
    assert summary.apps["gate"].completed > 0.7 * summary.apps["gate"].submitted > 0
    assert (summary.energy.units_j is None) == (not board.powered)
    assert summary.energy.source == board.energy_source
