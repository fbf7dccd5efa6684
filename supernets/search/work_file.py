"""What a long search has measured so far, in a file, so that an interrupted one goes on. Knows no torch."""

from __future__ import annotations

import json
from collections import UserDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from supernets.errors import SupernetError


class WorkSection(UserDict[str, Any]):
    """Figures of one kind, by what they are of; each that is set is saved."""

    def __init__(self, content: dict[str, Any], save: Callable[[], None]) -> None:
        super().__init__()
        self.data = content
        self._save = save

    def __setitem__(self, key: str, value: Any) -> None:
        """Sets a figure, and saves all."""
        self.data[key] = value
        self._save()


class WorkFile:
    """Figures that were measured so far, in a JSON file.

    Args:
        path: of the file; read if it is there.
        depends_on: what the figures depend on.

    Attributes:
        path: of the file.

    Raises:
        SupernetError: if the file is another search's, or can't be used.
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
        except (ValueError, KeyError, TypeError, AttributeError):
            raise SupernetError(f"work file {str(path)!r} is damaged; remove it, or give another directory") from None
        if differing:
            key = differing[0]
            raise SupernetError(
                f"{path} holds what was measured with {key} {self._content['depends_on'].get(key)!r}, not "
                f"{depends_on[key]!r}; give another directory"
            )

    def section(self, name: str) -> WorkSection:
        """The figures of one kind, by what they are of; each that is set is saved."""
        return WorkSection(self._content.setdefault(name, {}), self._save)

    def _save(self) -> None:
        """Writes beside and renames, so that a kill leaves the old file whole."""
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(self._content, indent=1))
        fresh.replace(self.path)
