"""YAML of small files that people write by hand, read strictly.

PyYAML keeps the last of repeated keys without a word, and lets a few lines of aliases stand for gigabytes. Both are
refused here. This module knows nothing of boards.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from scheduler.errors import BROKEN, InputError, shown

MOST_BYTES = 200_000
"""Longest file; the longest packaged board has 12 kB."""
_MOST_VALUES = 20_000
"""Most values of a file, those that aliases repeat counted each time; a board of four units has a few hundred."""
_MOST_CHARACTERS = 5_000
"""Longest text of one value. Of numbers to base 60, which YAML knows, PyYAML takes the square of the length."""
_MOST_DEPTH = 50
"""Most brackets that are open at a time."""


class YamlError(InputError):
    """A file is no YAML that can be read; the message says why, and names the line where there is one."""


def read_yaml(path: str | Path) -> Any:
    """Return what a YAML file holds.

    Args:
        path: the file.

    Raises:
        YamlError: the file cannot be read or is too long, is no text or no YAML, repeats a key, or has aliases that
            stand for too much.
    """
    try:
        with open(path, "rb") as stream:
            content = stream.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise YamlError(f"has more than {MOST_BYTES:,} bytes; name a YAML file that describes a board.")
        return _constructed(content.decode("utf-8-sig"))
    except InputError:
        raise
    except OSError as error:
        raise YamlError(f"cannot be read: {error.strerror}. Name a cluster.yaml.") from None
    except (UnicodeDecodeError, yaml.reader.ReaderError):
        raise YamlError("is not text. Name a YAML file that describes a board.") from None
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f" in line {error.problem_mark.line + 1}"
        raise YamlError(f"is not YAML{line}: {error.problem or error.context}.") from None
    except (yaml.YAMLError, *BROKEN) as error:  # nested too deep; an impossible date
        raise YamlError(f"is not YAML that can be read: {error}.") from None


class _Loader(yaml.SafeLoader):
    def fetch_flow_collection_start(self, *kind: Any) -> None:
        """Begin a `[` or a `{`, unless it is too deep: PyYAML takes the square of the depth to find out itself."""
        if self.flow_level >= _MOST_DEPTH:
            raise YamlError(f"is not YAML in line {self.line + 1}: more than {_MOST_DEPTH} open brackets.")
        super().fetch_flow_collection_start(*kind)


def _constructed(text: str) -> Any:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check(node, {})
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _check(node: yaml.Node, counted: dict[int, int | None]) -> int:
    """Return how many values a node stands for, those of aliases counted each time; refuse repeated keys on the way.

    Args:
        node: the node.
        counted: by id of a node, its count; None while it is being counted.
    """
    if id(node) in counted:
        known = counted[id(node)]
        if known is None:
            raise YamlError(f"has an alias in line {_line(node)} that holds itself. Write the values out.")
        return known
    counted[id(node)] = None
    count = 1
    if isinstance(node, yaml.ScalarNode) and len(node.value) > _MOST_CHARACTERS:
        raise YamlError(f"has a value of more than {_MOST_CHARACTERS:,} characters in line {_line(node)}.")
    if isinstance(node, yaml.SequenceNode):
        count += sum(_check(item, counted) for item in node.value)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise YamlError(f"repeats the key {shown(key.value)} in line {_line(key)}. Keep one of them.")
                seen.add(key.value)
            count += _check(key, counted) + _check(value, counted)
    if count > _MOST_VALUES:
        raise YamlError(
            f"has aliases that stand for more than {_MOST_VALUES:,} values, from line {_line(node)} on. "
            "Write out what is meant."
        )
    counted[id(node)] = count
    return count


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
