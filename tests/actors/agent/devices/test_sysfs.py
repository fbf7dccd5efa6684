"""The tree of files on plain files; what only a kernel does is tested on the fake kernel and on real ones."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.agent.devices.sysfs import AwayError, GarbageError, KnobError, Tree, cpu_list


def _tree(root: Path, **files: str) -> Tree:
    for path, content in files.items():
        file = root / path.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return Tree(root)


def test_a_knob_keeps_its_files_and_sees_changes(tmp_path: Path) -> None:
    tree = _tree(tmp_path, clock="1000\n")
    knob = tree.knob("clock")
    assert knob.number() == 1000
    open_files = len(os.listdir("/proc/self/fd"))
    (tmp_path / "clock").write_text("1400\n")
    assert knob.number() == 1400
    assert len(os.listdir("/proc/self/fd")) == open_files
    knob.close()
    assert len(os.listdir("/proc/self/fd")) == open_files - 1


def test_a_write_reaches_the_file(tmp_path: Path) -> None:
    tree = _tree(tmp_path, governor="schedutil")
    tree.knob("governor").write("userspace")
    assert tree.text("governor") == "userspace"


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [("", AwayError, "is empty"), ("<unsupported>", GarbageError, "whole number, not '<unsupported>'")],
)
def test_what_is_no_number_says_so(tmp_path: Path, content: str, error: type[KnobError], words: str) -> None:
    tree = _tree(tmp_path, clock=content)
    with pytest.raises(error, match=words):
        tree.knob("clock").number()
    assert tree.number_or_none("clock") is None


def test_a_file_that_is_not_there_is_away_until_it_comes(tmp_path: Path) -> None:
    knob = Tree(tmp_path).knob("late")
    with pytest.raises(AwayError, match="/late: No such file"):
        knob.text()
    (tmp_path / "late").write_text("here")
    assert knob.text() == "here"


def test_bytes_that_are_no_text_do_not_break_anything(tmp_path: Path) -> None:
    (tmp_path / "odd").write_bytes(b"\xff\xfe12\n")
    with pytest.raises(GarbageError):
        Tree(tmp_path).knob("odd").number()


def test_long_files_are_read_whole(tmp_path: Path) -> None:
    for size in (4095, 4096, 4097, 3 * 4096):
        (tmp_path / "long").write_text("x" * size)
        assert len(Tree(tmp_path).text("long")) == size


def test_find_takes_names_in_natural_order(tmp_path: Path) -> None:
    tree = _tree(tmp_path, cpu10__online="1", cpu2__online="1", cpufreq__boost="0")
    assert tree.find("cpu*/online") == ["cpu2/online", "cpu10/online"]
    assert tree.find("cpu2/online") == ["cpu2/online"]
    assert tree.find("gpu*/online") == []
    assert tree.find("cpu2/offline") == []


def test_a_lock_keeps_others_out_until_it_is_given_up(tmp_path: Path) -> None:
    tree = _tree(tmp_path, online="0-1")
    unlock = tree.lock("online")
    assert unlock is not None
    assert Tree(tmp_path).lock("online") is None
    unlock()
    assert Tree(tmp_path).lock("online") is not None


def test_a_link_is_followed_within_the_tree(tmp_path: Path) -> None:
    tree = _tree(tmp_path, devices__gpu__cur_freq="1")
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "gpu").symlink_to("../devices/gpu")
    assert tree.real("class/gpu") == "devices/gpu"


@given(st.sets(st.integers(0, 300)), st.booleans())
def test_both_forms_of_a_list_of_cpus_are_read(cpus: set[int], ranges: bool) -> None:
    ordered = sorted(cpus)
    if not ranges:
        assert cpu_list(" ".join(map(str, ordered))) == tuple(ordered)
        return
    parts: list[list[int]] = []
    for cpu in ordered:
        if parts and cpu == parts[-1][-1] + 1:
            parts[-1].append(cpu)
        else:
            parts.append([cpu])
    text = ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)
    assert cpu_list(text) == tuple(ordered)


def test_a_file_that_cannot_be_read_at_a_place_is_read_from_its_beginning(tmp_path: Path) -> None:
    # A pipe answers pread as the plain figures of debugfs do (ESPIPE).
    os.mkfifo(tmp_path / "power")
    both = os.open(tmp_path / "power", os.O_RDWR)
    os.write(both, b"150660\n")
    assert Tree(tmp_path).text("power") == "150660"
    os.close(both)


def test_a_directory_that_may_not_be_entered_holds_nothing(tmp_path: Path) -> None:
    closed = tmp_path / "debug"  # as debugfs is to who is not root
    (closed / "energy_model").mkdir(parents=True)
    tmp_path.chmod(0o755)
    closed.chmod(0)
    code = (
        "import os; from pathlib import Path; from actors.agent.devices.sysfs import Tree\n"
        "os.geteuid() or os.setuid(65534)\n"
        "print(Tree(Path()).exists('debug/energy_model'), Tree(Path()).find('debug/energy_model/cpu*'))"
    )
    looked = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    closed.chmod(0o700)
    assert looked.stdout == "False []\n"
