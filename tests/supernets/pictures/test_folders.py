"""Folders as people have them: what is no picture is left out, and said once."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from helpers.photo_folder import TABBY, TENCH, write_photos
from supernets import SupernetError
from supernets.pictures.folders import left_out, listed
from supernets.pictures.image_folder import ImageFolder, image_pool
from supernets.pictures.sources import plate_folder

NEIGHBOURS = {
    ".DS_Store": "a hidden file",
    "._AB12.png": "a hidden file",  # macOS's second half of a file, on other file systems
    "README": "its name ends in none of .bmp, .jpeg, .jpg, .png, .webp",
    "Thumbs.db": "its name ends in none of",
    "empty.png": "an empty file",
    "folder.png": "a folder",
    "gone.jpg": "a link to nowhere",
    "photo.heic": "its name ends in none of",
}


def add_neighbours(directory: Path) -> None:
    for name in NEIGHBOURS:
        (directory / name).write_bytes(b"x" * 40)
    (directory / "empty.png").write_bytes(b"")
    for name in ("gone.jpg", "folder.png"):
        (directory / name).unlink()
    (directory / "folder.png").mkdir()
    (directory / "gone.jpg").symlink_to(directory / "nowhere.jpg")


def test_neighbours_are_told_from_pictures(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpeg"):
        Image.new("L", (9, 9)).save(tmp_path / name)
    (tmp_path / "c.webp").symlink_to(tmp_path / "b.PNG")
    add_neighbours(tmp_path)
    found = listed(tmp_path)
    assert [file.name for file in found.pictures] == ["a.jpeg", "b.PNG", "c.webp"]
    assert [path.name for path, _ in found.others] == sorted(NEIGHBOURS)
    for path, why in found.others:
        assert why.startswith(NEIGHBOURS[path.name])


def test_a_notice_counts_and_gives_an_example(tmp_path: Path) -> None:
    one = [(tmp_path / "n01" / "Thumbs.db", "why")]
    assert left_out(tmp_path, []) == ""
    assert left_out(tmp_path, one) == f"{tmp_path}: 1 entry that is no picture is left out, 'n01/Thumbs.db' (why)"
    assert left_out(tmp_path, one * 3).endswith(
        ": 3 entries that are no pictures are left out, such as 'n01/Thumbs.db' (why)"
    )


def test_plates_with_neighbours_are_read_and_their_labels_kept(tmp_path: Path) -> None:
    add_neighbours(tmp_path)
    with pytest.raises(
        SupernetError, match=r"holds no picture; .*8 entries that are no pictures are left out, such as"
    ):
        plate_folder(tmp_path)
    Image.new("L", (144, 48)).save(tmp_path / "AB12.png")
    pool = plate_folder(tmp_path)
    assert (len(pool.pictures), pool.labels) == (1, ["AB12"])
    assert "8 entries that are no pictures are left out, such as '.DS_Store' (a hidden file)" in pool.notice


def test_photos_with_neighbours_everywhere_are_read(tmp_path: Path) -> None:
    write_photos(tmp_path, {TENCH: 2, TABBY: 1})
    add_neighbours(tmp_path)
    add_neighbours(tmp_path / TENCH)
    (tmp_path / ".cache").mkdir()
    (tmp_path / "@eaDir").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "loose.png")
    folder = ImageFolder(tmp_path)
    assert len(folder) == 3
    assert "19 entries that are no pictures are left out, such as 'loose.png' (a picture in no class" in folder.notice
    assert image_pool(tmp_path, seed=0).notice == folder.notice


def test_classes_that_hold_neighbours_only_are_refused_with_one(tmp_path: Path) -> None:
    (tmp_path / TENCH).mkdir()
    (tmp_path / TENCH / "Thumbs.db").write_bytes(b"x")
    with pytest.raises(SupernetError, match=rf"hold no picture; .* left out, '{TENCH}/Thumbs.db'"):
        ImageFolder(tmp_path)
