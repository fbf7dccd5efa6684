"""`gearshift profile MIX.py` measures each ladder of a mix once, as a run of the mix asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors.profiling import Ladder
from helpers.command_line import gearshift
from helpers.tiny_networks import network
from scheduler.profile import Profile, RungProfile, ServiceTime

MIX = """
from gearshift import App, Family, Mix, Periodic, at

SMALL, LARGE = Family([("small.onnx", 0.8)]), Family([("large.onnx", None)])

def app(name, family):
    return App(name, supernet=family, arrivals=Periodic(hz=5), latency_ms=60, source=lambda index: None)

def mix():
    return Mix("park", duration_s=5, apps=[app("a", SMALL), app("b", LARGE)], events=[at(2, add=app("c", SMALL))])
"""


def test_each_ladder_of_a_mix_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[tuple[str, list[str], bool]] = []

    def measure(name: str, ladder: Ladder, *_: Any, fresh: bool, **__: Any) -> Profile:
        measured.append((name, [artifact.subnet for artifact, _, _ in ladder], fresh))
        time = ServiceTime(kind="cpu", cores=1, samples_ms=(4.0,), engine="onnxruntime")
        rungs = tuple(
            RungProfile(subnet=artifact.subnet, accuracy=accuracy, accuracy_source=source, times=(time,))
            for artifact, accuracy, source in ladder
        )
        return Profile(supernet=name, machine="none", rungs=rungs)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("workloads.cli.supernets.profile_board", measure)
    for name in ("small", "large"):
        network(tmp_path, name)
    Path("mix.py").write_text(MIX)
    ended = gearshift("profile", "mix.py")
    assert ended.code == 0, ended.err
    assert measured == [("family", ["small"], True), ("family", ["large"], True)]
    lines = ended.out.splitlines()
    assert [line for line in lines if line.endswith(":")] == ["models of a, c:", "models of b:"]
    assert lines[1].startswith("small ")
    assert "accuracy 0.8000" in lines[1]
