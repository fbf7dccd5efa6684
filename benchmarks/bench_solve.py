"""Measure a decision of `joint` from snapshot to plan, and the solver alone, HiGHS and CP-SAT on the same problems.

Boards: Xavier NX with all its clocks (three clusters of two cores and a GPU: 1,155 operating points per application),
Odroid XU3 (two clusters of four cores: 896) and two Xavier NX as one board of eight units (2,310). Applications are
drawn (`benchmarks.solve_cases`); the product's own code makes points and snapshots of them. With a plan in force, the
target of one application becomes a tenth tighter. Timed are

- `plan`: from what the manager knows to the plan, with every operating point priced and all requests played anew;
- `event`: the same once more in the same manager, which has kept points and what it has played;
- `solve`: the first problem that `joint` poses, from problem to allocation. With `--sharing unit` or `exclusive`,
  which `joint` does not pose, it is that problem with waiting of that kind.

Times are of CPU, in ms. A sample of ours in which a core stood still (the host sentinel) is taken again, at most twice.
Wall times are in the file of `--json`, of the samples that had a core to themselves (wall time at most 1.1 times the
CPU time). All cases take turns, problem by problem. The gap is the median of power / bound - 1 (accuracy: bound /
accuracy - 1) of `solve` where targets are met but not proven.

HiGHS and CP-SAT get the first problem of each case of objective energy without a cap, under a time limit for each level
of the objective; the writing of their models is not timed. Where one has run out of time, it is not asked about more
applications.

Without `--whole` other objectives and caps are tried at 8 and 12 applications alone, under the load `busy`.
With `--log` each sample is a line in that file, and a run goes on where the last one stopped; one with more problems
adds them.

    python -m benchmarks.bench_solve [--whole] [--problems 3] [--boards odroid-xu3] [--apps 8,12] [--objectives energy]
        [--caps none,1.1] [--loads busy] [--sharing cpu] [--peers HiGHS,CP-SAT] [--peer-limit-s 5]
        [--log FILE] [--json FILE] [--svg FILE]
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, get_args

from actors.clock import BoardClock
from benchmarks.figure_log import FigureLog
from benchmarks.rig import Stopwatch, start_clock, watched
from benchmarks.solve_cases import BOARDS, LOADS, Drawn, forget, posed, shown, tighten, tightened
from benchmarks.solve_tables import Row, print_tables, rows_of
from scheduler.objectives import OBJECTIVES
from scheduler.policies import appraise
from scheduler.policies.solving import BUDGET, Joint
from scheduler.problem import Allocation, Problem, Sharing
from scheduler.solver import solve
from scheduler.warming import warm

APPS = (1, 2, 4, 8, 12, 16, 32, 64)
CROSSED = (8, 12)
CROSSED_LOAD = "busy"
"""Numbers of applications, and the load, at which all objectives and caps are tried without `--whole`."""
PEERS = ("HiGHS", "CP-SAT")
RETRIES = 2
AT_ONCE = 16
"""Samples that one sentinel watches; they are kept once it has said whether a core stood still."""

Result = TypeVar("Result")


class Timer:
    """Times calls by name in CPU and wall time; a stopwatch keeps when that was, under the name of the whole sample."""

    def __init__(self, watch: Stopwatch, clock: BoardClock, sample: str) -> None:
        self.ms: dict[str, tuple[float, float]] = {}
        self._watch, self._clock, self._sample = watch, clock, sample

    def take(self, name: str, run: Callable[[], Result]) -> Result:
        """Time a call."""
        start_s, cpu_s = self._clock.now_s(), time.process_time()
        result = run()
        cpu_s, end_s = time.process_time() - cpu_s, self._clock.now_s()
        self._watch.add(self._sample, start_s, end_s)
        self.ms[name] = (1000.0 * cpu_s, 1000.0 * (end_s - start_s))
        return result


def sample(drawn: Drawn, sharing: Sharing, timer: Timer) -> dict[str, Any]:
    """Decide and solve once, and return the figures."""
    specs = drawn.specs()
    joint = Joint()
    in_force = joint.decide(shown(drawn.knowledge(specs), None))
    changed = tightened(specs)
    forget()
    knowledge = drawn.knowledge(changed)
    snapshot = timer.take("points", lambda: shown(knowledge, in_force))
    plan = timer.take("decision", lambda: joint.decide(snapshot))
    outcome = appraise(plan, snapshot)
    assert outcome is not None  # `joint` sets clocks itself
    problem = posed(snapshot, sharing)
    answer = timer.take("solve", lambda: solve(problem, budget=BUDGET))
    tighten(knowledge, changed[0])
    timer.take("event", lambda: joint.decide(shown(knowledge, plan)))
    return {
        "ms": timer.ms,
        "met": outcome.violation < 1e-7,
        "settled": plan.optimal is True,
        "solved": {"met": answer.violation < 1e-7, "proven": answer.optimal, "gap": gap_of(problem, answer)},
        "points": sum(len(view.points) for view in snapshot.apps),
    }


def gap_of(problem: Problem, answer: Allocation) -> float | None:
    """Return by which share an answer that meets all targets may be worse than the best one; None for other answers."""
    if answer.violation >= 1e-7:
        return None
    if problem.objective == "accuracy":
        reached = sum(d.weight * answer.choice[d.app].accuracy for d in problem.demands)
        return answer.bound / reached - 1.0
    return answer.power_w / answer.bound - 1.0


def ask_peer(peer: str, problem: Problem, limit_s: float, timer: Timer) -> dict[str, Any]:
    """Have HiGHS or CP-SAT solve a problem; `ended` says whether it did so in time."""
    from tests.helpers.oracle_cpsat import CpSat
    from tests.helpers.oracle_solve import Milp

    model = Milp(problem) if peer == "HiGHS" else CpSat(problem)
    ended = timer.take("solve", lambda: model.solve(limit_s)) is not None
    return {"ms": timer.ms, "ended": ended}


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """A sample to take, by a peer or by us."""

    drawn: Drawn
    sharing: Sharing
    peer: str | None = None
    limit_s: float | None = None

    @property
    def case(self) -> dict[str, Any]:
        """Its name in the log."""
        return asdict(self)

    def take(self, timer: Timer) -> dict[str, Any]:
        """Take it."""
        if self.peer is None or self.limit_s is None:
            return sample(self.drawn, self.sharing, timer)
        specs = tightened(self.drawn.specs())
        problem = posed(shown(self.drawn.knowledge(specs), None), self.sharing)
        return ask_peer(self.peer, problem, self.limit_s, timer)


@dataclass(slots=True)
class Series:
    """Samples that are taken one after another, each kept in the log once it is known to be undisturbed.

    Attributes:
        log: where they are kept.
        repeated: how many were taken again, since a core stood still.
        stalled: how many were kept all the same, since one did each time.
    """

    log: FigureLog
    repeated: int = 0
    stalled: int = 0
    tries: dict[Work, int] = field(default_factory=dict)

    def take(self, works: Sequence[Work]) -> None:
        """Take those that are not in the log yet."""
        left = [work for work in works if self.log.get(work.case) is None]
        while left:
            left = self._take(left[:AT_ONCE]) + left[AT_ONCE:]

    def _take(self, works: Sequence[Work]) -> list[Work]:
        """Take some under a sentinel, and return those that have to be taken again."""
        clock = start_clock()
        watch = Stopwatch(clock)
        taken = []
        with watched(clock) as sentinel:
            for place, work in enumerate(works):
                timer = Timer(watch, clock, str(place))
                taken.append((work, work.take(timer), len(timer.ms)))
        again = []
        for place, (work, figures, spans) in enumerate(taken):
            # A peer takes seconds, in which a gap of some ms means nothing.
            calm = work.peer is not None or len(watch.times_ms(str(place), sentinel.gaps)) == spans
            tries = self.tries[work] = self.tries.get(work, 0) + 1
            if calm or tries > RETRIES:
                self.stalled += not calm
                self.log.keep(work.case, {**figures, "stalled": not calm, "repeated": tries - 1})
            else:
                self.repeated += 1
                again.append(work)
        return again


def cases(options: argparse.Namespace) -> Iterator[Drawn]:
    """Yield each case, with the seed of its first problem, those of few applications first."""
    for apps, board, objective, cap, load in itertools.product(
        options.apps, options.boards, options.objectives, options.caps, options.loads
    ):
        plain = (objective, cap) == (options.objectives[0], options.caps[0])
        if options.whole or plain or (apps in CROSSED and load == CROSSED_LOAD):
            yield Drawn(board=board, apps=apps, load=load, objective=objective, cap=cap, seed=options.first)


def ask_peers(options: argparse.Namespace, series: Series) -> list[Work]:
    """Ask HiGHS and CP-SAT about the first problems, and return what they were asked."""
    asked = []
    plain = [one for one in cases(options) if one.objective == "energy" and one.cap is None]
    for peer, load, board in itertools.product(options.peers, options.loads, options.boards):
        for drawn in plain:
            if (drawn.load, drawn.board) != (load, board):
                continue
            work = Work(drawn=drawn, sharing=options.sharing, peer=peer, limit_s=options.peer_limit_s)
            series.take([work])
            asked.append(work)
            if not (series.log.get(work.case) or {})["ended"]:
                break
    return asked


def measured(options: argparse.Namespace, series: Series) -> tuple[list[Row], list[Row]]:
    """Take all samples, and return the rows of our own and of the peers."""
    first = list(cases(options))
    works = []
    for seed in range(options.first, options.first + options.problems):
        works += [Work(drawn=replace(one, seed=seed), sharing=options.sharing) for one in first]
        series.take(works)
        print(f"{seed + 1 - options.first} of {options.problems} problems of each case", file=sys.stderr, flush=True)
    asked = ask_peers(options, series)
    found = [
        [{**asdict(work.drawn), "peer": work.peer, **(series.log.get(work.case) or {})} for work in some]
        for some in (works, asked)
    ]
    return rows_of(found[0]), found[1]


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Read the command's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def several(name: str, known: Sequence[Any], kind: Callable[[str], Any] = str, text: str = "") -> None:
        def read(given: str) -> list[Any]:
            found = [kind(one) for one in given.split(",") if one]
            strange = [one for one in found if known and one not in known]
            if strange:
                raise argparse.ArgumentTypeError(f"{strange[0]!r} is none of {', '.join(map(str, known))}")
            return found

        parser.add_argument(
            f"--{name}", type=read, default=list(known), help=text or f"of {', '.join(map(str, known))}"
        )

    parser.add_argument("--whole", action="store_true", help="all objectives and caps with any number of applications")
    parser.add_argument("--problems", type=int, help="problems of each case (default 3; 20 with --whole)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first problem (default 0)")
    several("boards", BOARDS)
    several("apps", (), int, "numbers of applications")
    several("loads", tuple(LOADS))
    several("objectives", tuple(OBJECTIVES))
    several("caps", (), lambda cap: None if cap == "none" else float(cap), "over the least power there is without one")
    several("peers", PEERS)
    parser.add_argument("--sharing", choices=get_args(Sharing), default="cpu", help="of the problem that is solved")
    parser.add_argument("--peer-limit-s", type=float, default=5.0, help="time limit of HiGHS and CP-SAT for each level")
    parser.add_argument("--log", type=Path, help="file with a line for each sample, to go on with")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--svg", type=Path, help="draw the times over the number of applications into this file")
    options = parser.parse_args(argv)
    options.apps = options.apps or list(APPS)
    options.caps = options.caps or [None, 1.1]
    if options.problems is None:
        options.problems = 20 if options.whole else 3
    if options.problems < 1 or options.first < 0:
        parser.error("--problems must be at least 1 and --first at least 0.")
    return options


def main(argv: list[str] | None = None) -> int:
    """Print tables, and write figures and a plot to files if told to; return 0."""
    options = parse(argv)
    warm()
    series = Series(FigureLog(options.log))
    rows, peers = measured(options, series)
    print_tables(rows, peers, options.loads)
    print(f"{series.repeated} samples were taken again since a core stood still, {series.stalled} never came out calm.")
    if options.json is not None:
        options.json.write_text(json.dumps({"benchmark": "solve", "rows": rows, "peers": peers}, indent=1) + "\n")
    if options.svg is not None:
        from benchmarks.solve_plot import plot_times

        options.svg.write_text(plot_times(rows, peers, options.peer_limit_s), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
