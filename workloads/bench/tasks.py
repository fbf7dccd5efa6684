"""The tasks of a bench: each is one mix on one board under one policy with one seed.

The command and its cases alone decide which tasks there are, so a bench that was stopped knows what is left. Pure
functions; nothing here loads or runs a mix.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from scheduler.policies import HINDSIGHT
from workloads.bench.sensitivity import CHANGES
from workloads.bench.variants import Floors

USUAL_BASELINES = ("schedutil", "floor+schedutil", "joint+schedutil", "joint+schedutil-uclamp", "floor+lavd")
"""The policies that others are compared with by default: the kernel's governor with the largest networks, with the
networks that just meet their floors, and with the gears of `joint`; the same with a clamp for each application, which
is the most that a kernel can be told; and a scheduler that compacts, with the networks that just meet their floors."""

DEFAULT_POLICIES = ("joint", *USUAL_BASELINES, "largest", "floor", *HINDSIGHT)

GENERATED = "generated:"
"""The beginning of a source that is no file: the seed of a generated mix follows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One mix on one board.

    Attributes:
        source: path of the mix script, or `generated:SEED`.
        mix: name of the mix.
        board: name of the board.
        utilisation: share of the board that a generated mix asks for; None for a written one.
    """

    source: str
    mix: str
    board: str
    utilisation: float | None = None

    @property
    def generated(self) -> bool:
        """True if the generator made the mix."""
        return self.source.startswith(GENERATED)


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchTask:
    """One run. Two tasks are equal if they ask for the same run.

    Attributes:
        mix: name of the mix.
        board: name of the board.
        policy: name of the policy.
        seed: seed of arrivals and service times.
        clones: how often each app of the mix is there.
        parity: the baseline whose delivered accuracies are this run's floors; None for the mix's own floors.
        change: the change of the board, one of `sensitivity.CHANGES`; None for the board as it is.
        floors: the floors of a parity run, which follow from the baseline's run; None for other runs.
    """

    mix: str
    board: str
    policy: str
    seed: int
    clones: int = 1
    parity: str | None = None
    change: str | None = None
    floors: Floors | None = field(default=None, compare=False)

    @property
    def plain(self) -> bool:
        """True if the mix is as it was written and the board as it is."""
        return self.clones == 1 and self.parity is None and self.change is None


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """The options of a bench that decide which tasks it has.

    Attributes:
        policies: names of the policies, at least one.
        against: those of `policies` that each other one is compared with, the baselines; may be empty.
        repeats: number of seeds of each written mix, at least 1; a generated mix has one seed.
        seed: the first seed.
        backend: `sim` or `ray`.
        scale: how often each app is there, in ascending order.
        sensitivity: True if the boards are changed too.
    """

    policies: tuple[str, ...]
    against: tuple[str, ...]
    repeats: int
    seed: int
    backend: str
    scale: tuple[int, ...]
    sensitivity: bool

    @property
    def studied(self) -> str:
        """The policy that is studied most closely: the first one that is no baseline, or the first of all."""
        return next((name for name in self.policies if name not in self.against), self.policies[0])

    @property
    def baselines(self) -> tuple[str, ...]:
        """The baselines of the studied policy: all but itself."""
        return tuple(name for name in self.against if name != self.studied)


def usual_baselines(policies: Sequence[str]) -> tuple[str, ...]:
    """Return the baselines of a bench that names none: the usual ones among its policies, or all but the first.

    For `joint`, `largest` and `schedutil` it is `schedutil`; for `mine.py:Mine`, `largest` and `floor` the last two.
    """
    first = next((name for name in policies if name not in USUAL_BASELINES), policies[0])
    others = tuple(name for name in policies if name != first)
    return tuple(name for name in USUAL_BASELINES if name in others) or others


def first_tasks(command: Command, cases: Sequence[Case]) -> list[BenchTask]:
    """Return all tasks that need no other's result, those of one mix together."""
    tasks: list[BenchTask] = []
    # Policies with hindsight simulate a mix many times before they run it: too much where there are many mixes.
    lean = tuple(name for name in command.policies if name not in HINDSIGHT)
    compared = (command.studied, *command.baselines)
    for case in cases:
        for policy in lean if case.generated else command.policies:
            tasks += [_plain_task(case, policy, seed) for seed in seeds_of(command, case)]
        if case.generated:
            continue
        # Changed mixes and changed boards run with the first seed alone.
        first = {policy: _plain_task(case, policy, command.seed) for policy in command.policies}
        for clones in command.scale:
            if clones > 1:
                tasks += [replace(first[policy], clones=clones) for policy in lean]
        if command.sensitivity:
            tasks += [replace(first[policy], change=change) for change in CHANGES for policy in compared]
    return list(dict.fromkeys(tasks))


def parity_tasks(command: Command, cases: Iterable[Case], delivered: dict[BenchTask, Floors]) -> list[BenchTask]:
    """Return the runs of the studied policy with the accuracies that each baseline delivered as its floors.

    There is one for each plain run of a baseline that went well; generated mixes have none.

    Args:
        command: the options of the bench.
        cases: its mixes on boards.
        delivered: the accuracies that each app got, by the baseline's task.
    """
    tasks = []
    for case in cases:
        for baseline in command.baselines:
            for seed in () if case.generated else seeds_of(command, case):
                floors = delivered.get(_plain_task(case, baseline, seed))
                if floors is not None:
                    studied = _plain_task(case, command.studied, seed)
                    tasks.append(replace(studied, parity=baseline, floors=floors))
    return tasks


def seeds_of(command: Command, case: Case) -> range:
    """Return the seeds that a case is run with."""
    return range(command.seed, command.seed + (1 if case.generated else command.repeats))


def _plain_task(case: Case, policy: str, seed: int) -> BenchTask:
    return BenchTask(mix=case.mix, board=case.board, policy=policy, seed=seed)
