"""Random steps on a board's files, and their answers on two trees: a kernel and the stand-in for it.

A step is a read, or a write of something sensible, at the edge, or absurd. `Comparison` plays each on both trees, and
then looks at all that a step may have changed. A file is left out only while nothing that was written determines it:
the clock of a policy under a governor that follows the load, and afterwards until it is set.
"""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from actors.agent.devices.sysfs import File, Tree
from helpers.fake_kernel.answers import answer, answer_kept, turn

CPU = "sys/devices/system/cpu"
CPUFREQ = f"{CPU}/cpufreq"
MODULE = "sys/module/gsboard/parameters"
_COOLING = "sys/class/thermal"
_DEVFREQ = "sys/class/devfreq"
_LIMITS = ("scaling_min_freq", "scaling_max_freq")
_FREE = ("scaling_cur_freq", "scaling_setspeed", "cpuinfo_cur_freq")
_FOLLOW_LOAD = ("ondemand", "conservative", "schedutil")
_GOVERNORS = (*_FOLLOW_LOAD, "userspace", "performance", "powersave")
_TUNABLES = {
    "schedutil": ("rate_limit_us",),
    "ondemand": ("sampling_rate", "up_threshold", "sampling_down_factor", "powersave_bias", "io_is_busy"),
    "conservative": ("up_threshold", "down_threshold", "freq_step", "sampling_down_factor"),
}
_ABSURD = ("", " ", "x", "-1", "-2", "+5", "12abc", "0x1000", "007", "1 2", "1.5", "1e6", "\n")
_HUGE = tuple(str(value) for value in (2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**32 + 800_000, 2**63, 2**64, 10**30))


@dataclass(frozen=True)
class Step:
    """A read, or a write.

    Attributes:
        path: the file.
        value: what is written; None to read.
    """

    path: str
    value: str | None = None

    def on(self, tree: Tree) -> str:
        """Take the step; return what is read, "ok", or the error's name."""
        return answer(tree, self.path) if self.value is None else turn(tree, self.path, self.value)


class Board:
    """The files of a board on which steps are played. Both kernels must have them alike."""

    def __init__(self, tree: Tree) -> None:
        """Look at a board as its kernel booted."""
        self.policies = tree.find(f"{CPUFREQ}/policy*")
        self.tables = {
            policy: [int(khz) for khz in answer(tree, f"{policy}/scaling_available_frequencies").split()]
            for policy in self.policies
        }
        self.cpus = {
            policy: [int(cpu) for cpu in answer(tree, f"{policy}/related_cpus").split()] for policy in self.policies
        }
        self.switches = tree.find(f"{CPU}/cpu*/online")
        self.cooling = tree.find(f"{_COOLING}/cooling_device*")
        self.gpus = tree.find(f"{_DEVFREQ}/*")
        self.module = [f"{MODULE}/{name}" for name in _MODULE if tree.exists(f"{MODULE}/{name}")]
        self.zones = tree.find(f"{_COOLING}/thermal_zone*")
        self.counters = tree.find("sys/class/powercap/*:*")
        self._files = [*_files(tree, CPU), *_files(tree, _COOLING), *_files(tree, _DEVFREQ)]
        self._files += [path for counter in self.counters for path in _files(tree, counter)]

    def all(self) -> list[str]:
        """Return all files of the board, each by one name."""
        return self._files

    def reset(self) -> list[Step]:
        """Return steps that lead from wherever to a state in which every clock is determined."""
        steps = [Step(path, "1") for path in self.switches]
        steps += [Step(f"{device}/cur_state", "0") for device in self.cooling]
        steps += [Step(path, _MODULE[path.rsplit("/", 1)[-1]][0]) for path in self.module]
        for policy in self.policies:
            khz = self.tables[policy]
            steps += [
                Step(f"{policy}/scaling_max_freq", str(max(khz))),
                Step(f"{policy}/scaling_min_freq", str(min(khz))),
            ]
            steps.append(Step(f"{policy}/scaling_governor", "performance"))
        for gpu in self.gpus:
            steps += [
                Step(f"{gpu}/governor", "simple_ondemand"),
                Step(f"{gpu}/polling_interval", "25"),
                Step(f"{gpu}/timer", "deferrable"),
            ]
            steps += [Step(f"{gpu}/min_freq", "0"), Step(f"{gpu}/max_freq", "0")]
        for zone in self.zones:
            steps += [Step(f"{zone}/policy", "step_wise"), Step(f"{zone}/mode", "enabled")]
        return steps + [Step(f"{counter}/enabled", "1") for counter in self.counters]

    def watched(self) -> list[str]:
        """Return the files that any step may change."""
        files = [f"{CPU}/online", f"{CPU}/offline", *self.switches, *self.module]
        names = ("scaling_governor", *_LIMITS, "scaling_cur_freq", "scaling_setspeed", "affected_cpus")
        files += [f"{policy}/{name}" for policy in self.policies for name in names]
        files += [f"{device}/{name}" for device in self.cooling for name in ("type", "cur_state", "max_state")]
        names = ("governor", "min_freq", "max_freq", "cur_freq", "target_freq", "polling_interval", "timer")
        files += [f"{gpu}/{name}" for gpu in self.gpus for name in names]
        files += [f"{zone}/{name}" for zone in self.zones for name in ("temp", "mode", "policy")]
        return files + [f"{counter}/{name}" for counter in self.counters for name in ("energy_uj", "enabled")]


def _files(tree: Tree, directory: str) -> Iterator[str]:
    """Yield the files below a directory, except those that a device has in common with another one."""
    for name in tree.names(directory):
        if name not in ("cpufreq", "device") or directory == CPU:
            path = f"{directory}/{name}"
            yield from _files(tree, path) if tree.names(path) else (path,)


# For each parameter of the module of the test bed: what it is at rest, and values that leave everything determined: a
# GPU that is busy always or never is at one end of its clocks once its governor has looked.
_MODULE: dict[str, tuple[str, tuple[str, ...]]] = {
    "cap_khz": ("0", ("0", "800000", "1200000", "1300000", "1600000", "2000000", "3000000", "1", "x", "")),
    "gpu_busy": ("0", ("0", "1000", "x", "-1")),
    "temp_mc": ("45000", ("91000", "-3000", "0", "x", "1.5", "99999999999")),
    "temp_errno": ("0", ("0", "5", "11", "19", "61", "x")),
    "energy_uj": ("7", ("0", "4294967295", "123456789", "x", "-1", "1" + "0" * 30)),
}


def random_steps(board: Board, seed: int, count: int) -> list[Step]:
    """Return steps that depend on the board and the seed alone."""
    rng = random.Random(seed)
    kinds = [_limit, _limit, _limit, _governor, _speed, _speed, _switch, _policy_away, _tunable, _read]
    kinds += [_cooling] * 2 if board.cooling else []
    kinds += [_gpu] * 2 if board.gpus else []
    kinds += [_parameter] * 2 if board.module else []
    kinds += [_meter] if board.zones or board.counters else []
    steps: list[Step] = []
    while len(steps) < count:
        steps += rng.choice(kinds)(board, rng)
    return steps[:count]


def _clock(rng: random.Random, table: Sequence[int]) -> str:
    """Return a clock of the table, one beside it, or something that is none."""
    kind = rng.randrange(10)
    if kind < 5:
        return str(rng.choice(table))
    if kind < 7:
        return str(rng.choice(table) + rng.choice((-1, 1, 999, -1000, 50_000, -50_000)))
    if kind < 8:
        return str(rng.choice((0, 1, min(table) // 2, 2 * max(table))))
    return rng.choice(_ABSURD if kind < 9 else _HUGE)


def _limit(board: Board, rng: random.Random) -> list[Step]:
    policy = rng.choice(board.policies)
    return [Step(f"{policy}/{rng.choice(_LIMITS)}", _clock(rng, board.tables[policy]))]


def _governor(board: Board, rng: random.Random) -> list[Step]:
    names = (
        *_GOVERNORS,
        "userspace",
        "USERSPACE",
        "nonesuch",
        "performance\n",
        " powersave",
        "performance x",
        "",
        "x" * 20,
    )
    return [Step(f"{rng.choice(board.policies)}/scaling_governor", rng.choice(names))]


def _speed(board: Board, rng: random.Random) -> list[Step]:
    policy = rng.choice(board.policies)
    steps = [Step(f"{policy}/scaling_setspeed", _clock(rng, board.tables[policy]))]
    return [Step(f"{policy}/scaling_governor", "userspace"), *steps] if rng.random() < 0.4 else steps


def _switch(board: Board, rng: random.Random) -> list[Step]:
    return [Step(rng.choice(board.switches), rng.choice(("0", "0", "1", "1", "1\n", "on", "off", "y", "2", "x", "")))]


def _policy_away(board: Board, rng: random.Random) -> list[Step]:
    """Take all CPUs of a policy away, do something meanwhile, and have them come back in some order."""
    policy = rng.choice(board.policies)
    switches = [f"{CPU}/cpu{cpu}/online" for cpu in board.cpus[policy]]
    if not set(switches) <= set(board.switches):
        return _switch(board, rng)
    others = [f"{CPU}/cpu{cpu}/online" for other in board.policies if other != policy for cpu in board.cpus[other]]
    steps = [Step(path, "1") for path in others if path in board.switches]
    steps += [Step(path, "0") for path in rng.sample(switches, len(switches))]
    steps += rng.choice((_limit, _governor, _read, _cooling if board.cooling else _speed))(board, rng)
    return steps + [Step(path, "1") for path in rng.sample(switches, len(switches))]


def _tunable(board: Board, rng: random.Random) -> list[Step]:
    governor = rng.choice(list(_TUNABLES))
    path = f"{CPUFREQ}/{governor}/{rng.choice(_TUNABLES[governor])}"
    values = ("0", "1", "5", "21", "79", "80", "100", "101", "1000", "10000", "100001", *_ABSURD, *_HUGE)
    write = Step(path, rng.choice(values))
    use = [Step(f"{rng.choice(board.policies)}/scaling_governor", governor)] if rng.random() < 0.5 else []
    return [*use, write, Step(path)]


def _cooling(board: Board, rng: random.Random) -> list[Step]:
    state = rng.choice(("0", "0", "1", "1", "2", "3", "99", "-1", "x", "", "1x", str(2**64)))
    return [Step(f"{rng.choice(board.cooling)}/cur_state", state)]


def _gpu(board: Board, rng: random.Random) -> list[Step]:
    gpu = rng.choice(board.gpus)
    table = (114_750_000, 204_000_000, 306_000_000, 510_000_000, 803_250_000, 1_109_250_000)
    match rng.randrange(6):
        case 0:
            names = ("simple_ondemand", "simple_ondemand x", "performance", "nonesuch", "")
            return [Step(f"{gpu}/governor", rng.choice(names))]
        case 1:
            return [Step(f"{gpu}/polling_interval", rng.choice(("10", "25", "50", "x", "-1", "1x")))]
        case 2:
            return [Step(f"{gpu}/timer", rng.choice(("deferrable", "delayed", "x", "")))]
        case _:
            return [Step(f"{gpu}/{rng.choice(('min_freq', 'max_freq'))}", _clock(rng, table))]


def _parameter(board: Board, rng: random.Random) -> list[Step]:
    path = rng.choice([*board.module, f"{MODULE}/cap_khz"])
    return [Step(path, rng.choice(_MODULE[path.rsplit("/", 1)[-1]][1]))]


def _meter(board: Board, rng: random.Random) -> list[Step]:
    files = [(f"{zone}/mode", ("enabled", "disabled", "x", "")) for zone in board.zones]
    files += [(f"{zone}/policy", ("step_wise", "user_space", "bang_bang", "x", "")) for zone in board.zones]
    for counter in board.counters:
        files.append((f"{counter}/enabled", ("0", "1", "x", "")))
        files.append((f"{counter}/constraint_0_power_limit_uw", ("0", "9000000", "x", "-1", str(2**64))))
        files.append((f"{counter}/max_energy_range_uj", ("1",)))
    path, values = rng.choice(files)
    return [Step(path, rng.choice(values)), Step(path)]


def _read(board: Board, rng: random.Random) -> list[Step]:
    policy = rng.choice(board.policies)
    names = ("cpuinfo_cur_freq", "scaling_available_governors", "scaling_available_frequencies", "related_cpus")
    cpu = f"{CPU}/cpu{rng.choice(board.cpus[policy])}"
    places = [f"{cpu}/topology/{name}" for name in ("core_id", "core_cpus_list", "package_cpus_list", "cluster_id")]
    path = rng.choice([*(f"{policy}/{name}" for name in (*names, "nonesuch")), *places, f"{cpu}/cpufreq/affected_cpus"])
    return [Step(path, "1" if rng.random() < 0.2 else None)]


class _Watch:
    """Files of a tree that are read over and over, and so kept open."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._files: dict[str, File] = {}

    def answer(self, path: str) -> str:
        """Return what a file reads, or the error's name."""
        if path in self._files:
            shown = answer_kept(self._files[path])
            # A file that went and came is a new one of that name.
            if shown != "ENODEV":
                return shown
            self._files.pop(path).close()
        try:
            self._files[path] = self._tree.open(path)
        except OSError as error:
            return errno.errorcode[error.errno or 0]
        return answer_kept(self._files[path])


class Comparison:
    """Two trees that are to answer alike.

    Args:
        real: the tree that may need a while until it shows what a step came to.
        model: the tree that is held against it, which shows it at once.
        patience_s: longest such while. A kernel applies limits in a worker, and polls a GPU's load.
    """

    def __init__(self, real: Tree, model: Tree, patience_s: float = 10.0) -> None:
        self._real, self._model, self._patience_s = real, model, patience_s
        self._watches = _Watch(real), _Watch(model)
        self._board = Board(model)
        self._watched = self._board.watched()
        # The files that show a policy's clock, and the policies of which nothing that was written determines it.
        self._clocks = {f"{policy}/{name}": policy for policy in self._board.policies for name in _FREE}
        self._undetermined: set[str] = set()

    def differences(self, steps: Iterable[Step]) -> list[str]:
        """Play steps on both; return the first one whose answers differ, or after which a file does, in words.

        Both begin at rest. Before the steps all that the model has is compared once.
        """
        for step in self._board.reset():
            step.on(self._real)
            step.on(self._model)
        found = self._compared(self._board.all())
        if found:
            return ["at rest", *found]
        for number, step in enumerate(steps):
            here, there = step.on(self._real), step.on(self._model)
            self._note(step, there)
            free = step.value is None and self._is_free(step.path)
            found = [] if here == there or free else [f"answers {here!r}, the model {there!r}"]
            found += self._compared(self._watched)
            if found:
                return [f"step {number}: {step}", *found]
        return []

    def _note(self, step: Step, came_to: str) -> None:
        """Keep up which policies' clocks are determined."""
        for policy in self._board.policies:
            governor = self._watches[1].answer(f"{policy}/scaling_governor")
            if governor in _FOLLOW_LOAD:
                self._undetermined.add(policy)
            elif governor in ("performance", "powersave") or (
                governor == "userspace" and step.path == f"{policy}/scaling_setspeed" and came_to == "ok" and step.value
            ):
                self._undetermined.discard(policy)

    def _is_free(self, path: str) -> bool:
        return self._clocks.get(path) in self._undetermined

    def _compared(self, files: Iterable[str]) -> list[str]:
        real, model = self._watches

        def unlike(files: Iterable[str]) -> list[str]:
            return [path for path in files if real.answer(path) != model.answer(path)]

        different = unlike(path for path in files if not self._is_free(path))
        until_s = time.monotonic() + self._patience_s
        while different and time.monotonic() < until_s:
            time.sleep(0.005)
            different = unlike(different)
        return [f"{path}: {real.answer(path)!r}, the model {model.answer(path)!r}" for path in different]
