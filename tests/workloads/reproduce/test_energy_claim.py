"""The reproduction of the energy claim compares the right runs and draws the right conclusion."""

from __future__ import annotations

import csv
import json

import pytest

from actors.cluster import packaged_board
from workloads import App, Mix, Periodic
from workloads.reproduce.energy_claim import (
    BASELINES,
    DEFINITIONS,
    OWN,
    PARITY,
    ClaimLoad,
    PowerSetRange,
    Saving,
    savings,
)
from workloads.reproduce.energy_outcome import PUBLISHED, outcome
from workloads.runs.simulated import plan_simulation
from workloads.simulator import simulate

APP = App("gate", "ofa-plates", Periodic(hz=10), 60, min_accuracy=0.7)
LOAD = ClaimLoad(name="one network, short", apps=(APP,), boards=("two-core-host",), duration_s=4)


def saving(**changes):
    one = PowerSetRange(median=0.2, low=0.1, high=0.3)
    fields = {
        "load": "one network, GPU",
        "board": "jetson-xavier-nx",
        "baseline": "schedutil",
        "against": OWN,
        "definition": "units",
        "saved": one,
        "p95_ratio": PowerSetRange(median=1.0, low=1.0, high=1.0),
        "on_time": PowerSetRange(median=0.0, low=0.0, high=0.0),
        "accuracy": PowerSetRange(median=-0.02, low=-0.02, high=-0.02),
        "sets": 200,
    }
    return Saving(**(fields | changes))


@pytest.fixture(scope="module")
def found():
    done = []
    savings_ = savings(lambda what, now, total: done.append((now, total)), loads=(LOAD,))
    assert done == [(1, 1)]
    return {(one.baseline, one.against, one.definition): one for one in savings_}


def test_a_floor_is_raised_and_never_lowered():
    raised = LOAD.mix({"gate": 0.8}).apps[0].min_accuracy
    assert (raised, LOAD.mix({"gate": 0.5}).apps[0].min_accuracy) == (0.8, 0.7)


def test_every_baseline_is_compared_at_both_accuracies_and_by_each_definition(found):
    assert set(found) == {
        (base, against, one) for base in BASELINES for against in (OWN, PARITY) for one in DEFINITIONS
    }


def test_the_saving_is_that_of_two_simulations_of_the_same_requests(found):
    board = packaged_board("two-core-host")
    mix = Mix(LOAD.name, apps=[APP], duration_s=4)
    joules = {
        policy: simulate(plan_simulation(mix, board, policy=policy), log=False).summary.energy.units_j
        for policy in ("joint", "schedutil")
    }
    saved = found["schedutil", OWN, "units"].saved
    assert saved.median == pytest.approx(1 - joules["joint"] / joules["schedutil"])
    assert saved.low == saved.high == saved.median  # one set of power figures


def test_at_the_baselines_accuracy_ours_delivers_no_less(found):
    for base in BASELINES:
        assert found[base, OWN, "units"].accuracy.median < 0
        assert found[base, PARITY, "units"].accuracy.median >= -1e-9
        assert found[base, PARITY, "units"].saved.median < found[base, OWN, "units"].saved.median


def test_the_boards_energy_is_unknown_where_its_base_is(found):
    assert packaged_board("two-core-host").base_w is None
    assert found["schedutil", OWN, "board"].saved is None
    assert found["schedutil", OWN, "above idle"].saved is not None


def test_the_published_claims_stand_alone_without_simulations(tmp_path):
    alone = outcome([])
    assert [sheet.title for sheet in alone.sheets] == ["Published"]
    alone.write(tmp_path)
    with (tmp_path / "results.csv").open() as stream:
        assert [float(row["saved"]) for row in csv.DictReader(stream)] == [claim.energy for claim in PUBLISHED]
    assert json.loads((tmp_path / "results.json").read_text())["simulated"] == []


def test_the_report_says_that_nothing_was_measured_and_shows_intervals(tmp_path):
    whole = outcome([saving(), saving(definition="board", saved=None), saving(definition="above idle")])
    page = whole.to_html()
    assert "none is measured on a board" in page
    assert "20.0 % [10, 30]" in page
    assert "95 % of 200 sets" in page
    assert "fitted" in page  # the board's own word for its power
    assert "unknown" in page


def test_up_to_takes_the_largest_saving_of_each_number_of_models():
    large = PowerSetRange(median=0.4, low=0.4, high=0.4)
    runs = [saving(), saving(load="one network, CPU", saved=large), saving(load="two networks", saved=None)]
    others = [saving(load=one.load, definition=kind, saved=None) for one in runs for kind in ("board", "above idle")]
    sheet = next(sheet for sheet in outcome(runs + others).sheets if sheet.title.startswith("Up to"))
    assert [list(row) for row in sheet.rows] == [
        ["one network", OWN, "units", "40.0 %", "one network, CPU", "jetson-xavier-nx"]
    ]
