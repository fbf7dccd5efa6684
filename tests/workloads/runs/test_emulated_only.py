"""A run on this machine refuses noise, slowdowns and played load on units that do real work, before it starts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from helpers.small_mixes import mix
from helpers.tiny_networks import board, with_gpu
from workloads.mix.errors import MixError
from workloads.mix.events import at
from workloads.runs.emulated_only import check_emulated_only
from workloads.runs.plan import plan_run

FIXED = board("fixed")
MIXED = replace(board(), units=(board().units[0], replace(board().units[1], dvfs="cpufreq")))


def test_an_emulated_board_plays_all():
    check_emulated_only(mix(at(5, unit="gpu", slowdown=1.5, busy=0.2), noise=0.3), with_gpu(board()))


def test_noise_is_refused_where_any_unit_is_real():
    says = (
        r"mix 'park': noise=0\.1: requests do real work on little of board 'test'.*leave noise out, simulate it "
        r"\(--backend sim\), or take a board whose units have dvfs: emulated\."
    )
    with pytest.raises(MixError, match=says):
        check_emulated_only(mix(noise=0.1), MIXED)
    check_emulated_only(mix(), MIXED)


@pytest.mark.parametrize("slowdown", [1.5, 1, None])
def test_a_slowdown_is_refused_of_a_real_unit_only(slowdown):
    with pytest.raises(MixError, match=r"at\(5, unit='little', slowdown=.*real work on 'little'.*leave the event out"):
        check_emulated_only(mix(at(5, unit="little", slowdown=slowdown)), MIXED)
    check_emulated_only(mix(at(5, unit="big", slowdown=slowdown)), MIXED)
    check_emulated_only(mix(at(5, unit="little", cores=1)), MIXED)


def test_load_that_is_not_there_is_refused_of_a_real_unit_only():
    says = r"at\(5, unit='little', busy=0\.5\): 'little' of board 'test' does real work.*leave the event out"
    with pytest.raises(MixError, match=says):
        check_emulated_only(mix(at(5, unit="little", busy=0.5)), MIXED)
    check_emulated_only(mix(at(5, unit="little", busy=0), at(6, unit="big", busy=0.5)), MIXED)


def test_a_plan_is_refused_before_networks_are_looked_at(monkeypatch):
    def nothing(*_, **__):
        raise AssertionError("networks were looked at")

    monkeypatch.setattr("workloads.runs.plan.ladders_of", nothing)
    for bad in (mix(noise=0.1), mix(at(5, unit="big", slowdown=1.5))):
        with pytest.raises(MixError, match="real work"):
            plan_run(bad, FIXED, policy="largest")
