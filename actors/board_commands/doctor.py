"""Examination of a machine: which of its knobs and sensors this process can use, why not, and what would help.

Nothing is turned. A knob that may not be written is opened for writing all the same, to learn the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from actors.agent.devices import devfreq
from actors.agent.devices.sysfs import AwayError, KnobError, Tree
from actors.agent.devices.thermal import Thermometer
from actors.agent.sensors import DRIVERS, found
from actors.agent.sensors.common import JOIN_GROUP, NO_UNIT
from actors.board_commands.condition import listed_names

_CPU = "sys/devices/system/cpu"
_READ_ONLY = "Read-only file system"
_NOT_WRITTEN = "Permission denied"

_FILES_MEND = "let a group set clocks"
_SWITCHES_MEND = "let a group switch CPUs"
_CONTAINER_MEND = "give the container /sys"


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One file, or several of the same name that do the same.

    Attributes:
        name: what it is, such as `scaling_governor (policy0, policy4)`.
        paths: the files.
        read: true if it can be read; None if it need not be.
        write: true if it can be written; None if it need not be.
        why_not: why not, in the kernel's words; None where all is well.
        mend: title of the mend that helps; None where there is none.
        wanted: true if a run that uses all of this machine needs it.
    """

    name: str
    paths: tuple[str, ...]
    read: bool | None = None
    write: bool | None = None
    why_not: str | None = None
    mend: str | None = None
    wanted: bool = True

    @property
    def ok(self) -> bool:
        """True if what is needed of it can be done."""
        return self.read is not False and self.write is not False


@dataclass(frozen=True, kw_only=True, slots=True)
class Mend:
    """What lets this process use something that it can't use.

    Attributes:
        title: its title.
        lines: sentences, and commands as they are typed.
    """

    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Examination:
    """What was found of knobs and sensors.

    Attributes:
        checks: the checks, in the order of a board: clocks of CPUs, GPU, switches of CPUs, rails, temperatures.
        mends: the mends that the checks name.
    """

    checks: tuple[Check, ...]
    mends: tuple[Mend, ...]

    @property
    def ok(self) -> bool:
        """True if all that this machine has, and that a run could use, can be used."""
        return all(check.ok for check in self.checks if check.wanted)


def examine(tree: Tree) -> Examination:
    """Examine a machine.

    Args:
        tree: the machine's files.
    """
    rails, rail_mends = _rails(tree)
    checks = (*_cpu_clocks(tree), *_gpu_clocks(tree), *_switches(tree), *rails, *_temperatures(tree))
    needed = {check.mend for check in checks if not check.ok}
    for_files = (_files_mend(checks), _switches_mend(checks), _CONTAINER)
    mends = [mend for mend in (*for_files, *rail_mends) if mend.title in needed]
    return Examination(checks=checks, mends=tuple(mends))


# ---------------------------------------------------------------- knobs


def _cpu_clocks(tree: Tree) -> list[Check]:
    checks = []
    for policy in tree.find(f"{_CPU}/cpufreq/policy*"):
        by_speed = "userspace" in (tree.text_or_none(f"{policy}/scaling_available_governors") or "").split()
        writes = ["scaling_governor", "scaling_min_freq", "scaling_max_freq"] + ["scaling_setspeed"] * by_speed
        checks += [_check(tree, f"{policy}/{name}", write=True) for name in writes]
        checks.append(_check(tree, f"{policy}/scaling_cur_freq"))
    return _merged(checks)


def _gpu_clocks(tree: Tree) -> list[Check]:
    checks = []
    for device in devfreq.gpus(tree):
        # No engine runs on another one, so nobody has to be able to set its clock.
        used = devfreq.is_nvidia(tree, device)
        mend = _FILES_MEND if used else None
        for name in ("min_freq", "max_freq", "governor"):
            checks.append(_check(tree, f"{device}/{name}", write=True, wanted=used, mend=mend))
        checks.append(_check(tree, f"{device}/cur_freq", wanted=used))
    return _merged(checks)


def _switches(tree: Tree) -> list[Check]:
    # A unit is switched off only where its owner allows that, so nobody has to be able to.
    switches = tree.find(f"{_CPU}/cpu[0-9]*/online")
    return _merged([_check(tree, path, write=True, wanted=False, mend=_SWITCHES_MEND) for path in switches])


def _check(
    tree: Tree, path: str, *, write: bool = False, wanted: bool = True, mend: str | None = _FILES_MEND
) -> Check | None:
    """Return what this process may do with a file; None where it is not there, or stands for what is switched off.

    Args:
        tree: the machine's files.
        path: the file.
        write: true if it has to be written.
        wanted: true if a run that uses all of this machine needs it.
        mend: title of what helps if only root may write it; None where nothing has to.
    """
    readable, why_not = True, None
    try:
        tree.text(path)
    except AwayError:
        return None
    except KnobError as error:
        readable, why_not = False, _reason(error)
    writable = _writable(tree, path) if write else None
    if isinstance(writable, str):
        why_not = writable
    if why_not == _READ_ONLY and mend is not None:
        mend = _CONTAINER_MEND
    elif why_not != _NOT_WRITTEN or not write:
        mend = None
    return Check(
        name=path,
        paths=(path,),
        read=readable,
        write=None if writable is None else writable is True,
        why_not=why_not,
        mend=mend,
        wanted=wanted,
    )


def _writable(tree: Tree, path: str) -> bool | str:
    """Return True if a file can be opened for writing, else the reason."""
    if not tree.may(path, write=True):
        try:
            tree.open(path, writing=True).close()
        except OSError as error:
            return error.strerror or _NOT_WRITTEN
        return _NOT_WRITTEN
    return True


def _reason(error: KnobError) -> str:
    return str(error).removeprefix(f"/{error.path}: ")


def _merged(checks: Iterable[Check | None]) -> list[Check]:
    """Return one check for all files of the same name with the same outcome, in the order of the first."""
    groups: dict[tuple[object, ...], list[Check]] = {}
    for check in filter(None, checks):
        name = check.paths[0].rpartition("/")[2]
        groups.setdefault((name, check.read, check.write, check.why_not), []).append(check)
    merged = []
    for alike in groups.values():
        paths = tuple(path for check in alike for path in check.paths)
        folders = listed_names([path.split("/")[-2] for path in paths])
        merged.append(replace(alike[0], name=f"{paths[0].rpartition('/')[2]} ({folders})", paths=paths))
    return merged


# ---------------------------------------------------------------- sensors


def _rails(tree: Tree) -> tuple[list[Check], list[Mend]]:
    checks, mends = [], {}
    for rail in found(tree):
        title = None
        if rail.mend is not None:
            title = f"access to {rail.driver}"
            sentence = f"{rail.mend[0].upper()}{rail.mend[1:]}"
            mends[title] = Mend(title=title, lines=DRIVERS[rail.driver].commands or (sentence,))
        checks.append(
            Check(
                name=f"rail {rail.rail} ({rail.driver}, {rail.address})",
                paths=(rail.path,),
                read=rail.why_not is None,
                why_not=rail.why_not and re.sub(r"^/\S+: ", "", rail.why_not),
                mend=title,
                wanted=rail.feeds != NO_UNIT,
            )
        )
    return checks, list(mends.values())


def _temperatures(tree: Tree) -> list[Check]:
    thermometer = Thermometer(tree)
    shown = [zone for zone in thermometer.zones if thermometer.temp_c(zone) is not None]
    silent = [zone for zone in thermometer.zones if zone not in shown]
    checks = []
    if shown:
        checks.append(Check(name=f"temperature ({', '.join(shown)})", paths=(), read=True, wanted=False))
    if silent:
        why_not = "no value now: what it measures is switched off"
        checks.append(
            Check(name=f"temperature ({', '.join(silent)})", paths=(), read=False, why_not=why_not, wanted=False)
        )
    return checks


# ---------------------------------------------------------------- mends

_CONTAINER = Mend(
    title=_CONTAINER_MEND,
    lines=(
        "A container gets /sys read-only. Give it the machine's own, for which Docker's AppArmor profile has to go:",
        "docker run -v /sys:/sys --security-opt apparmor=unconfined ...",
    ),
)
"""Docker's default profile denies writing below /sys (moby, `profiles/apparmor/template.go`)."""


def _files_mend(checks: Sequence[Check]) -> Mend:
    why = "Only root may write these files. Run as root, or let a group write them, and log in again:"
    return _group_mend(_FILES_MEND, why, "gearshift.conf", checks)


def _switches_mend(checks: Sequence[Check]) -> Mend:
    why = "Only a unit with may_switch_off: true needs these. Run as root, or let a group write them, and log in again:"
    return _group_mend(_SWITCHES_MEND, why, "gearshift-switches.conf", checks)


def _group_mend(title: str, why: str, file: str, checks: Sequence[Check]) -> Mend:
    """Return how a group may write the files that only root may, from the next boot on and at once.

    Clock domains raise no event that udev could act on, so the rules are systemd-tmpfiles'.
    """
    denied = [path for check in checks if check.mend == title for path in check.paths]
    patterns = dict.fromkeys(re.sub(r"/(policy|cpu)\d+/", r"/\1[0-9]*/", path) for path in denied)
    return Mend(
        title=title,
        lines=(
            why,
            JOIN_GROUP,
            f"sudo tee /etc/tmpfiles.d/{file} <<END",
            *(f"z /{pattern} 0664 root gearshift" for pattern in patterns),
            "END",
            f"sudo systemd-tmpfiles --create /etc/tmpfiles.d/{file}",
        ),
    )
