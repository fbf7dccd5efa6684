"""lavd asks for clocks as scx_lavd does, by examples worked out by hand.

Clocks are 100 MHz apart, so a share of 0.4 of a core of capacity 1 asks for 1.25 · 0.4 · 2000 = 1000 MHz.
"""

from __future__ import annotations

from scheduler.governors import Lavd, make_governor

TABLE = tuple(float(mhz) for mhz in range(200, 2001, 100))


class Told:
    """A governor of one core, told of edges, whose looks are every 10 ms."""

    def __init__(self, capacity: float = 1.0) -> None:
        self.governor = Lavd(max_mhz=2000.0, capacity=capacity)
        self.busy_ms = 0.0
        self.mhz = 200.0
        self.governor.edge(0.0, 0, False, self.mhz)
        self.step(0.0)

    def edge(self, now_ms: float, task: int | None) -> None:
        self.governor.edge(1000 * now_ms, 0, task is not None, self.mhz, task)

    def step(self, now_ms: float, ran_ms: float = 0.0) -> float:
        self.busy_ms += ran_ms
        self.mhz = self.governor.step(1000 * now_ms, (1000 * self.busy_ms,), self.mhz, TABLE)
        return self.mhz


def test_a_task_asks_by_what_was_seen_when_it_began_and_keeps_that_while_it_runs():
    core = Told()
    core.edge(2.0, 7)
    core.edge(6.0, None)
    assert core.step(10.0, ran_ms=4.0) == 1000.0  # 0.4 of the last 10 ms; the average is 0.3
    core.edge(12.0, 7)
    assert core.step(20.0, ran_ms=8.0) == 1000.0  # it runs on, although the share was 0.8
    assert core.step(30.0, ran_ms=10.0) == 1000.0
    core.edge(35.0, None)
    # The average went 0.3, 0.675, 0.91875; a share of 0.5 lets it fall by an eighth of what it is above.
    assert core.step(40.0, ran_ms=5.0) == 2000.0  # 0.866, which is 0.85 or more


def test_what_is_asked_for_falls_by_an_eighth_a_look_while_the_core_sleeps():
    core = Told()
    core.edge(0.0, 7)
    core.edge(8.0, None)
    assert core.step(10.0, ran_ms=8.0) == 2000.0  # 1.25 · 0.8
    asked = [core.step(now_ms) for now_ms in (20.0, 30.0, 40.0, 50.0)]
    assert asked == [1400.0, 1200.0, 1100.0, 900.0]  # 0.6 · 7/8 = 0.525, 0.459, 0.402, 0.352


def test_another_task_on_a_busy_core_asks_anew():
    core = Told()
    core.edge(5.0, 7)
    assert core.step(10.0, ran_ms=5.0) == 200.0  # nothing was seen when it began
    core.edge(12.0, 8)
    assert core.step(12.0, ran_ms=2.0) == 1300.0  # by the look at 10 ms: 0.5


def test_between_two_looks_nothing_new_is_seen():
    core = Told()
    core.edge(1.0, 7)
    core.edge(5.0, None)
    assert core.step(10.0, ran_ms=4.0) == 1000.0
    assert core.step(15.0, ran_ms=5.0) == 1000.0
    core.edge(20.0, None)
    assert core.step(20.0) == 1300.0  # 5 of the 10 ms since the last look


def test_a_share_is_one_of_the_largest_core():
    core = Told(capacity=0.5)
    core.edge(1.0, 7)
    core.edge(3.0, None)
    assert core.step(10.0, ran_ms=2.0) == 1000.0  # 1.25 · 0.2 / 0.5
    core.edge(11.0, 7)
    core.edge(15.0, None)
    assert core.step(20.0, ran_ms=4.0) == 2000.0


def test_the_domain_takes_the_core_that_asks_for_most():
    governor = make_governor("lavd", max_mhz=2000.0)
    governor.step(0.0, (0.0, 0.0), 200.0, TABLE)
    assert governor.step(10_000.0, (1000.0, 4000.0), 200.0, TABLE) == 1000.0
