"""A run's plan refuses user errors by name before anything starts, and does its work once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from actors.board_schema import BoardError
from helpers.tiny_networks import board, network, with_gpu, with_program
from scheduler.errors import InputError
from scheduler.messages import TargetChanged
from scheduler.policies import PolicyError
from scheduler.sensor import Sensor
from supernets import SupernetError
from workloads.ladder.profiles import profile_board
from workloads.mix.app import App, Family
from workloads.mix.arrivals import External, Periodic, Poisson
from workloads.mix.errors import MixError
from workloads.mix.events import at
from workloads.mix.mix import Mix
from workloads.runs.plan import RunPlan, plan_run


@pytest.fixture
def model(tmp_path: Path) -> Callable[..., str]:
    """Write a model that adds up its inputs, of the given shapes."""

    def write(name: str, *shapes: tuple[object, ...]) -> str:
        inputs = {f"x{number}": shape for number, shape in enumerate(shapes)}
        graph = helper.make_graph(
            [helper.make_node("Sum", list(inputs), ["y"])],
            "sum",
            [helper.make_tensor_value_info(x, TensorProto.FLOAT, shape) for x, shape in inputs.items()],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        )
        path = tmp_path / f"{name}.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
        return str(path)

    return write


@pytest.fixture
def family(tmp_path: Path) -> Family:
    return Family([(network(tmp_path, "small").path, 0.6), (network(tmp_path, "large").path, 0.8)])


def app(supernet: str | Family, name: str = "gate", **fields) -> App:
    return App(name, **{"supernet": supernet, "arrivals": Periodic(hz=5), "latency_ms": 60, **fields})


def mix(*apps: App, events=()) -> Mix:
    return Mix("test", apps=apps, events=events, duration_s=10)


def plan(*apps: App, events=(), on=None, **options) -> RunPlan:
    return plan_run(mix(*apps, events=events), on or board(), **options)


# ---------------------------------------------------------------- what is planned


def test_a_plan_holds_all_that_a_run_needs(family):
    park = mix(
        app(family, "a"),
        app(family, "b", arrivals=Poisson(hz=3)),
        events=[at(2, "a", latency_ms=30), at(4, add=app(family, "c")), at(6, remove="b")],
    )
    made = plan_run(park, board(), policy="floor", seed=3, epoch_ms=50, time_scale=2)
    assert (made.policy, made.seed, made.epoch_s, made.time_scale) == ("floor", 3, 0.05, 2)
    assert [at_s for at_s, _ in made.events] == [2, 4, 6]
    assert made.events[0][1].change == TargetChanged(app="a", target_ms=30, min_accuracy=0, weight=1, slo=0.95)
    present = {name: (of.presence.from_s, of.presence.to_s) for name, of in made.apps.items()}
    assert present == {"a": (0, 10), "b": (0, 6), "c": (4, 10)}
    for name, of in made.apps.items():
        assert of.app.name == name
        assert list(of.artifacts) == ["small", "large"]
        assert [rung.accuracy for rung in of.profile.rungs] == [0.6, 0.8]
        # The board has a unit of one core and one of two.
        assert [time.cores for time in of.profile.rungs[0].times] == [1, 2]


def test_apps_of_one_family_share_its_ladder_and_have_inputs_of_their_own(family):
    made = plan(app(family, "a"), app(family, "b"))
    a, b = made.apps.values()
    assert a.profile is b.profile
    assert a.source.inputs(a.artifacts["large"])(0).shape == (1, 1, 8, 8)
    artifact = a.artifacts["small"]
    first = a.source.inputs(artifact)(0)
    assert not np.array_equal(first, b.source.inputs(artifact)(0))
    again = plan(app(family, "a")).apps["a"].source.inputs(artifact)(0)
    np.testing.assert_array_equal(first, again)
    other = plan(app(family, "a"), seed=1).apps["a"].source.inputs(artifact)(0)
    assert not np.array_equal(first, other)


def test_a_profile_is_measured_once(family):
    steps: list[str] = []
    plan(app(family), on_progress=lambda what, done, total: steps.append(what))
    steps.clear()
    plan(app(family), on_progress=lambda what, done, total: steps.append(what))
    assert not steps


def test_each_gpu_unit_gets_a_device_and_a_model_without_a_torch_program_no_times_there(family, monkeypatch):
    monkeypatch.setattr("workloads.ladder.profiles.profile_gpu", None)
    made = plan(app(family), on=with_gpu(board()))
    assert (made.devices, made.gpus) == ({"gpu": "cuda:0"}, 1)
    assert {time.kind for rung in made.apps["gate"].profile.rungs for time in rung.times} == {"cpu"}
    assert (plan(app(family)).devices, plan(app(family)).gpus) == ({}, 0)


def test_torch_programs_are_exported_where_the_board_has_a_gpu(monkeypatch):
    """They need torch and take seconds, so nobody else waits for them."""
    asked = []

    def looked_at(net, subnet, directory, program):
        asked.append(program)
        raise SupernetError("that is all")

    monkeypatch.setattr("supernets.export", looked_at)
    for on in (board(), with_gpu(board())):
        with pytest.raises(SupernetError, match="that is all"):
            plan(app("ofa-plates"), on=on)
    assert asked == [False, True]


def test_a_ladder_with_torch_programs_has_times_on_both(tmp_path, monkeypatch):
    ladder = [(with_program(network(tmp_path, name)), 0.5, "published") for name in ("small", "large")]
    profile = profile_board("tiny", ladder, with_gpu(board()), lambda *step: None, devices={"gpu": "cpu"})
    for rung in profile.rungs:
        assert [(time.kind, time.cores) for time in rung.times] == [("cpu", 1), ("cpu", 2), ("gpu", 1)]
    only_gpu = with_gpu(replace(board(), units=()))
    monkeypatch.setattr("workloads.ladder.profiles.profile_ladder", None)
    profile = profile_board("tiny", ladder, only_gpu, lambda *step: None, devices={"gpu": "cpu"})
    assert [[time.kind for time in rung.times] for rung in profile.rungs] == [["gpu"], ["gpu"]]


def test_a_gpu_that_fails_is_said_in_one_message(tmp_path, monkeypatch):
    ladder = [(with_program(network(tmp_path, "small")), 0.5, "published")]
    only_gpu = with_gpu(replace(board(), units=()))
    with pytest.raises(BoardError, match=r"Board 'test': tiny can't be profiled on device 'nowhere:0': .*nowhere"):
        profile_board("tiny", ladder, only_gpu, lambda *step: None, devices={"gpu": "nowhere:0"})


# ---------------------------------------------------------------- what is refused


@pytest.fixture(autouse=True)
def refused_without_measuring(request, monkeypatch):
    """Who made a mistake does not wait for a measurement to learn of it."""
    if "refused" in request.node.name:
        monkeypatch.setattr("workloads.ladder.profiles.profile_ladder", None)


def test_a_floor_over_an_unknown_accuracy_is_refused(tmp_path):
    family = Family([(network(tmp_path, "small").path, None), (network(tmp_path, "large").path, 0.8)])
    with pytest.raises(MixError, match=r"app 'gate' has min_accuracy 0.5, but .* sub-network 'small' is unknown"):
        plan(app(family, min_accuracy=0.5))
    with pytest.raises(MixError, match=r"app 'gate' has min_accuracy 0.3, but .* sub-network 'small' is unknown"):
        plan(app(family), events=[at(5, "gate", min_accuracy=0.3)])


def test_without_a_floor_an_unknown_accuracy_is_no_mistake(tmp_path):
    made = plan(app(Family([(network(tmp_path, "small").path, None)])))
    assert [rung.accuracy for rung in made.apps["gate"].profile.rungs] == [None]


def test_own_models_on_a_board_of_gpus_alone_are_refused(family):
    with pytest.raises(MixError, match=r"app 'gate': models of one's own run on CPU units only, and board 'test' has"):
        plan(app(family), on=with_gpu(replace(board(), units=())))


def test_a_time_scale_is_refused_where_rails_are_measured(family):
    measured = replace(board(), sensors=(Sensor(rail="wall", driver="replay", covers="board", file="meter.csv"),))
    with pytest.raises(InputError, match=r"time_scale 2: the rails of 'test' are measured on the wall's time"):
        plan(app(family), on=measured, time_scale=2)


def test_a_time_scale_is_refused_where_clocks_are_real(family):
    with pytest.raises(InputError, match=r"time_scale 2 needs an emulated board, and the clocks of 'test' are real"):
        plan(app(family), on=board(dvfs="fixed"), time_scale=2)


@pytest.mark.parametrize(
    ("option", "value"),
    [("time_scale", 0.5), ("time_scale", float("nan")), ("epoch_ms", float("nan")), ("epoch_ms", -100), ("seed", -1)],
)
def test_an_option_out_of_range_is_refused(family, option, value):
    with pytest.raises(InputError, match=rf"{option} must be .* not {value!r}") as caught:
        plan(app(family), **{option: value})
    assert not isinstance(caught.value, MixError)


def test_ambient_heat_is_refused(family):
    with pytest.raises(MixError, match=r"ambient_c=40.0.*no thermal model"):
        plan(app(family), events=[at(5, ambient_c=40)])


def test_an_unknown_unit_is_refused(family):
    with pytest.raises(MixError, match=r"event at 5 s: the board has no unit 'bigg'. Did you mean 'big'\?"):
        plan(app(family), events=[at(5, unit="bigg", max_mhz=1000)])


def test_an_unknown_supernet_of_any_app_is_refused_before_one_is_exported(family, monkeypatch):
    monkeypatch.setattr("supernets.export", None)
    with pytest.raises(MixError, match=r"app 'b': supernet 'ofa-plate' is unknown. Did you mean 'ofa-plates'\?"):
        plan(app("ofa-plates", "a"), app("ofa-plate", "b"))


def test_an_unknown_policy_is_refused(family):
    with pytest.raises(PolicyError, match=r"'jiont' is unknown.*Did you mean 'joint'\?"):
        plan(app(family), policy="jiont")


def test_weights_that_no_app_uses_are_refused(family, tmp_path):
    with pytest.raises(MixError, match=r"weights are given for 'ofa-plate', which no app uses."):
        plan(app(family), weights={"ofa-plate": tmp_path / "mine.safetensors"})


def test_a_folder_of_inputs_for_a_family_is_refused(family, tmp_path):
    with pytest.raises(MixError, match=r"app 'gate': source .* is a folder, and nothing says how"):
        plan(app(family, source=tmp_path))


@pytest.mark.parametrize("given", [{"arrivals": External()}, {"source": lambda number: np.zeros((1, 4, 4))}])
def test_models_of_different_shapes_are_refused_where_one_input_is_given(family, given):
    with pytest.raises(MixError, match=r"app 'gate': .* different shapes, \(1, 1, 4, 4\), \(1, 1, 8, 8\)"):
        plan(app(family, **given))


def test_a_model_that_can_not_be_served_is_refused_with_its_file(model):
    with pytest.raises(SupernetError, match=r"two.onnx must take one input; it takes 'x0'"):
        plan(app(Family([(model("two", (1, 4), (1, 4)), 0.5)])))


def test_a_batch_of_any_size_is_one(model):
    made = plan(app(Family([(model("batch", ("batch", 4)), 0.5)])))
    assert made.apps["gate"].artifacts["batch"].input_shape == (1, 4)


@pytest.mark.parametrize("content", [b"", b"not a model", bytes(range(256))])
def test_a_file_that_is_no_model_is_refused(tmp_path, content):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(SupernetError, match=r"model.onnx is (not an ONNX model|empty)"):
        plan(app(Family([(str(path), 0.5)])))
