"""Commands on a board itself: `probe` describes it, `doctor` examines it, `restore` gives it back after a crash."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from actors.agent.devices.sysfs import DeviceError, Tree
from actors.agent.machine import Machine
from actors.board_commands.board_text import board_text
from actors.board_commands.condition import Note, facts, notes
from actors.board_commands.doctor import Examination, examine
from actors.board_commands.dump import Dump, make_dump, write_dump
from actors.board_commands.identity import kernel, l4t, model
from actors.board_commands.probe import probe as probe_tree
from actors.board_commands.probe import probe_host
from actors.board_commands.probed import Probed
from actors.board_commands.restore import journals_of_others, run_notes
from actors.board_commands.restore import restore as give_back
from actors.board_commands.software import software
from actors.board_commands.sysroot import open_sysroot
from scheduler.errors import InputError
from workloads.cli.board_tables import checks_table, facts_table
from workloads.cli.options import bad_input, print_result, write_text

SysrootOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Another machine's files, and nothing of this one: a report of its doctor, or a directory that is its /.",
    ),
]


def probe(
    write: Annotated[Path | None, typer.Option(metavar="FILE", help="File to write. Default: print it.")] = None,
    sysroot: SysrootOption = None,
    all_clocks: Annotated[
        bool, typer.Option("--all-clocks", help="List all clocks, also those that this process may not set.")
    ] = False,
) -> None:
    """Describe this machine as a board: clusters, clocks, sensors, as its kernel tells them."""
    with bad_input():
        if write is not None and write.exists():
            raise InputError(f"--write {str(write)!r} is there already; name a new file, or remove it")
        tree = open_sysroot(sysroot) if sysroot else Tree()
        try:
            found = probe_tree(tree, all_clocks=all_clocks) if sysroot else probe_host(tree, all_clocks=all_clocks)
        except DeviceError as error:
            raise InputError(str(error)) from None
        text = board_text(found.board, header=_header(tree, sysroot), remarks=_by_unit(found), sources=found.sources)
        if write is None:
            print(text, end="")
        else:
            write_text(write, text)
    for remark in found.remarks:
        if remark.matters:
            print(f"{remark.unit or 'board'}: {remark.text}", file=sys.stderr)
    if write is not None:
        print(f"{write}  is this board; gearshift run MIX.py --board {write} takes it", file=sys.stderr)


def _header(tree: Tree, sysroot: Path | None) -> list[str]:
    where = f"the files in {sysroot}" if sysroot else "this machine's kernel"
    made = f"Made by gearshift probe {version('gearshift')} on {time.strftime('%Y-%m-%d')} from {where}"
    return [f"{made}: {model(tree) or 'a machine without a name'}, Linux {kernel(tree)}."]


def _by_unit(found: Probed) -> dict[str | None, list[str]]:
    remarks: dict[str | None, list[str]] = {}
    for remark in found.remarks:
        remarks.setdefault(remark.unit, []).append(f"{remark.text[0].upper()}{remark.text[1:].removesuffix('.')}.")
    return remarks


def doctor(
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Also write the files that were read, for others to test with: a .tar.gz or directory."
        ),
    ] = None,
    sysroot: SysrootOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON and nothing else.")] = False,
) -> None:
    """Say what gearshift can use of this machine, what not, why, and what would help.

    The exit code is 0 if all clocks and rails that the machine has can be used, else 1.
    """
    with bad_input():
        tree = open_sysroot(sysroot) if sysroot else Tree()
        about = facts(tree) | ({} if sysroot else software(l4t(tree)))
        said = [*notes(tree), *([] if sysroot else run_notes(Machine()))]
        found = examine(tree)
        if report is not None:
            dump = make_dump(tree, {"gearshift": version("gearshift"), "machine": platform.machine(), **about})
            write_dump(dump, report)
    if json:
        print(dumps(_as_json(about, said, found), indent=2))
    else:
        _print_findings(about, said, found)
        if report is not None:
            _print_report(report, dump)
    raise typer.Exit(0 if found.ok else 1)


def _as_json(about: Mapping[str, str], said: Sequence[Note], found: Examination) -> dict[str, object]:
    return {"ok": found.ok, "machine": dict(about), "notes": [asdict(note) for note in said], **asdict(found)}


def _print_findings(about: Mapping[str, str], said: Sequence[Note], found: Examination) -> None:
    print_result(facts_table(about))
    if found.checks:
        print_result(checks_table(found))
    # Commands are to be copied, so nothing breaks their lines.
    for note in said:
        print(f"- {note.text}" + (f"\n    {note.mend}" if note.mend else ""))
    for mend in found.mends:
        print(f"\n{mend.title[0].upper()}{mend.title[1:]}:")
        for line in mend.lines:
            print(line)
    if said or found.mends:
        print()
    if not any(check.wanted for check in found.checks):
        print("This machine has no clock that can be set and no rail that is measured.")
    elif found.ok:
        print("All clocks and rails that this machine has can be used.")
    else:
        print("Not all of this machine's clocks and rails can be used; the table says which.")


def _print_report(report: Path, dump: Dump) -> None:
    print(f"\n{report} holds {len(dump.files)} files, and the content of {len(dump.contents)} of them:")
    for area, number in dump.areas.items():
        print(f"  {number:4} of {area}")
    print("It holds no host name, no user, no serial number, no network address and no other file.")
    print(f"gearshift doctor --sysroot {report}  and  gearshift probe --sysroot {report}  read it.")


def restore(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be given back, and change nothing.")
    ] = False,
) -> None:
    """Give the board back as it was found before a run that was killed."""
    machine = Machine()
    with bad_input():
        try:
            outcome = give_back(machine, dry_run=dry_run)
        except (DeviceError, OSError) as error:
            raise InputError(str(error)) from None
    lines = outcome.lines()
    if dry_run and lines:
        print("This would be done:")
    for line in lines or ["Nothing to give back: no run of yours has left a knob turned."]:
        print(line)
    for note in journals_of_others(machine):
        print(f"{note.text}: {note.mend}", file=sys.stderr)
    if outcome.failed:
        raise typer.Exit(1)
