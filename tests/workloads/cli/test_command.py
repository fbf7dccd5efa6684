"""The command refuses bad input with one message that names file, field and value, exit code 2, and no Ray started."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from actors.cluster import find_board
from actors.ownership import Claim
from actors.session import RaySession
from helpers.command_line import COMMAND, Ended, assert_refused, gearshift

MIX = """
from workloads import App, Family, Mix, Periodic, Poisson, at

def mix():
    return Mix(name="park", duration_s=5, apps=[APPS], events=[EVENTS])
"""
GATE = 'App("gate", supernet="ofa-plates", arrivals=Periodic(hz=5), latency_ms=60)'


@pytest.fixture(autouse=True)
def no_ray(monkeypatch):
    """Bad input is found before Ray starts, and before anything is measured."""

    def started(*_: object) -> None:
        raise AssertionError("bad input got as far as this")

    monkeypatch.setattr(RaySession, "__enter__", started)
    monkeypatch.setattr("workloads.ladder.profiles.profile_ladder", started)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current directory, so that its files can be named by bare names."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_mix(apps: str = GATE, events: str = "") -> Path:
    path = Path("mix.py")
    path.write_text(MIX.replace("APPS", apps).replace("EVENTS", events))
    return path


# ---------------------------------------------------------------- the mix file


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def mix(:\n    pass", ["line 1", "this is not Python", "'def mix(:'"]),
        ("\nraise LookupError('no camera')", ["line 2", "LookupError: no camera"]),
        ("import sys\nsys.exit('bye')", ["line 2", "SystemExit: bye"]),
        ("def mix():\n    return 1 / 0", ["line 2", "ZeroDivisionError"]),
        ("x = 1", ["no function mix()"]),
        ("mix = 3", ["mix must be a function, not 3"]),
        ("def mix():\n    return None", ["mix() must return a Mix, not None"]),
        ("\x00\x01", ["this is not Python"]),
    ],
)
def test_a_bad_script(here, text, says):
    path = Path("mix.py")
    path.write_text(text)
    assert_refused(gearshift("run", path), "mix.py", *says)


def test_a_script_that_is_binary(here):
    Path("mix.py").write_bytes(bytes(range(128, 256)))
    assert_refused(gearshift("run", "mix.py"), "mix.py", "this is not Python")


def test_a_script_that_is_missing_or_a_directory(here):
    assert_refused(gearshift("run", "mux.py"), "mux.py", "no such file")
    Path("mixes").mkdir()
    assert_refused(gearshift("run", "mixes"), "mixes", "directory")


# ---------------------------------------------------------------- what the mix says


def gate(**changes: str) -> str:
    fields = {"supernet": '"ofa-plates"', "arrivals": "Periodic(hz=5)", "latency_ms": "60", **changes}
    return f"App({fields.pop('name', repr('gate'))}, {', '.join(f'{key}={value}' for key, value in fields.items())})"


@pytest.mark.parametrize(
    ("apps", "events", "says"),
    [
        (gate(supernet='"ofa-plate"'), "", ["app 'gate'", "supernet 'ofa-plate'", "Did you mean 'ofa-plates'?"]),
        (gate(latency_ms="-60"), "", ["app 'gate': latency_ms", "-60"]),
        (gate(latency_ms="float('nan')"), "", ["app 'gate': latency_ms", "nan"]),
        (gate(latency_ms="'60'"), "", ["app 'gate': latency_ms", "'60'", "Did you mean 60?"]),
        (gate(arrivals="Periodic(hz=float('inf'))"), "", ["hz", "inf"]),
        (gate(arrivals="Poisson(hz=-1)"), "", ["hz", "-1"]),
        (gate(weight="0"), "", ["app 'gate': weight", "0"]),
        (gate(slo="1.5"), "", ["app 'gate': slo", "1.5"]),
        (gate(slo="95"), "", ["app 'gate': slo", "95", "Did you mean 0.95?"]),
        (gate(min_accuracy="-0.1"), "", ["app 'gate': min_accuracy", "-0.1"]),
        (gate(name="'The Gate'"), "", ["name", "'The Gate'", "Did you mean 'the-gate'?"]),
        (f"{GATE}, {GATE}", "", ["mix 'park'", "two apps are named 'gate'"]),
        (GATE, f"at(1, add={GATE})", ["mix 'park'", "two apps are named 'gate'"]),
        ("", "", ["mix 'park'", "apps is empty"]),
        (GATE, "at(1, unit='bigg', max_mhz=1000)", ["event at 1 s", "'bigg'", "Did you mean 'big'?"]),
        (GATE, "at(1, unit='big', max_mhz=10)", ["event at 1 s", "max_mhz=10", "'big'"]),
        (GATE, "at(1, unit='big', cores=7)", ["event at 1 s", "cores=7", "'big'"]),
        (GATE, "at(1, 'gat', latency_ms=30)", ["event at 1 s", "'gat'", "Did you mean 'gate'?"]),
        (GATE, "at(-1, 'gate', latency_ms=30)", ["the time", "-1"]),
        (GATE, "at(1, unit='bigg', slowdown=2)", ["event at 1 s", "'bigg'", "Did you mean 'big'?"]),
        (GATE, "at(1, unit='big', slowdown=0.5)", ["at(1): slowdown must be between 1 and 1000, not 0.5"]),
        (GATE, "at(9, 'gate', latency_ms=30)", ["event at 9 s", "the run ends at 5 s"]),
        (GATE, "at(1, ambient_c=40)", ["ambient_c=40.0", "no thermal model"]),
        (gate(supernet="Family([('none.onnx', 0.5)])"), "", ["'none.onnx'", "no file"]),
        (gate(source="'pictures'"), "", ["source 'pictures'", "not a folder"]),
    ],
)
def test_a_bad_mix(here, monkeypatch, apps, events, says):
    monkeypatch.setattr("workloads.ladder.ladders.ladder_of", lambda *_: [])
    ended = gearshift("run", write_mix(apps, events))
    file = "pictures" if "pictures" in apps else "mix.py"
    assert_refused(ended, file, *says)


def test_own_models_that_are_none(here):
    Path("model.onnx").write_bytes(b"\x08garbage")
    path = write_mix(gate(supernet="Family([('model.onnx', 0.5)])"))
    assert_refused(gearshift("run", path), "model.onnx", "not an ONNX model, or is damaged")


# ---------------------------------------------------------------- the board


BOARD = {
    "name": "board",
    "units": [
        {
            "name": "big",
            "kind": "cpu",
            "cpus": [0],
            "dvfs": "emulated",
            "mhz": [200, 400],
            "static_w": [0.1, 0.2],
            "dynamic_w": [0.3, 0.4],
        }
    ],
    "power": {"source": "made up"},
}


def _with(unit: dict[str, object]) -> bytes:
    return yaml.safe_dump({**BOARD, "units": [{**BOARD["units"][0], **unit}]}).encode()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (_with({"speeed": 2}), ["units[0].speeed", "Did you mean 'speed'?"]),
        (_with({"cpus": [4096]}), ["'big'", "CPU 4096"]),
        (_with({"cpus": [0, 0]}), ["units[0].cpus[1]", "CPU 0", "twice"]),
        (_with({"mhz": [400, 200]}), ["units[0].mhz[1] = 200"]),
        (_with({"mhz": [200, float("nan")]}), ["units[0].mhz[1]", "nan"]),
        (_with({"dvfs": "cpufreq"}), ["'big'", "the kernel sets no clock of CPU"]),
        (_with({"kind": "gpu", "cpus": []}), ["'big'", "'gpu'"]),
        (bytes(range(256)), ["not text"]),
        (b"\x00\x01\x02", ["not text"]),
        (b"units: [", ["not YAML"]),
        (b"", ["empty"]),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_a_bad_board(here, content, says, named):
    file = Path("board.yaml" if named else "cluster.yaml")
    file.write_bytes(content)
    options = ("--board", file) if named else ()
    assert_refused(gearshift("run", write_mix(), *options), file.name, *says)


def test_a_board_that_is_missing(here):
    assert_refused(gearshift("run", write_mix(), "--board", "none.yaml"), "none.yaml", "cannot be read")


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("jetson-tx", ["'jetson-tx'", "Did you mean 'jetson-tx2'?", "odroid-xu4", "YAML file"]),
        ("jetson-tx2:MAXNN", ["'jetson-tx2'", "'MAXNN'", "Did you mean 'MAXN'?", "MAXP_CORE_DENVER (4)"]),
        ("rk3588:0", ["'rk3588'", "'0'", "It has none"]),
    ],
)
@pytest.mark.parametrize("command", [["run"], ["run", "--backend", "sim"], ["validate"]])
def test_a_board_or_a_mode_that_is_not_packaged(here, command, named, says):
    assert_refused(gearshift(*command, write_mix(), "--board", named), *says)


@pytest.mark.parametrize("command", [["profile", "ofa-plates"], ["ladder", "ofa-plates"]])
def test_a_board_that_is_not_packaged_is_not_profiled(here, command):
    assert_refused(gearshift(*command, "--board", "jetson-tx"), "'jetson-tx'", "Did you mean 'jetson-tx2'?")


# ---------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--policy", "jiont"], ["policy 'jiont'", "Did you mean 'joint'?"]),
        (["--policy", "floor+schedutill"], ["governor 'schedutill'", "Did you mean 'schedutil'?"]),
        (["--policy", "joint", "--policy", "flor"], ["policy 'flor'", "Did you mean 'floor'?"]),
        (["--policy", "joint", "--policy", "floor", "--json"], ["--json", "2 policies"]),
        (["--epoch-ms", "nan"], ["epoch_ms", "nan"]),
        (["--epoch-ms", "-100"], ["epoch_ms", "-100"]),
        (["--epoch-ms", "inf"], ["epoch_ms", "inf"]),
        (["--time-scale", "0.5"], ["time_scale", "0.5"]),
        (["--time-scale", "nan"], ["time_scale", "nan"]),
        (["--seed", "-1"], ["seed", "-1"]),
        (["--backend", "simm"], ["backend", "'simm'"]),
        (["--weights", "mine.safetensors"], ["--weights", "'mine.safetensors'", "SUPERNET=FILE"]),
        (["--weights", "ofa-plate=mine.pth"], ["weights", "'ofa-plate'", "Did you mean 'ofa-plates'?"]),
        (["--weights", "ofa-plates=none.pth"], ["weights", "'none.pth'", "no such file"]),
    ],
)
def test_a_bad_option(here, options, says):
    assert_refused(gearshift("run", write_mix(), *options), *says)


def test_a_time_scale_on_a_board_with_a_real_clock(here):
    unit = {"dvfs": "fixed", "mhz": [400], "static_w": [0.1], "dynamic_w": [0.2]}
    Path("board.yaml").write_bytes(_with(unit))
    ended = gearshift("run", write_mix(), "--board", "board.yaml", "--time-scale", 2)
    assert_refused(ended, "time_scale 2.0", "'board'", "real")


class Bomb:
    """A pickle with code in it."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, ("exploded",)


def _shipped() -> bytes:
    import supernets

    weights = supernets.load("ofa-plates").weights
    assert weights is not None
    return weights.read_bytes()


def _pickle(value: object) -> bytes:
    import io

    import torch

    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("empty.safetensors", lambda: b""),
        ("garbage.safetensors", lambda: bytes(range(256)) * 9),
        ("truncated.safetensors", lambda: _shipped()[:100_000]),
        ("empty.pth", lambda: b""),
        ("garbage.pth", lambda: bytes(range(256)) * 9),
        ("code.pth", lambda: _pickle({"state_dict": Bomb()})),
        ("truncated.pth", lambda: _pickle({"a": Bomb()})[:-40]),
        ("number.pth", lambda: _pickle(3)),
    ],
)
def test_weights_that_cannot_be_used(here, file, content):
    Path(file).write_bytes(content())
    assert_refused(gearshift("run", write_mix(), "--weights", f"ofa-plates={file}"), file)
    assert not Path("exploded").exists()


# ---------------------------------------------------------------- the run directory


def test_an_output_directory_that_cannot_be_used(here):
    path = write_mix()
    (here / "full").mkdir()
    (here / "full" / "notes.txt").write_text("mine")
    assert_refused(gearshift("run", path, "--out", "full"), "--out 'full'", "not empty")
    assert_refused(gearshift("run", path, "--out", "mix.py"), "--out 'mix.py'", "file")
    assert_refused(gearshift("run", path, "--out", "mix.py/under"), "--out 'mix.py/under'", "can't be written to")
    assert_refused(gearshift("run", path, "--out", "/proc/gearshift"), "--out '/proc/gearshift'", "can't be written to")


def test_bad_input_leaves_no_directory_behind(here):
    path = write_mix(gate(supernet='"ofa-plate"'))
    for options in ([], ["--out", "results/today"]):
        assert_refused(gearshift("run", path, *options), "ofa-plate")
    assert sorted(file.name for file in here.iterdir() if file.name != "__pycache__") == ["mix.py"]


# ---------------------------------------------------------------- other commands


def test_a_profile_of_an_unknown_supernet(here):
    assert_refused(gearshift("profile", "ofa-plate"), "'ofa-plate'", "Did you mean 'ofa-plates'?")


@pytest.mark.parametrize(
    ("apps", "options", "says"),
    [
        (GATE.replace("ofa-plates", "ofa-plate"), [], ["mix.py", "app 'gate'", "Did you mean 'ofa-plates'?"]),
        (GATE, ["--weights", "other=w.pth"], ["mix.py", "'other'", "no app uses"]),
        (GATE.replace("hz=5", "hz=-5"), [], ["mix.py, line", "hz"]),
    ],
)
def test_a_profile_of_a_mix_is_refused_in_the_mixs_words(here, apps, options, says):
    Path("w.pth").touch()
    assert_refused(gearshift("profile", write_mix(apps), *options), *says)


def test_a_profile_of_a_mix_that_is_not_there(here):
    assert_refused(gearshift("profile", "nowhere.py"), "nowhere.py")


def test_a_report_of_no_run(here):
    assert_refused(gearshift("report", "nowhere"), "nowhere")


# ---------------------------------------------------------------- as a user calls it


def test_the_command_itself_refuses_bad_input(here):
    path = write_mix(gate(latency_ms="-60"))
    ended = subprocess.run([COMMAND, "run", path], capture_output=True, text=True, check=False)
    assert_refused(Ended(ended.returncode, ended.stdout, ended.stderr), "mix.py", "latency_ms", "-60")


def test_the_command_helps(here):
    ended = subprocess.run([COMMAND, "--help"], capture_output=True, text=True, check=False)
    assert ended.returncode == 0
    assert all(name in ended.stdout for name in ("run", "profile", "report"))
    assert ended.stderr == ""


def test_cpus_that_another_run_uses_are_refused(here, monkeypatch):
    mix = write_mix()
    emulated = find_board("two-core-host")
    real = replace(emulated, units=tuple(replace(unit, dvfs="fixed") for unit in emulated.units))
    with Claim([real], "another"):
        monkeypatch.delenv("GEARSHIFT_SHARE")
        for command in ("run", "validate"):
            assert_refused(gearshift(command, mix), "another", f"process {os.getpid()}", "uses CPUs 0, 1;", "--share")
    assert_refused(gearshift("run", mix, "--share", "--backend", "sim"), "--share is for runs on this machine")
