"""Files that describe a board: the project's own, with keys of it changed, written and loaded."""

import copy
from pathlib import Path

import yaml

from actors.cluster import load_board

PLAIN = yaml.safe_load((Path(__file__).parents[2] / "cluster.yaml").read_text())
"""The project's own board, `cluster.yaml`: the units `big` and `little`, of one emulated CPU each."""


def load(folder, content, mode=None):
    """Write a board's file into a folder, and load the board from it."""
    path = folder / "board.yaml"
    path.write_bytes(content if isinstance(content, bytes) else yaml.safe_dump(content).encode())
    return load_board(path, mode)


def unit(**changes):
    """The plain board with keys of its second unit changed; None leaves one out."""
    content = copy.deepcopy(PLAIN)
    content["units"][1].update(changes)
    content["units"][1] = {key: value for key, value in content["units"][1].items() if value is not None}
    return content


def power(**changes):
    """The plain board with keys of its power changed."""
    return {**PLAIN, "power": {**PLAIN["power"], **changes}}
