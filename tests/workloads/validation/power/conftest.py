"""A small board whose power can be computed by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

BOARD = """
name: hand
speed_of: jetson-xavier-nx
units:
  - {name: big, kind: cpu, cpus: [0, 1], dvfs: cpufreq, mhz: [500, 1000], static_w: [0.2, 0.4], dynamic_w: [0.5, 2.0]}
  - {name: little, kind: cpu, cpus: [2], dvfs: cpufreq, mhz: [400, 800], static_w: [0.1, 0.2], dynamic_w: [0.1, 0.4],
     idle_share: 0.5}
  - {name: gpu, kind: gpu, dvfs: devfreq, mhz: [300, 600.5], static_w: [0.5, 1.0], dynamic_w: [3.0, 8.0], host: big}
power:
  base_w: 2.5
  sensors:
    - {rail: CORES, driver: ina3221, covers: [big, little]}
    - {rail: MEMORY, driver: ina3221, covers: []}
    - {rail: WALL, driver: ina3221, covers: board}
  source: "assumed: made up"
"""


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """The file of a board with two CPU units and a GPU."""
    path = tmp_path / "hand.yaml"
    path.write_text(BOARD)
    return path


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Path]:
    """Writes a table: its columns, and its rows."""

    def written(*lines: str) -> Path:
        path = tmp_path / "measured.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return written
