"""A directory that stands for a machine's `/` is that machine, and nothing in it leads out to this one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from actors.agent.devices.nvpmodel import power_modes
from actors.board_commands.dump import make_dump, write_dump
from actors.board_commands.probe import probe
from actors.board_commands.sysroot import RootedTree, open_sysroot
from helpers.fake_kernel import FakeTree, boards
from helpers.planted import CPU, plant
from scheduler.errors import InputError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine of four CPUs in a directory, beside a file of this one."""
    plant(tmp_path, {f"root/{CPU}/online": "0-3", "root/data/file": "inside", "file": "outside"})
    return tmp_path / "root"


@pytest.mark.parametrize(
    ("link", "real"),
    [
        ("/data/file", "data/file"),
        ("data/file", "data/file"),
        ("../../data/./file", "data/file"),
        ("//data//file", "data/file"),
        ("/link", "link"),  # a ring
        ("missing", "missing"),
    ],
)
def test_a_link_means_what_it_means_on_the_other_machine(link: str, real: str, root: Path) -> None:
    (root / "link").symlink_to(link)
    tree = open_sysroot(root)
    assert tree.real("link") == real
    there = real == "data/file"
    assert tree.text_or_none("link") == ("inside" if there else None)
    assert (tree.exists("link"), tree.may("link"), tree.mode("link") is not None) == (there, there, there)


def test_nothing_of_this_machine_is_reached(root: Path) -> None:
    outside = root.parent / "file"
    (root / "absolute").symlink_to(outside)
    (root / "relative").symlink_to("../file")
    (root / "above").symlink_to("..")
    (root / "top").symlink_to("/")
    tree = open_sysroot(root)
    for path in ("absolute", "relative", "above/file", "../file", "data/../../file"):
        assert tree.text_or_none(path) is None
        assert tree.mode(path) is None
    assert tree.names("above") == tree.names("") == sorted(os.listdir(root))
    assert tree.text("top/top/data/file") == "inside"


def test_the_modes_of_a_jetson_are_its_own(root: Path) -> None:
    content = (
        "< PARAM TYPE=FILE NAME=ONLINE >\nCORE_1 /sys/devices/system/cpu/cpu1/online\n< POWER_MODEL ID=0 NAME=ALL >\n"
    )
    plant(root, {"etc/nvpmodel/mine.conf": content})
    (root / "etc/nvpmodel.conf").symlink_to("/etc/nvpmodel/mine.conf")
    assert [mode.name for mode in power_modes(open_sysroot(root))] == ["ALL"]


@pytest.mark.parametrize("name", ["xavier-nx-l4t35", "odroid-xu3", "x86-hybrid-laptop"])
def test_an_unpacked_dump_without_its_index_is_a_directory_like_another(name: str, tmp_path: Path) -> None:
    kernel = boards.ALL[name]()
    kernel.now_s = lambda: 1.0
    write_dump(make_dump(FakeTree(kernel), {}), tmp_path)
    (tmp_path / "gearshift-dump.json").unlink()
    tree = open_sysroot(tmp_path)
    assert isinstance(tree, RootedTree)
    assert probe(tree).board == probe(FakeTree(kernel)).board


def test_what_is_no_machine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file or directory"):
        open_sysroot(tmp_path / "missing")
    with pytest.raises(InputError, match="lists no CPU; name the root of a machine"):
        open_sysroot(tmp_path)
