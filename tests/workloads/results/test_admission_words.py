"""Answers to applications that join are sentences with numbers, and leave out nobody who misses anything."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scheduler.admission import Admission, AppMiss, Outlook, Overload
from workloads.results.admission_words import MOST_NAMED, admission_words, given_words

MISS = AppMiss(
    app="garage",
    weight=1.0,
    target_ms=80.0,
    latency_ms=108.0,
    late=0.35,
    min_accuracy=0.8,
    accuracy=0.72,
    short=0.1,
)
FINE = Admission(now_s=1.0, joined=("yard",), present=2, outlook=Outlook(), best=True, within=0.0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "yard accepted: every target and floor is foreseen to be met"),
        (
            {"best": False, "within": 0.004, "present": 14},
            "yard accepted: every target and floor is foreseen to be met. 14 applications: the plan is the best found, "
            "within 0.4 % of a proven bound",
        ),
        (
            {"best": False, "within": None, "present": 64},
            "yard accepted: every target and floor is foreseen to be met. 64 applications: the plan is the best found, "
            "how far from the best is not known",
        ),
        ({"best": False, "within": None}, "yard accepted: every target and floor is foreseen to be met"),
        ({"joined": ()}, "every target and floor is foreseen to be met again"),
        (
            {"outlook": Outlook(misses=(MISS,))},
            "yard accepted degraded: garage 35 % over its target of 80 ms (108 ms foreseen) and 10 % below its floor "
            "of 0.8 (accuracy 0.720 foreseen), weight 1",
        ),
        (
            {"joined": (), "outlook": Outlook(overloads=(Overload(unit="big", load=1.33, apps=("a", "b")),))},
            "not everything can be met: big overloaded by a, b, which ask for 133 % of its time",
        ),
        (
            {"outlook": Outlook(power_w=0.52, power_cap_w=0.5)},
            "yard accepted degraded: power of 0.52 W 4 % over the cap of 0.5 W",
        ),
        ({"outlook": Outlook(swamped=("a",))}, "yard accepted degraded: a needs more than 90 % of its cores' time"),
        ({"outlook": Outlook(waits={"yard": "no unit"})}, "yard accepted degraded: yard waits: no unit"),
    ],
)
def test_an_answer_is_a_sentence(changes, words):
    assert admission_words(replace(FINE, **changes)) == words


def test_everybody_who_misses_anything_is_named_the_largest_miss_by_weight_first():
    misses = tuple(replace(MISS, app=f"app{n}", weight=0.1 * n) for n in range(1, 12))
    said = given_words(Outlook(misses=misses))
    assert said[0].startswith("app11 35 % over")
    assert len(said) == MOST_NAMED + 1
    assert all(any(miss.app in one for one in said) for miss in misses)
