"""`probe`, `doctor` and its report, on a real kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.agent.checks import check_clocks
from actors.agent.devices.sysfs import Tree
from actors.agent.machine import Machine
from actors.board_commands.board_text import board_text
from actors.board_commands.condition import facts, notes
from actors.board_commands.doctor import examine
from actors.board_commands.dump import make_dump, write_dump
from actors.board_commands.probe import probe
from actors.board_commands.sysroot import open_sysroot
from actors.board_file import read_board
from kernel.guest.levers import BOARD, capped

# By guest: each CPU unit with its CPUs, clocks and speed.
UNITS = {
    "arm64": {"big": ((0, 1), (600, 1200, 1907.2), 1.0), "little": ((2, 3), (400, 1400), 395 / 1024)},
    "amd64": {"big": ((0, 1), (800, 1200, 1600, 2000), 1.0), "little": ((2, 3), (600, 1000, 1400), 0.7)},
}


def test_the_guest_is_probed_as_what_it_was_made(tmp_path: Path) -> None:
    found = probe(Tree())
    for name, (cpus, mhz, speed) in UNITS[BOARD.name].items():
        unit = found.board.unit(name)
        assert (unit.cpus, unit.mhz, unit.dvfs) == (cpus, mhz, "cpufreq")
        assert unit.speed == pytest.approx(speed, abs=1e-3)
    file = tmp_path / "cluster.yaml"
    file.write_text(board_text(found.board, sources=found.sources))
    assert read_board(str(file)) == found.board
    check_clocks(found.board, Machine(state=tmp_path / "state"))


@pytest.mark.skipif(BOARD.name != "arm64", reason="the other guest has no energy model")
def test_the_energy_model_is_told_in_watts() -> None:
    (said,) = [one.text for one in probe(Tree()).remarks if one.unit == "big" and "watts" in one.text]
    assert "600: 0.1507" in said


def test_root_can_use_all_knobs() -> None:
    checks = [check for check in examine(Tree()).checks if check.name.startswith(("scaling_", "online"))]
    assert checks
    assert all(check.ok for check in checks)


def test_a_report_of_the_guest_is_seen_as_the_guest(tmp_path: Path) -> None:
    write_dump(make_dump(Tree(), {}), tmp_path / "guest.tar.gz")
    tree = open_sysroot(tmp_path / "guest.tar.gz")
    assert probe(tree).board == probe(Tree()).board
    assert facts(tree) == facts(Tree())
    assert [check.name for check in examine(tree).checks] == [check.name for check in examine(Tree()).checks]


def test_a_cap_is_noted() -> None:
    with capped(1_200_000):
        (said,) = [note.text for note in notes(Tree()) if note.text.startswith("held down")]
    assert "policy0 at 1200 of " in said
    assert not [note for note in notes(Tree()) if note.text.startswith("held down")]
