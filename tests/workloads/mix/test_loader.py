"""A good mix script loads, and each bad one gives one message with file and line."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from workloads.mix.errors import MixError
from workloads.mix.loader import load_mix

GOOD = """\
from workloads import App, Mix, Periodic


def mix() -> Mix:
    return Mix("m", apps=[App("a", "ofa-plates", Periodic(hz=5), latency_ms=60)], duration_s=4)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / "park.py"


def test_a_good_script_gives_its_mix(script: Path) -> None:
    script.write_text(GOOD)
    mix = load_mix(script)
    assert (mix.name, mix.duration_s) == ("m", 4)
    assert load_mix(str(script)) == mix


def test_a_script_is_a_module_with_neighbours_for_the_time_it_runs(script: Path) -> None:
    (script.parent / "park_rates.py").write_text("HZ = 7\n")
    script.write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "import sys\n"
        "import park_rates\n"
        "from workloads import App, Mix, Periodic\n"
        "@dataclass\n"
        "class Seen:\n"
        "    name: str\n"
        "def result(request, output): return Seen(NAME)\n"
        "NAME = __name__\n"
        "assert __name__ != '__main__' and __file__.endswith('park.py')\n"
        "def mix():\n"
        "    app = App('a', 's', Periodic(park_rates.HZ), latency_ms=60, on_result=result)\n"
        "    return Mix('m', apps=[app], duration_s=4)\n"
    )
    search_path, modules = list(sys.path), set(sys.modules)
    (app,) = load_mix(script).apps
    assert app.arrivals.hz == 7
    assert app.on_result is not None
    assert app.on_result(None, None).name == app.on_result.__module__  # type: ignore[attr-defined]
    assert sys.path == search_path
    assert app.on_result.__module__ not in sys.modules
    assert set(sys.modules) - modules == {"park_rates"}
    del sys.modules["park_rates"]


def test_what_a_script_prints_stays_out_of_the_results(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script.write_text("print('loading')\n" + GOOD.replace("    return", "    print('mixing')\n    return"))
    load_mix(script)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "loading\nmixing\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"park\.py: there is no function mix\(\); write `def mix\(\)"),
        (b"def mxi(): ...\n", r"park\.py: there is no function mix\(\)"),
        (b"mix = 3\n", r"park\.py: mix must be a function, not 3"),
        (b"def mix(): pass\n", r"park\.py: mix\(\) must return a Mix, not None"),
        (b"def mix(board): pass\n", r"park\.py: TypeError: mix\(\) missing 1 required"),
        (b"x = 1\ndef mix(:\n", r"park\.py, line 2: this is not Python: .*'def mix\(:'"),
        (b"\x7fELF\x02\x01\x00\x00\xff", r"park\.py.*: this is not Python: "),
        (b"\x93NUMPY\xff\xfe", r"park\.py.*: this is not Python: "),
        (b"x = 1\0\n", r"park\.py.*: this is not Python: .*null bytes"),
        (b"(" * 5000, r"park\.py.*: this is not Python: "),
        (b"x = 1\n\nraise RuntimeError('no camera')\n", r"park\.py, line 3: RuntimeError: no camera"),
        (b"def mix():\n    x = 0\n    return 1 / x\n", r"park\.py, line 3: ZeroDivisionError: division"),
        (b"import json\njson.loads('{')\n", r"park\.py, line 2: JSONDecodeError: "),
        (b"import no_such_module_here\n", r"park\.py, line 1: ModuleNotFoundError: .*no_such_module_here"),
        (b"import sys\nsys.exit(0)\n", r"park\.py, line 2: SystemExit: 0"),
        (
            b"from workloads.mix.arrivals import Periodic\n\nkind = Periodic(hz=-5)\n",
            r"park\.py, line 3: Periodic: hz must be above 0, not -5\.$",
        ),
        (GOOD.replace("hz=5", "hz='x'").encode(), r"park\.py, line 5: Periodic: hz must be a number"),
        (
            GOOD.replace("latency_ms", "latency").encode(),
            r"park\.py, line 5: App\(\.\.\.\): unknown keyword 'latency'\. Did you mean 'latency_ms'\?$",
        ),
        (
            GOOD.replace("duration_s", "seconds_long").encode(),
            r"line 5: Mix\(\.\.\.\): unknown keyword 'seconds_long'\. Use one of: name, apps, .*duration_s, ",
        ),
        (GOOD.replace("hz=", "hzz=").encode(), r"line 5: Periodic\(\.\.\.\): .*'hzz'\. Did you mean 'hz'\?$"),
        (b"int('1', radix=2)\n", r"line 1: TypeError: 'radix' is an invalid keyword argument for int\(\)$"),
        (
            b"class Other:\n    def __init__(self): pass\nOther(latency=3)\n",
            r"line 3: TypeError: Other\.__init__\(\) got an unexpected keyword argument 'latency'$",
        ),
    ],
)
def test_a_bad_script_is_one_clear_error(script: Path, content: bytes, message: str) -> None:
    script.write_bytes(content)
    with pytest.raises(MixError, match=message):
        load_mix(script)


def test_a_script_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(MixError, match=r"park\.py: there is no such file"):
        load_mix(tmp_path / "park.py")
    with pytest.raises(MixError, match=r": this is a directory"):
        load_mix(tmp_path)
    with pytest.raises(MixError, match=r": cannot be read: File name too long"):
        load_mix(tmp_path / ("x" * 5000))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_script_without_permission_is_named(script: Path) -> None:
    script.write_text(GOOD)
    script.chmod(0)
    with pytest.raises(MixError, match=r"park\.py: cannot be read: Permission denied"):
        load_mix(script)


def test_an_interrupt_is_not_swallowed(script: Path) -> None:
    script.write_text("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        load_mix(script)


def test_a_script_that_starts_ray_is_refused_and_one_that_finds_it_started_is_not(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In place of Ray, which takes ten seconds to start, a module that says that it is started.
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False))
    script.write_text(GOOD + "\nimport sys\nsys.modules['ray'].is_initialized = lambda: True\n")
    with pytest.raises(MixError, match=r"park\.py: it starts Ray.*leave ray\.init\(\) out of the mix"):
        load_mix(script)
    assert load_mix(script).name == "m"  # it is the program's now
