"""`gearshift explain` rebuilds what a run decided on from its directory, and tells it in sentences and as JSON."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import msgpack
import pytest
from pydantic import TypeAdapter

from actors import cluster
from actors.cluster import packaged_board
from actors.stored_profiles import packaged_profile
from helpers.app_inputs import make_inputs
from helpers.command_line import assert_refused, gearshift
from helpers.fake_world import make_spec
from scheduler.decisions import Decision, Grounds, snapshot_of, unlimited
from scheduler.inputs import Inputs
from scheduler.policies import Joint
from scheduler.views import Snapshot
from workloads import App, Mix, Periodic, Poisson, at
from workloads.explaining.reading import moment_of
from workloads.results.run_dir import EPOCHS_FILE, SUMMARY_FILE, read_run
from workloads.runs.simulated import plan_simulation, write_simulated
from workloads.simulator import simulate

MIX = Mix(
    name="gates",
    duration_s=4,
    apps=[
        App("entrance", supernet="ofa-plates", arrivals=Periodic(hz=15), latency_ms=60, min_accuracy=0.80, weight=2),
        App("garage", supernet="ofa-plates", arrivals=Poisson(hz=5), latency_ms=150),
    ],
    events=[
        at(1, "entrance", latency_ms=25),
        at(2, power_cap_w=0.05),
        at(3, unit="little", cores=0),
        at(3, unit="big", max_mhz=300),
        at(3.5, remove="garage"),
    ],
)


class Watched(Joint):
    """`Joint`, and all that it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[Snapshot] = []

    def decide(self, snapshot):
        self.shown.append(snapshot)
        return super().decide(snapshot)


@pytest.fixture(scope="module")
def watched() -> Watched:
    return Watched()


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory, watched) -> Path:
    plan = replace(plan_simulation(MIX, packaged_board("odroid-xu3")), make_policy=lambda: watched)
    out = tmp_path_factory.mktemp("explained") / "run"
    write_simulated(plan, simulate(plan), out)
    return out


def explained(run_dir: Path, at_s: float) -> dict:
    ended = gearshift("explain", run_dir, "--at", at_s, "--json")
    assert (ended.code, ended.err) == (0, "")
    return json.loads(ended.out)


def decided_on(snapshot: Snapshot) -> object:
    """Return what a policy that solves looks at."""
    apps = tuple(replace(view, queue_len=0, n=0, on_time=None, p95_ms=None, mean_ms=None) for view in snapshot.apps)
    units = tuple(replace(unit, mhz_now=0.0, busy=0.0, temp_c=None) for unit in snapshot.units)
    return replace(snapshot, epoch=0, apps=apps, units=units, power_w=None, events=())


def test_what_the_policy_was_shown_is_made_again_from_the_log(run_dir, watched):
    run = read_run(run_dir)
    shown = {snapshot.now_s: snapshot for snapshot in watched.shown}
    assert len(shown) > 4
    checked = 0
    for at_s, next_s in pairwise([*shown, MIX.duration_s]):
        if at_s < MIX.duration_s:
            moment = moment_of(run, (at_s + next_s) / 2)
            if moment.decision.now_s == at_s:  # else it had nothing new to rest on
                assert decided_on(snapshot_of(moment.grounds, moment.decision)) == decided_on(shown[at_s])
                checked += 1
    assert checked > 4


def test_a_floor_that_binds_is_named_with_its_price(run_dir):
    said = explained(run_dir, 0.5)
    assert {"kind": "floor", "name": "entrance"} in said["binds"]
    assert {"kind": "target", "name": "garage"} not in said["binds"]
    floor = next(cost for cost in said["costs"] if (cost["kind"], cost["name"]) == ("floor", "entrance"))
    assert floor["gains"] == "power"
    assert floor["amount"] == floor["saves_w"] > 0
    milliwatts = f"{1000 * floor['saves_w']:.3g} mW"
    assert f"entrance's floor of 0.8 costs {milliwatts}." in said["sentences"]
    assert all(cost["saves_w"] >= 0 for cost in said["costs"])
    assert said["runner_up"]["power_w"] >= said["plan"]["power_w"] == said["best"]["power_w"]
    assert said["plan"]["proven"]
    entrance = said["apps"]["entrance"]
    assert entrance["latency_ms"] < entrance["target_ms"] == 60
    assert entrance["accuracy"] >= entrance["min_accuracy"] == 0.8
    assert not entrance["late"]


def test_a_cap_and_a_limit_that_cannot_be_kept_to_are_in_the_way(run_dir):
    capped = explained(run_dir, 2.5)
    cap = next(cost for cost in capped["costs"] if cost["kind"] == "cap")
    assert (cap["name"], cap["gains"]) == (None, "violation")
    assert any("over the cap of 50 mW" in sentence for sentence in capped["sentences"])
    held = explained(run_dir, 3.4)
    assert held["units"]["big"]["max_mhz"] == 300
    assert held["units"]["big"]["held_by"] == "the mix"
    assert "little" not in held["units"]
    assert "little: away." in held["sentences"]
    assert held["apps"]["entrance"]["late"]
    assert any(sentence.startswith("entrance is foreseen late") for sentence in held["sentences"])


def test_the_plan_in_force_is_that_of_the_time(run_dir):
    early, later, last = (explained(run_dir, at_s) for at_s in (0.9, 1.5, 3.9))
    assert early["apps"]["entrance"]["target_ms"] == 60
    assert later["apps"]["entrance"]["target_ms"] == 25
    assert later["plan"]["why"] == ["entrance has a target of 25 ms, no longer 60"]
    assert early["plan"]["number"] < later["plan"]["number"] < last["plan"]["number"]
    assert list(last["apps"]) == ["entrance"]
    # One application alone has no load that could be traded for another's.
    assert {cost["kind"] for cost in last["costs"]} == {"target", "floor", "limit", "cap"}


def test_the_sentences_are_printed_under_their_headings(run_dir):
    ended = gearshift("explain", run_dir, "--at", 1.5)
    said = explained(run_dir, 1.5)
    lines = ended.out.splitlines()
    assert [line.strip() for line in lines if line.startswith("  ")] == said["sentences"]
    heads = [line for line in lines if not line.startswith(" ")]
    assert heads == ["The plan", "Applications", "Units", "What binds", "What else was possible"]


def test_a_run_that_was_cut_short_is_explained_as_far_as_it_came(run_dir, tmp_path):
    cut = tmp_path / "cut"
    shutil.copytree(run_dir, cut)
    (cut / SUMMARY_FILE).unlink()
    log = (cut / EPOCHS_FILE).read_bytes()
    (cut / EPOCHS_FILE).write_bytes(log[: len(log) * 3 // 4])
    ended = gearshift("explain", cut, "--at", 0.5, "--json")
    assert ended.code == 0
    assert "summary.json: made of the log" in ended.err
    assert json.loads(ended.out) == explained(run_dir, 0.5)
    late = gearshift("explain", cut, "--at", 3.9)
    assert late.code == 2
    assert "give a time" in late.err.splitlines()[-1]


@pytest.mark.parametrize("at_s", [-1.5, 4.5, "nan", "inf"])
def test_a_time_without_a_plan_is_refused(run_dir, at_s):
    assert_refused(gearshift("explain", run_dir, f"--at={at_s}"), "--at is", "-1.00", "4.00", "give a time")


def damaged(run_dir: Path, out: Path, change) -> Path:
    """Return a copy of a run whose entries, the header first, were changed."""
    shutil.copytree(run_dir, out)
    maps = list(msgpack.Unpacker((run_dir / EPOCHS_FILE).open("rb")))
    (out / EPOCHS_FILE).write_bytes(b"".join(msgpack.packb(one) for one in change(maps)))
    return out


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda maps: [{**maps[0], "grounds": None}, *maps[1:]], "earlier version"),
        (lambda maps: [{**maps[0], "grounds": {"board": 3}}, *maps[1:]], "grounds.board: Input should be"),
        (lambda maps: [one for one in maps if one.get("kind") != "plan"], "no plan was made"),
        (lambda maps: [one for one in maps if one.get("kind") != "decision"], "no plan was made"),
        (
            lambda maps: [{**one, "apps": {}} if one.get("kind") == "decision" else one for one in maps],
            "rests on is missing",
        ),
        (lambda maps: [{**one, "gears": 3} if one.get("kind") == "plan" else one for one in maps], "'plan': gears"),
        (
            lambda maps: [
                {**one, "units": {"huge": {"max_mhz": 1.0, "cpus_online": [], "other_load": 0.0, "capped_by": None}}}
                if one.get("kind") == "decision"
                else one
                for one in maps
            ],
            "'huge'",
        ),
    ],
)
def test_a_damaged_or_an_old_log_is_refused(run_dir, tmp_path, change, says):
    assert_refused(gearshift("explain", damaged(run_dir, tmp_path / "run", change), "--at", 1.5), EPOCHS_FILE, says)


def test_no_run_and_no_log_are_refused(run_dir, tmp_path):
    assert_refused(gearshift("explain", tmp_path / "nowhere", "--at", 1), "no such directory")
    bare = tmp_path / "bare"
    shutil.copytree(run_dir, bare)
    (bare / EPOCHS_FILE).unlink()
    ended = gearshift("explain", bare, "--at", 1)
    assert ended.code == 2
    assert "plans are known from it alone" in ended.err.splitlines()[-1]


def test_a_policy_that_does_not_weigh_power_is_told_what_joint_would_have_done(tmp_path):
    plan = plan_simulation(replace(MIX, events=(), duration_s=1), packaged_board("odroid-xu3"), policy="largest")
    write_simulated(plan, simulate(plan), tmp_path / "run")
    said = explained(tmp_path / "run", 0.5)
    assert not said["weighs_power"]
    assert (said["costs"], said["binds"], said["runner_up"]) == ([], [], None)
    assert said["best"]["power_w"] < said["plan"]["power_w"]
    assert any(sentence.startswith("joint would have chosen: ") for sentence in said["sentences"])
    assert any("does not look for the best plan" in sentence for sentence in said["sentences"])


def test_the_facts_of_a_run_on_any_packaged_board_come_back_as_they_were():
    for path in sorted((Path(cluster.__file__).parent / "boards").glob("*.yaml")):
        board = packaged_board(path.stem)
        spec = make_spec("a", profile=packaged_profile("translator-en-de"))
        facts = Grounds.of(board, [spec], "energy")
        packed = msgpack.packb(asdict(facts))
        assert TypeAdapter(Grounds).validate_python(msgpack.unpackb(packed)) == facts
        # Points come out the same without the sizes that were left out.
        whole = Grounds(board=board, apps=(spec,), objective="energy")
        assert points_of(facts) == points_of(whole)


def points_of(facts: Grounds) -> object:
    units = {unit.name: unlimited(facts.board, unit.name) for unit in facts.board.units}
    inputs = Inputs(apps={"a": make_inputs(target_ms=500.0, rate_hz=1.0)}, units=units, power_cap_w=None)
    return snapshot_of(facts, Decision(now_s=0.0, inputs=inputs, gears={}, paces=True)).apps[0].points
