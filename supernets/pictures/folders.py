"""The pictures in a folder, and its other files, which are left out. Reads no picture."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
"""The endings of picture files' names, in lower case; upper case counts too."""

ENDINGS = ", ".join(sorted(SUFFIXES))


@dataclass(frozen=True, slots=True)
class Folder:
    """What lies in a folder.

    Attributes:
        pictures: the picture files, by name.
        others: (file, why it is no picture) of all else, by name.
    """

    pictures: tuple[Path, ...]
    others: tuple[tuple[Path, str], ...]


def listed(directory: Path) -> Folder:
    """List a folder: pictures are visible files with something in them whose names end as pictures' do.

    `Thumbs.db`, `.DS_Store`, `._AB12.png`, `README`, `old/`, a link to nowhere and a file of 0 bytes are others.

    Raises:
        OSError: if the folder can't be read.
    """
    pictures, others = [], []
    for name in sorted(os.listdir(directory)):
        path = directory / name
        why = _why_not(path)
        if why:
            others.append((path, why))
        else:
            pictures.append(path)
    return Folder(tuple(pictures), tuple(others))


def left_out(directory: Path, others: Sequence[tuple[Path, str]]) -> str:
    """Say how many files of a folder are left out, with an example; empty where none is."""
    if not others:
        return ""
    path, why = others[0]
    what = "1 entry that is no picture is" if len(others) == 1 else f"{len(others)} entries that are no pictures are"
    example = "" if len(others) == 1 else "such as "
    return f"{directory}: {what} left out, {example}{str(path.relative_to(directory))!r} ({why})"


def _why_not(path: Path) -> str:
    if path.name.startswith("."):
        return "a hidden file"
    if path.is_dir():
        return "a folder"
    if path.suffix.lower() not in SUFFIXES:
        return f"its name ends in none of {ENDINGS}"
    try:
        return "" if path.stat().st_size else "an empty file"
    except FileNotFoundError:
        return "a link to nowhere"
