"""The host's side of the bed: what is kept is whole, modules come in order, no failing guest seems to have passed."""

from __future__ import annotations

import json
import lzma
import os
from pathlib import Path

import pytest

from kernel import __main__ as command
from kernel import modules, results
from kernel.boards import AMD64
from kernel.packages import made_once

PASSED = {"test": "test_x.py::test_a", "outcome": "passed", "seconds": 0.1, "text": ""}
FAILED = {"test": "test_x.py::test_b", "outcome": "failed", "seconds": 0.1, "text": "E assert 1 == 2"}


class ShellGuest:
    """In place of a bed: its guest is a line of shell, and what it has written so far is there when it starts."""

    def __init__(self, folder: Path, shell: str, *lines: dict[str, object]) -> None:
        self.environment = dict(os.environ)
        self.folder = folder
        self._shell = shell
        self._lines = lines

    def made_ready(self, board: object, out: Path) -> list[str]:
        (out / "console").write_text("Kernel panic - not syncing\n")
        (out / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in self._lines))
        return ["sh", "-c", self._shell]


def test_a_guest_whose_tests_passed_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run_guest(ShellGuest(tmp_path, "exit 0", PASSED, {"ended": 0}), AMD64, []) == 0
    assert "1 passed, 0 failed, 0 skipped" in capsys.readouterr().out


def test_a_failed_test_is_shown_and_fails_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run_guest(ShellGuest(tmp_path, "exit 0", PASSED, FAILED, {"ended": 1}), AMD64, []) == 1
    shown = capsys.readouterr().out
    assert "E assert 1 == 2" in shown
    assert "panic" not in shown


def test_a_guest_that_collects_no_test_fails(tmp_path: Path) -> None:
    assert command.run_guest(ShellGuest(tmp_path, "exit 0", {"ended": 5}), AMD64, []) == 1


def test_a_guest_that_hangs_is_killed_and_its_console_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "GUEST_TIMEOUT_S", 0.1)
    assert command.run_guest(ShellGuest(tmp_path, "exec sleep 1000", PASSED), AMD64, []) == 1
    shown = capsys.readouterr().out
    assert "killed after 0.1 s" in shown
    assert "Kernel panic - not syncing" in shown


def test_a_guest_that_ends_amid_its_tests_fails_with_its_console(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.run_guest(ShellGuest(tmp_path, "exit 3", PASSED, {"started": "test_x.py::test_b"}), AMD64, []) == 1
    shown = capsys.readouterr().out
    assert "QEMU ended with 3 in test_x.py::test_b" in shown
    assert "Kernel panic - not syncing" in shown


def test_half_a_line_of_results_is_none(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    file.write_text(json.dumps(PASSED) + "\n" + json.dumps(FAILED)[:30])
    assert results.read(file) == results.Report(results=(results.Result(**PASSED),), running=None, ended=None)


def test_without_apt_the_bed_is_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command.main([f"--folder={tmp_path}"]) == 77
    said = capsys.readouterr().out
    assert said.startswith("kernel-test: skipped: this machine has no apt-get")
    assert said.count("\n") == 1


def test_a_folder_is_made_anew_after_an_interruption_and_for_another_request(tmp_path: Path) -> None:
    folder = tmp_path / "made"

    def interrupted(partial: Path) -> None:
        (partial / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made_once(folder, "a", interrupted)
    assert not folder.exists()
    made_once(folder, "a", lambda partial: (partial / "first").touch())
    made_once(folder, "a", lambda partial: (partial / "second").touch())
    assert sorted(path.name for path in folder.iterdir()) == [".made_for", "first"]
    made_once(folder, "b", lambda partial: (partial / "third").touch())
    assert sorted(path.name for path in folder.iterdir()) == [".made_for", "third"]


def test_modules_come_after_what_they_need_and_without_what_is_built_in(tmp_path: Path) -> None:
    def module(depends: str) -> bytes:
        return b"\x7fELF\0license=GPL\0depends=" + depends.encode() + b"\0name=x\0"

    (tmp_path / "9p.ko").write_bytes(module("9pnet,netfs"))
    (tmp_path / "9pnet.ko.xz").write_bytes(lzma.compress(module("")))
    (tmp_path / "acpi-cpufreq.ko").write_bytes(module("processor,netfs"))
    (tmp_path / "netfs.ko").write_bytes(module(""))
    (tmp_path / "modules.builtin").write_text("kernel/drivers/acpi/processor.ko\n")
    found = modules.with_needed(["9p", "acpi-cpufreq"], [tmp_path])
    assert list(found) == ["9pnet.ko", "netfs.ko", "9p.ko", "acpi_cpufreq.ko"]
    assert found["9pnet.ko"] == module("")
    with pytest.raises(FileNotFoundError, match="no module i2c_stub"):
        modules.with_needed(["i2c_stub"], [tmp_path])
