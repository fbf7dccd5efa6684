"""A file of the figures that a long search has measured, so that an interrupted search goes on. Knows no torch."""

from __future__ import annotations

import json
from collections import UserDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from supernets.errors import BROKEN, SupernetError


class WorkSection(UserDict[str, Any]):
    """Figures of one kind by the names of the things they belong to; setting one saves the file."""

    def __init__(self, content: dict[str, Any], save: Callable[[], None]) -> None:
        super().__init__()
        self.data = content
        self._save = save

    def __setitem__(self, key: str, value: Any) -> None:
        """Set a figure and save the file."""
        self.data[key] = value
        self._save()


class WorkFile:
    """Figures in a JSON file.

    Args:
        path: path of the file, which is read if it exists.
        depends_on: everything that the figures depend on, such as the machine and the weights.

    Attributes:
        path: path of the file.

    Raises:
        SupernetError: if the file was made with other values of `depends_on`, or can't be used.
    """

    def __init__(self, path: Path, depends_on: Mapping[str, str]) -> None:
        self.path = path
        self._content: dict[str, Any] = {"depends_on": dict(depends_on)}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                self._content = json.loads(path.read_bytes())
            differing = [key for key in depends_on if self._content["depends_on"].get(key) != depends_on[key]]
        except OSError as error:
            raise SupernetError(f"work file {str(path)!r} can't be used: {error.strerror}") from None
        except BROKEN:
            raise SupernetError(f"work file {str(path)!r} is damaged; remove it, or give another directory") from None
        if differing:
            key = differing[0]
            raise SupernetError(
                f"{path} holds what was measured with {key} {self._content['depends_on'].get(key)!r}, not "
                f"{depends_on[key]!r}; give another directory"
            )

    def section(self, name: str) -> WorkSection:
        """Return the figures of one kind; setting one of them saves the file."""
        return WorkSection(self._content.setdefault(name, {}), self._save)

    def _save(self) -> None:
        """Write a new file and rename it, so that a kill leaves the old file whole."""
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(self._content, indent=1))
        fresh.replace(self.path)
