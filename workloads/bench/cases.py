"""The mixes of a bench on their boards, with the profiles of their networks, all read and checked before any run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from scheduler.board import Board
from scheduler.profile import Profile
from workloads.bench.power_sets import set_boards
from workloads.bench.tasks import GENERATED, Case, Command
from workloads.ladder.profiles import profiles_for
from workloads.mix.app import Family
from workloads.mix.errors import MixError
from workloads.mix.loader import load_mix
from workloads.mix.mix import Mix
from workloads.progress import Progress
from workloads.runs.app_sources import check_sources
from workloads.runs.boards import open_board
from workloads.runs.options import check_options
from workloads.runs.simulated import plan_simulation

Profiles = Mapping[str | Family, Profile]
Notice = Callable[[str], None]


class GeneratedMix(Protocol):
    """A mix that the generator made."""

    @property
    def mix(self) -> Mix:
        """The mix, made for one board."""

    @property
    def utilisation(self) -> float:
        """Share of the board that the mix asks for, from 0 to 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cases:
    """The mixes of a bench on their boards.

    Attributes:
        cases: each mix on each of its boards, in the order to run them.
        boards: the boards by name.
        profiles: the profiles of the networks by mix and board; empty if the back-end finds its own.
        left_out: one sentence for each mix that does not fit a board that the user named.
        identity: a digest of each thing that was read, by its name, so that a change is found.
    """

    cases: tuple[Case, ...]
    boards: Mapping[str, Board]
    profiles: Mapping[tuple[str, str], Profiles]
    left_out: tuple[str, ...]
    identity: Mapping[str, Any]


def read_mix(source: str, board: Board) -> Mix:
    """Return the mix of a source: a path of a script, or `generated:SEED`."""
    return read_generated(source, board).mix if source.startswith(GENERATED) else load_mix(source)


def read_generated(source: str, board: Board) -> GeneratedMix:
    """Return the generated mix of a source such as `generated:3`."""
    from workloads.suite.generated import generated_mix

    made: GeneratedMix = generated_mix(int(source.removeprefix(GENERATED)), board)
    return made


def find_cases(
    command: Command,
    scripts: Sequence[Path],
    boards: Sequence[str] | None,
    generated: int,
    on_notice: Notice,
    on_progress: Progress,
) -> Cases:
    """Read all mixes and boards of a command, and check that they can be run.

    Args:
        command: the options of the bench.
        scripts: paths of the written mixes.
        boards: names or paths of the boards to run each mix on; None for each mix's own, or else the default one.
        generated: number of generated mixes on each of `boards`, or on the default one.
        on_notice: called with a sentence for each mix that is left out, and each engine that can't run a model.
        on_progress: called with a text, the number done and the number of all, while networks without a packaged
            profile are measured.

    Raises:
        ValueError: if any input is bad, or no case is left.
    """
    opened = _Boards(command.backend)
    given = [opened.open(name) for name in boards] if boards is not None else None
    pairs: list[tuple[str, Mix, Board, float | None]] = []
    for script in dict.fromkeys(scripts):
        mix = load_mix(script)
        for board in given or [opened.open(name) for name in mix.boards or (None,)]:
            pairs.append((str(script), mix, board, None))
    for number in range(generated):
        for board in given or [opened.open(None)]:
            made = read_generated(f"{GENERATED}{number}", board)
            pairs.append((f"{GENERATED}{number}", made.mix, board, made.utilisation))
    _check_names(pairs)
    cases, profiles, left_out = [], {}, []
    for source, mix, board, utilisation in pairs:
        try:
            found = _checked(command, mix, board, on_progress, on_notice)
        except MixError as error:
            if given is None:
                raise MixError(f"{source} on board {board.name!r}: {error}") from None
            left_out.append(f"{mix.name} on {board.name}: {error}")
            on_notice(f"left out: {left_out[-1]}")
            continue
        cases.append(Case(source=source, mix=mix.name, board=board.name, utilisation=utilisation))
        profiles[mix.name, board.name] = found
    if not cases:
        raise MixError(f"no mix is left: {'; '.join(left_out)}" if left_out else "there is no mix to run; name one.")
    return Cases(
        cases=tuple(cases),
        boards=opened.by_name,
        profiles=profiles,
        left_out=tuple(left_out),
        identity={
            "mixes": {mix.name: _digest(Path(source)) for source, mix, _, used in pairs if used is None},
            "boards": {name: _digest(board) for name, board in opened.by_name.items()},
            "power_sets": {name: _digest(set_boards(board)) for name, board in opened.by_name.items()},
            "generated": generated,
            "policy_files": {name: _digest(Path(name.partition(":")[0])) for name in command.policies if ".py" in name},
            "profiles": _digest(sorted(map(repr, profiles.items()))),
        },
    )


class _Boards:
    """The boards of a bench; each is opened once."""

    def __init__(self, backend: str) -> None:
        self.by_name: dict[str, Board] = {}
        self._backend = backend
        self._opened: dict[str | None, Board] = {}

    def open(self, name: str | None) -> Board:
        if name not in self._opened:
            board = open_board(name, self._backend)
            if self.by_name.setdefault(board.name, board) != board:
                raise MixError(f"two different boards are named {board.name!r}; rename one.")
            self._opened[name] = board
        return self._opened[name]


def _checked(
    command: Command, mix: Mix, board: Board, on_progress: Progress, on_notice: Notice
) -> dict[str | Family, Profile]:
    """Return the profiles of a mix on a board, once all policies are found to be able to run it."""
    check_sources(mix, command.seed)
    if command.backend == "ray":
        for policy in command.policies:
            check_options(board, policy=policy, seed=command.seed, epoch_ms=100.0, time_scale=1.0)
        mix.check_board(board.units)
        return {}
    profiles = profiles_for(mix, board, on_progress=on_progress, on_notice=on_notice)
    for policy in command.policies:
        plan_simulation(mix, board, policy=policy, seed=command.seed, profiles=profiles)
    return profiles


def _check_names(pairs: Sequence[tuple[str, Mix, Board, float | None]]) -> None:
    sources: dict[tuple[str, str], str] = {}
    for source, mix, board, _ in pairs:
        other = sources.setdefault((mix.name, board.name), source)
        if other != source:
            raise MixError(f"two mixes are named {mix.name!r}, of {other} and of {source}; rename one.")


def _digest(what: object) -> str:
    content = what.read_bytes() if isinstance(what, Path) else repr(what).encode()
    return hashlib.sha256(content).hexdigest()[:12]
