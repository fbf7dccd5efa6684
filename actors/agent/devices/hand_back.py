"""Giving the board back: each knob of the journal is put back as it was found, if it is still as gearshift left it.

It is one pass of reads and writes that needs nothing but the journal, so any process can do it: the agent at its end,
the driver after the agent's death, the next start, or `gearshift restore`. Doing it twice is the same as once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Literal

from actors.agent.devices.caps import passing_cap
from actors.agent.devices.gpu_lock import gpu_of, lock_of
from actors.agent.devices.journal import Turnable
from actors.agent.devices.journal_files import Found, JournalRead, Kind, check_private, read_journals
from actors.agent.devices.limits import due
from actors.agent.devices.nvml_library import NVIDIA_DRIVER, Nvml, NvmlError, open_nvml
from actors.agent.devices.sysfs import AwayError, KnobError, Tree

# A clock domain without CPUs takes nothing, so CPUs come first. A governor starts within the limits that it finds. The
# set speed and the tunables are there only once their governor is. A GPU's lock hangs together with none of them.
_ORDER: tuple[Kind, ...] = ("online", "limit", "governor", "speed", "tunable", "gpu-lock")

_GOVERNOR = "/scaling_governor"

Outcome = Literal["as found", "put back", "left alone"]


@dataclass(frozen=True, kw_only=True, slots=True)
class HandedBack:
    """The outcome of giving a board back, each knob in words.

    Attributes:
        put_back: knobs that were written, with the value.
        left_alone: knobs that somebody else has turned since, with what they show.
        failed: knobs that could not be read or written, with the reason; they stay in the journal.
    """

    put_back: tuple[str, ...] = ()
    left_alone: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()

    def __add__(self, other: HandedBack) -> HandedBack:
        return HandedBack(
            put_back=self.put_back + other.put_back,
            left_alone=self.left_alone + other.left_alone,
            failed=self.failed + other.failed,
        )

    def lines(self) -> list[str]:
        """Return the outcome as lines for a user."""
        return [*(f"put back: {knob}" for knob in self.put_back), *self.faults()]

    def faults(self) -> list[str]:
        """Return the lines on knobs that were not put back."""
        return [
            *(f"left as it is, since somebody else has set it meanwhile: {knob}" for knob in self.left_alone),
            *(f"could not be put back: {knob}" for knob in self.failed),
        ]


def hand_back(
    tree: Tree,
    state: Path,
    nvml: Callable[[], Nvml | None] = open_nvml,
    *,
    but: JournalRead | None = None,
    dry_run: bool = False,
) -> HandedBack:
    """Give the board back as the journals say, and delete them.

    Whoever calls it has the board's lock, so nobody turns a knob meanwhile. Knobs that could not be put back, such as
    those of a clock domain without CPUs, stay in the journal for the next time.

    Args:
        tree: the files of the board.
        state: directory of the journals.
        nvml: gives the board's NVML, or None; asked only where a GPU's lock has to be taken off.
        but: a journal that is left, since somebody goes on with it.
        dry_run: say what would be done, and do nothing.

    Raises:
        OSError: if a journal may not be read.
        DeviceError: if one is something else, or another user could have written it.
    """
    result = HandedBack()
    journals = read_journals(tree, state)
    if journals:
        check_private(state)
    for journal in journals:
        if journal == but:
            continue
        if journal.same_boot:
            result += _undo(tree, journal, nvml, dry_run=dry_run)
        elif not dry_run:
            # The reboot has put every knob back by itself, and what was found before it means nothing now.
            journal.done([found.path for found, _ in journal.entries])
    return result


def _undo(tree: Tree, journal: JournalRead, nvml: Callable[[], Nvml | None], *, dry_run: bool) -> HandedBack:
    words: dict[Outcome, list[str]] = {"as found": [], "put back": [], "left alone": []}
    failed: dict[str, str] = {}
    entries = [(due(tree, found), values) for found, values in journal.entries]
    for kind in _ORDER:
        # All of a kind are looked at before one is written: what one limit shows depends on the other.
        turns: list[tuple[int, Found, Outcome]] = []
        for found, values in entries:
            if found.kind == kind:
                with _failing(found, failed):
                    _check_governor_is_back(found, failed)
                    turns.append((_turn_of_limit(tree, found), found, _outcome(tree, found, values)))
        for _, found, outcome in sorted(turns, key=itemgetter(0)):
            with _failing(found, failed):
                if outcome == "put back" and not dry_run:
                    knob: Turnable = lock_of(found, nvml) if kind == "gpu-lock" else tree.knob(found.path)
                    knob.write(found.give_back)
                words[outcome].append(_words(tree, found, outcome))
    if not dry_run:
        journal.done({found.path for found, _ in journal.entries} - failed.keys())
    return HandedBack(
        put_back=tuple(words["put back"]), left_alone=tuple(words["left alone"]), failed=tuple(failed.values())
    )


def _check_governor_is_back(found: Found, failed: Mapping[str, str]) -> None:
    """Check that a figure of a governor is not looked at before its governor is back, which a later pass may do.

    Raises:
        KnobError: if its governor could not be put back.
    """
    if found.kind in ("speed", "tunable"):
        domain = f"{found.path.rsplit('/', 1)[0]}/" if found.kind == "speed" else ""
        if any(path.startswith(domain) and path.endswith(_GOVERNOR) for path in failed):
            raise KnobError(found.path, "its governor is not back")


def _turn_of_limit(tree: Tree, found: Found) -> int:
    """Return when a limit is put back among the others: 0, 1 or 2; 0 for other knobs.

    The lowest clock must never be above the highest. Kernels before 5.4 refuse that, and later ones show another value
    than was written. So lowest clocks that fall come before the highest ones, and those that rise after them.
    """
    if found.kind != "limit":
        return 0
    if "min" not in found.path.rsplit("/", 1)[-1]:
        return 1
    return 0 if int(found.give_back) <= tree.knob(found.path).number() else 2


@contextmanager
def _failing(found: Found, failed: dict[str, str]) -> Iterator[None]:
    """Note the reason why a knob can't be read or written within the block."""
    try:
        yield
    except (KnobError, NvmlError) as error:
        failed[found.path] = str(error)


def _outcome(tree: Tree, found: Found, values: tuple[str, ...]) -> Outcome:
    """Return what is to be done with a knob: it is put back if it is as gearshift left it.

    Args:
        tree: the files of the board.
        found: the knob as it was found.
        values: what it may show if nobody else has turned it since; none if gearshift had not turned it yet.

    Raises:
        KnobError: if it cannot be read.
    """
    knob = tree.knob(found.path)
    match found.kind:
        case "online" | "governor":
            shown = knob.text()
            if not values or shown == found.give_back:
                return "as found"
            if shown not in values:
                return "left alone"
        case "limit":
            # Of a limit only the least of all requests shows, so our own may be in force although the one found shows.
            if not values:
                return "as found"
            shown = knob.text()
            if not _ours(tree, found, shown, values):
                return "as found" if shown == found.give_back else "left alone"
        case "speed":
            governor = tree.text(f"{found.path.rsplit('/', 1)[0]}/scaling_governor")
            if governor != "userspace" or knob.text() == found.shown:
                return "as found"
        case "tunable":
            try:
                if knob.text() == found.shown:
                    return "as found"
            except AwayError:
                if tree.exists(found.path):  # it can't be read for now
                    raise
                return "left alone"  # its governor was left alone, and is another one now
        case "gpu-lock":
            # Nobody can tell whose lock is in force, so one that may be ours goes. With the driver every lock has gone.
            if not values or not tree.exists(NVIDIA_DRIVER):
                return "as found"
    return "put back"


def _ours(tree: Tree, found: Found, shown: str, values: tuple[str, ...]) -> bool:
    """Return True if a limit is the one that gearshift asked for, whether that shows or a lower cap does."""
    if shown in values or shown == found.shown:
        return True
    below = shown.isdigit() and all(value.isdigit() and int(shown) < int(value) for value in values)
    if not below:
        return False
    # Somebody who has lowered the highest clock alone has hidden our lowest one, which would be in force again with it.
    domain, name = found.path.rsplit("/", 1)
    hidden = "min" in name and shown == tree.text_or_none(f"{domain}/{name.replace('min', 'max')}")
    return hidden or passing_cap(tree, domain) is not None


def _words(tree: Tree, found: Found, outcome: Outcome) -> str:
    if found.kind == "gpu-lock":
        return f"clocks of {gpu_of(found)}: {found.give_back}"
    if outcome == "put back":
        return f"/{found.path} = {found.give_back}" + (f" ({found.note})" if found.note else "")
    return f"/{found.path} = {tree.text_or_none(found.path)}"
