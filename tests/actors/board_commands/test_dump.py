"""A dump tells a stranger all that the device layer reads, and nothing of the owner."""

from __future__ import annotations

import errno
import io
import json
import os
import socket
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from actors.agent.checks import check_clocks
from actors.agent.devices.sysfs import DeniedError, File, Tree
from actors.agent.machine import Machine
from actors.board_commands.condition import facts, notes
from actors.board_commands.doctor import examine
from actors.board_commands.dump import INDEX, make_dump, read_dump, write_dump
from actors.board_commands.dump_list import listed
from actors.board_commands.dump_tree import DumpTree
from actors.board_commands.probe import probe
from actors.board_commands.sysroot import open_sysroot
from helpers.fake_kernel import FakeKernel, FakeTree, boards
from helpers.planted import CPU, plant
from scheduler.errors import InputError

ABOUT = {"gearshift": "0.0"}


def dumped(kernel: FakeKernel, to: Path) -> DumpTree:
    """Write a machine's dump and read it back."""
    write_dump(make_dump(FakeTree(kernel), ABOUT), to)
    tree = open_sysroot(to)
    assert isinstance(tree, DumpTree)
    return tree


@pytest.mark.parametrize("root", [True, False])
@pytest.mark.parametrize("ending", ["", ".tar.gz"])
@pytest.mark.parametrize("name", sorted(set(boards.ALL) - {"bed-amd64"}))  # its counter goes on with each reading
def test_a_dump_is_seen_as_the_machine_was(name: str, ending: str, root: bool, tmp_path: Path) -> None:
    kernel = boards.ALL[name]()
    kernel.root = root
    now_s = kernel.now_s()
    kernel.now_s = lambda: now_s  # energy counters stand still
    tree = dumped(kernel, tmp_path / f"board{ending}")
    live = FakeTree(kernel)
    assert probe(tree) == probe(live)
    assert examine(tree) == examine(live)
    assert facts(tree) == facts(live)
    assert notes(tree) == notes(live)
    assert kernel.writes == []


class Listener(Tree):
    """A tree that notes which files are read."""

    def __init__(self, tree: Tree) -> None:
        super().__init__()
        self.tree, self.opened = tree, set[str]()
        for name in ("names", "exists", "real", "may", "mode", "lock"):
            setattr(self, name, getattr(tree, name))

    def open(self, path: str, *, writing: bool = False) -> File:
        file = self.tree.open(path, writing=writing)
        self.opened.add(self.tree.real(path))
        return file


@pytest.mark.parametrize("name", sorted(set(boards.ALL) - {"container"}))
def test_every_file_that_is_read_is_on_the_list(name: str, tmp_path: Path) -> None:
    tree = Listener(FakeTree(boards.ALL[name]()))
    board = probe(tree).board
    check_clocks(board, Machine(tree=tree, state=tmp_path))
    examine(tree)
    notes(tree)
    on_list = {tree.real(path) for _, path in listed(tree)}
    # The lock, and the boot that a journal is of, are of no use elsewhere.
    assert tree.opened - on_list - {"proc/sys/kernel/random/boot_id"} == set()


def test_a_dump_of_this_machine_says_nothing_of_its_owner(tmp_path: Path) -> None:
    write_dump(make_dump(Tree(), ABOUT), tmp_path / "here")
    text = "".join(path.read_text() for path in (tmp_path / "here").rglob("*") if path.is_file())
    for private in (socket.gethostname(), os.path.expanduser("~")):
        if len(private) > 2:  # a name like "vm" may be part of the kernel's release
            assert private not in text


def test_of_some_files_only_lines_without_an_owner_are_kept(tmp_path: Path) -> None:
    files = {
        "proc/cpuinfo": "processor\t: 0\nBogoMIPS\t: 108.00\n\nSerial\t\t: 10000000abcdef01\nModel\t\t: Pi of Ada",
        "proc/self/status": "Name:\tsecret\nUid:\t1000\nCpus_allowed_list:\t0-3",
        "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3\n# KERNEL_VARIANT: ada's own",
        "etc/hostname": "secret",
        "sys/class/dmi/id/product_serial": "secret",
        "proc/device-tree/serial-number": "secret",
        f"{CPU}/online": "0-3",
    }
    dump = make_dump(plant(tmp_path, files), ABOUT)
    assert dump.contents == {
        "proc/cpuinfo": b"processor\t: 0\n\n",
        "proc/self/status": b"Cpus_allowed_list:\t0-3\n",
        "etc/nv_tegra_release": b"# R36 (release), REVISION: 4.3\n",
        f"{CPU}/online": b"0-3\n",
    }


def test_an_archive_has_no_owner_and_no_time(tmp_path: Path) -> None:
    write_dump(make_dump(FakeTree(boards.this_vm()), ABOUT), tmp_path / "a.tar.gz")
    with tarfile.open(tmp_path / "a.tar.gz") as archive:
        assert {(member.uid, member.uname, member.mtime) for member in archive} == {(0, "", 0)}


def test_errors_and_permissions_are_kept(tmp_path: Path) -> None:
    kernel = boards.x86_hybrid_laptop()
    kernel.root = False
    kernel.fail("sys/class/thermal/thermal_zone0/temp", errno.EAGAIN)
    tree = dumped(kernel, tmp_path / "board")
    counter = "sys/class/powercap/intel-rapl:0/energy_uj"
    assert not tree.may(counter)
    assert tree.mode(counter) == 0o400
    with pytest.raises(DeniedError):
        tree.text(counter)
    with pytest.raises(BlockingIOError):
        tree.open("sys/class/thermal/thermal_zone0/temp").read()
    assert not tree.may(f"{CPU}/cpufreq/policy0/scaling_governor", write=True)
    with pytest.raises(FileNotFoundError):
        tree.open("etc/passwd")
    with pytest.raises(IsADirectoryError):
        tree.open(f"{CPU}/cpufreq")


def test_a_dump_cannot_be_turned(tmp_path: Path) -> None:
    tree = dumped(boards.odroid_xu3(), tmp_path / "board")
    with pytest.raises(DeniedError):
        tree.knob(f"{CPU}/cpufreq/policy0/scaling_governor").write("powersave")


def test_a_place_that_is_taken_is_refused(tmp_path: Path) -> None:
    dump = make_dump(FakeTree(boards.this_vm()), ABOUT)
    (tmp_path / "a.tar.gz").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    for place in ("a.tar.gz", "full", "full/file", "full/file/in"):
        with pytest.raises(InputError, match=r"is there already|can't be written"):
            write_dump(dump, tmp_path / place)
    assert (tmp_path / "a.tar.gz").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    write_dump(dump, tmp_path / "empty")


def packed(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def index(**changes: object) -> bytes:
    return json.dumps({"format": 1, "about": {}, "areas": {}, "links": {}, "files": {}} | changes).encode()


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_text("no archive"),
        lambda path: packed(path, {"other": b""}),
        lambda path: packed(path, {INDEX: b"not json"}),
        lambda path: packed(path, {INDEX: b"[]"}),
        lambda path: packed(path, {INDEX: index(format=2)}),
        lambda path: packed(path, {INDEX: index(files={"sys/a": {"unknown": 1}})}),
        lambda path: packed(path, {INDEX: index(files={"sys/a": {}})}),
        lambda path: packed(path, {INDEX: index(files={"../../etc/passwd": {}}), "../../etc/passwd": b"x"}),
        lambda path: packed(path, {INDEX: index(files={"/etc/passwd": {}}), "/etc/passwd": b"x"}),
    ],
)
def test_what_is_no_dump_is_refused_in_one_sentence(make: Callable[[Path], object], tmp_path: Path) -> None:
    make(tmp_path / "odd.tar.gz")
    with pytest.raises(InputError, match=r"odd\.tar\.gz' is no dump of gearshift doctor"):
        open_sysroot(tmp_path / "odd.tar.gz")


def test_links_in_a_ring_lead_nowhere(tmp_path: Path) -> None:
    dump = make_dump(FakeTree(boards.this_vm()), ABOUT)
    ring = replace(dump, links={"sys/a": "sys/b", "sys/b": "sys/a"})
    assert not DumpTree(ring, tmp_path).exists("sys/a/online")


def test_what_was_read_is_what_is_written(tmp_path: Path) -> None:
    dump = make_dump(FakeTree(boards.orin_nano_l4t36()), ABOUT)
    for place in (tmp_path / "a", tmp_path / "a.tgz"):
        write_dump(dump, place)
        assert read_dump(place) == dump
