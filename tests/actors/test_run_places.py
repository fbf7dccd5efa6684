"""A run finds a place for its files that is the user's alone, or one message says that there is none."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from actors import run_places
from actors.reaping import remove_directories
from actors.run_places import PlaceError, make_places
from helpers.name_spaces import run_apart

TAG = "7-000abc1place0f"
NAME = f"gearshift-{TAG}"
SOCKET = "session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with places of its own, `s`, `t` and `v` for `/dev/shm`, `/tmp` and `/var/tmp`; TMPDIR is not set."""
    for name in ("s", "t", "v"):
        (tmp_path / name).mkdir()
    # Short paths, as on a real machine.
    short = Path(f"/tmp/p{os.getpid() % 10000}")
    short.symlink_to(tmp_path)
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(run_places, "_TEMPORARY", (short / "t", short / "v"))
    monkeypatch.setattr(run_places, "SHARED_MEMORY", short / "s")
    yield short
    short.unlink()


def made(machine: Path) -> run_places.Places:
    return make_places(TAG, 1, machine / "s")


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def left(machine: Path) -> list[str]:
    return [path.name for base in ("s", "t", "v") for path in (machine / base).iterdir()]


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_both_directories_are_the_user_s_alone(machine, umask):
    before = os.umask(umask)
    try:
        places = made(machine)
    finally:
        os.umask(before)
    assert places == run_places.Places(
        shared=machine / "s" / NAME,
        ray=machine / "t" / NAME / "r",
        object_store=machine / "s" / NAME,
        notice="",
    )
    assert mode(places.shared) == mode(places.ray) == mode(places.ray.parent) == 0o700
    places.ray.chmod(0o777)  # as Ray does with its own
    assert mode(places.ray.parent) == 0o700
    remove_directories(TAG)
    assert left(machine) == []


def test_without_shared_memory_it_is_among_the_temporary_files(machine):
    (machine / "s").rmdir()
    places = made(machine)
    assert places.shared == machine / "t" / NAME
    assert places.object_store == places.shared
    assert "No such file or directory" in places.notice
    assert "may be slower" in places.notice
    assert f"{machine}/s" in places.notice


def test_a_place_where_anybody_may_remove_the_files_of_others_is_not_used(machine):
    (machine / "t").chmod(0o777)
    assert made(machine).ray == machine / "v" / NAME / "r"


def test_a_name_that_is_taken_is_not_used(machine):
    (machine / "t" / NAME).symlink_to("/etc")
    assert made(machine).ray == machine / "v" / NAME / "r"


@pytest.mark.parametrize("name", [b"x" * 90, "Zürich 東京".encode(), b"caf\xe9", b"with space"], ids=str)
def test_where_ray_can_t_take_tmpdir_it_gets_a_link(machine, monkeypatch, name):
    directory = Path(os.fsdecode(os.fsencode(machine.resolve()) + b"/" + name))
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(directory))
    places = made(machine)
    assert places.ray == machine / "s" / NAME / "r"
    assert places.ray.resolve() == directory / NAME / "r"
    socket_path = places.ray / SOCKET
    socket_path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(socket_path))
    monkeypatch.delenv("TMPDIR")  # a later start, which has another one
    remove_directories(TAG)
    assert left(machine) == []
    assert not any(directory.iterdir())


def test_without_shared_memory_the_link_is_in_another_place(machine, monkeypatch):
    (machine / "s").rmdir()
    directory = machine.resolve() / ("x" * 90)
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(directory))
    places = made(machine)
    assert places.shared == directory / NAME
    assert places.ray == machine / "t" / NAME
    remove_directories(TAG)
    assert not (machine / "t" / NAME).is_symlink()
    assert not any(directory.iterdir())


def test_no_place_at_all_is_one_message(machine):
    for name in ("s", "t", "v"):
        (machine / name).rmdir()
    with pytest.raises(PlaceError) as raised:
        made(machine)
    assert f"{machine}/s can't be used" in str(raised.value)
    assert f"{machine}/t can't be used" in str(raised.value)
    assert "TMPDIR" in str(raised.value)


@pytest.mark.parametrize("how", ["size=64k", "ro", "size=9m"])
def test_shared_memory_that_is_full_small_or_read_only(how):
    full = "&& dd if=/dev/zero of=/dev/shm/full bs=1M count=4 2>/dev/null" if how == "size=9m" else ""
    said = run_apart(
        ["-m"],
        f"""
        from actors.run_places import make_places
        from actors.reaping import remove_directories
        places = make_places("{TAG}", 1)
        print(places.shared.parent, places.notice, sep="|")
        remove_directories("{TAG}")
        """,
        before=f"mount -t tmpfs -o {how} none /dev/shm {full}",
    )
    place, _, notice = said.partition("|")
    assert place != "/dev/shm"
    assert notice.startswith("/dev/shm can't be used (")
