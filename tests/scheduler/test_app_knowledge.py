"""The knowledge of one application follows certain changes of its rate, and excuses lateness for a set time."""

from __future__ import annotations

import pytest

from helpers.fake_world import BOARD, make_spec
from helpers.worker_reports import report
from scheduler.app_knowledge import AppKnowledge, planned_share
from scheduler.feedback import Caution
from scheduler.points import ArrivalModel


def begun(rate_hz: float) -> AppKnowledge:
    return AppKnowledge.begin(make_spec("a", arrivals=ArrivalModel(kind="poisson", rate_hz=rate_hz)), BOARD, now_s=0.0)


def test_a_rate_that_moved_far_by_chance_is_no_other_rate() -> None:
    known = begun(1.0)
    known.observe(report(arrived=3), 1.0)
    assert known.rate.rate_hz == pytest.approx(1.36, abs=0.01)
    assert known.rate_hz == 1.0


def test_a_rate_that_certainly_moved_but_a_little_is_no_other_rate() -> None:
    known = begun(1000.0)
    for epoch in range(1, 201):
        known.observe(report(arrived=110), 0.1 * epoch)
    assert known.rate.rate_hz == pytest.approx(1100, abs=5)
    assert known.rate.differs_from(1000.0)
    assert known.rate_hz == 1000.0


def test_a_rate_that_certainly_moved_far_is_another() -> None:
    known = begun(1000.0)
    for epoch in range(1, 201):
        known.observe(report(arrived=130), 0.1 * epoch)
    assert known.rate_hz > 1200


def test_lateness_teaches_again_from_the_moment_at_which_the_excuse_ends() -> None:
    known = begun(10.0)
    known.excuse(2.0)
    known.excuse(1.0)  # a shorter excuse doesn't end a longer one
    known.finished = 100
    known.judge(None, slo=0.95, foreseen_late=False, now_s=1.9)
    assert known.caution.margin == 0.0
    known.judge(None, slo=0.95, foreseen_late=False, now_s=2.0)
    assert known.caution.margin == Caution.STEP


def test_a_plan_uses_up_half_of_the_misses_that_the_slo_permits() -> None:
    assert planned_share(0.95) == pytest.approx(0.975)
