"""An application has a queue and a supernet, and one with a wrong field is refused with field, value and fix."""

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.small_mixes import app
from workloads.mix.app import Family
from workloads.mix.arrivals import External, Periodic, Poisson, Trace
from workloads.mix.errors import MixError


@pytest.mark.parametrize(
    ("fields", "bound"),
    [
        ({"arrivals": Periodic(hz=15), "latency_ms": 60}, 2),
        ({"arrivals": Periodic(hz=100), "latency_ms": 70}, 7),
        ({"arrivals": Poisson(hz=30), "latency_ms": 150}, 5),
        ({"arrivals": External(), "latency_ms": 5000}, 2),
        ({"arrivals": Poisson(hz=30), "latency_ms": 1e308}, 10_000_000),
        ({"arrivals": Periodic(hz=100), "latency_ms": 70, "queue": 1}, 1),
    ],
)
def test_queue_bound_is_what_arrives_within_a_target(fields: dict[str, Any], bound: int) -> None:
    assert app(**fields).queue_bound(10.0) == bound


def test_queue_bound_of_a_trace_is_that_of_the_apps_own_presence() -> None:
    # 40 requests a second for 5 s, and one a minute for an hour after that.
    busy = [k / 40 for k in range(200)]
    assert app(arrivals=Trace([*busy, *range(60, 3600, 60)]), latency_ms=100).queue_bound(5.0) == 4
    assert app(arrivals=Trace(busy), latency_ms=100).queue_bound(5.0) == 4


def test_a_family_is_a_ladder_of_the_users_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in ("small.onnx", "large.onnx"):
        (tmp_path / file).touch()
    monkeypatch.chdir(tmp_path)
    family = Family([("small.onnx", 0.37), (tmp_path / "large.onnx", None)])
    assert [(rung.id, rung.path, rung.accuracy) for rung in family.rungs] == [
        ("small", tmp_path / "small.onnx", 0.37),
        ("large", tmp_path / "large.onnx", None),
    ]
    assert app(supernet=family).supernet is family
    assert pickle.loads(pickle.dumps(family)) == family


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ([], r"Family\(\[\]\) has no model"),
        ("small.onnx", r"Family must be a list, not 'small\.onnx'"),
        (["small.onnx"], r"each model is a pair of file and accuracy, not 'small\.onnx'"),
        ([(3, 0.4)], r"each model is a pair of file and accuracy, not \(3, 0\.4\)"),
        ([("smal.onnx", 0.4)], r"there is no file 'smal\.onnx' \(looked for '.*/smal\.onnx'\)"),
        ([(".", 0.4)], r"Family: .\.. is a directory"),
        ([("small.onnx", 37)], r"accuracy of 'small\.onnx' must be .* not 37\. Did you mean 0\.37\?"),
        ([("small.onnx", 0.3), ("b/small.onnx", 0.4)], r"two models are called 'small'.*rename one file"),
    ],
)
def test_a_bad_family_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: Any, message: str) -> None:
    (tmp_path / "b").mkdir()
    for file in ("small.onnx", "b/small.onnx"):
        (tmp_path / file).touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MixError, match=message):
        Family(models)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"name": "Front Gate"},
            r"name must be lower-case .* not 'Front Gate'\. Did you mean 'front-gate'\?",
        ),
        ({"name": "a\n"}, r"name must be .* not 'a\\n'"),
        ({"name": ""}, r"name must be .* not ''\.$"),
        ({"name": 3}, r"name must be .* not 3\.$"),
        ({"supernet": ""}, r"app 'gate': supernet must be .* not ''"),
        ({"supernet": Path("x")}, r"supernet must be a supernet's name or a Family"),
        ({"arrivals": 15}, r"arrivals must be one of Periodic, Poisson, .* not 15"),
        ({"arrivals": External}, r"arrivals must be one of .* not <class"),
        ({"latency_ms": 0}, r"app 'gate': latency_ms must be above 0, not 0\.$"),
        ({"latency_ms": -60}, r"latency_ms must be above 0, not -60"),
        ({"latency_ms": math.nan}, r"latency_ms must be a finite number, not nan"),
        ({"latency_ms": math.inf}, r"latency_ms must be a finite number, not inf"),
        ({"latency_ms": True}, r"latency_ms must be a number, not True"),
        ({"latency_ms": np.bool_(True)}, r"latency_ms must be a number, not "),
        ({"latency_ms": "60"}, r"latency_ms must be a number, not '60'\. Did you mean 60\?"),
        ({"latency_ms": "60 ms"}, r"latency_ms must be a number, not '60 ms'\.$"),
        ({"latency_ms": 60j}, r"latency_ms must be a number, not 60j"),
        ({"min_accuracy": 80}, r"min_accuracy must be between 0 and 1, not 80\. Did you mean 0\.80\?"),
        ({"min_accuracy": 72.5}, r"min_accuracy must be .* not 72\.5\. Did you mean 0\.725\?"),
        ({"min_accuracy": 1.01}, r"min_accuracy must be between 0 and 1, not 1\.01\.$"),
        ({"min_accuracy": -0.1}, r"min_accuracy must be between 0 and 1, not -0\.1"),
        ({"slo": 0}, r"slo must be above 0 and at most 1, not 0"),
        ({"slo": 95}, r"slo must be above 0 and at most 1, not 95\. Did you mean 0\.95\?"),
        ({"slo": 1.5}, r"slo must be above 0 and at most 1, not 1\.5\.$"),
        ({"weight": 0}, r"weight must be above 0, not 0"),
        ({"queue": 0}, r"queue must be at least 1, not 0"),
        ({"queue": 2.0}, r"queue must be a whole number, not 2\.0"),
        ({"queue": True}, r"queue must be a whole number, not True"),
        (
            {"drop": "newst"},
            r"drop must be one of late, oldest, newest, not 'newst'\. Did you mean 'newest'\?",
        ),
        ({"drop": None}, r"drop must be one of late, oldest, newest, not None"),
        ({"source": 3}, r"source must be a folder, a callable or None, not 3"),
        ({"on_result": "print"}, r"on_result must be a callable or None, not 'print'"),
    ],
)
def test_a_bad_app_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(MixError, match=message):
        app(**fields)
