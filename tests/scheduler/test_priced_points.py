"""Operating points are priced once for the same profile and inputs, and never given for others."""

from __future__ import annotations

from dataclasses import replace

from actors.cluster import packaged_board
from actors.stored_profiles import packaged_profile
from scheduler.points import ArrivalModel, operating_points
from scheduler.priced_points import PricedPoints

BOARD = packaged_board("two-core-host")
PROFILE = packaged_profile("ofa-plates")


class Pricing:
    """A pricing that counts how often it is done."""

    def __init__(self) -> None:
        self.priced = PricedPoints()
        self.times = 0

    def of(self, profile, rate_hz):
        def price():
            self.times += 1
            arrivals = ArrivalModel(kind="poisson", rate_hz=rate_hz)
            return operating_points(BOARD, profile, app="a", arrivals=arrivals, slo=0.975)

        return self.priced.table(profile, rate_hz, price)


def test_the_same_inputs_are_priced_once_and_others_for_themselves():
    pricing = Pricing()
    slow, fast = pricing.of(PROFILE, 5.0), pricing.of(PROFILE, 10.0)
    assert slow != fast
    assert pricing.of(PROFILE, 5.0) is slow
    assert pricing.of(PROFILE, 10.0) is fast
    assert pricing.times == 2


def test_another_profile_is_priced_for_itself():
    pricing = Pricing()
    whole = pricing.of(PROFILE, 5.0)
    first = pricing.of(replace(PROFILE, rungs=PROFILE.rungs[:1]), 5.0)
    assert {point.subnet for point in first} < {point.subnet for point in whole}
    assert pricing.times == 2


def test_what_was_not_asked_for_for_long_is_forgotten():
    pricing = Pricing()
    for rate_hz in range(1, 101):
        pricing.of(PROFILE, float(rate_hz))
        pricing.of(PROFILE, 1.0)
    assert pricing.times == 100
    pricing.of(PROFILE, 2.0)
    assert pricing.times == 101
